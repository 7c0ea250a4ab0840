#pragma once

#include <ctime>

#ifdef _WIN32
#include "base/windows_api.h"
#endif

namespace embedrt::test {

// Seconds that processors have spent on this process, all threads together. On Windows std::clock counts the time of
// day.
inline double cpu_seconds() {
#ifdef _WIN32
  FILETIME began, ended, kernel, user;
  GetProcessTimes(GetCurrentProcess(), &began, &ended, &kernel, &user);
  const auto ticks = [](const FILETIME& t) { return 4294967296.0 * t.dwHighDateTime + t.dwLowDateTime; };
  return 1e-7 * (ticks(kernel) + ticks(user));
#else
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
#endif
}

}  // namespace embedrt::test
