// For programs: arguments and names of files in UTF-8 on every system. C gives them in a code page on Windows.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#ifdef _WIN32
#include "base/windows_api.h"
#endif

namespace embedrt {

// The words of the command line, of which main() has been given `count`.
inline std::vector<std::string> command_line([[maybe_unused]] int count, [[maybe_unused]] char** words) {
#ifdef _WIN32
  int found = 0;
  wchar_t** const wide_words = CommandLineToArgvW(GetCommandLineW(), &found);
  std::vector<std::string> result;
  for (int i = 0; i < found; ++i) result.push_back(utf8(wide_words[i]));
  LocalFree(wide_words);
  return result;
#else
  return {words, words + count};
#endif
}

// As std::fopen.
inline std::FILE* open_file(const std::string& path, const std::string& mode) {
#ifdef _WIN32
  return _wfopen(wide(path).c_str(), wide(mode).c_str());
#else
  return std::fopen(path.c_str(), mode.c_str());
#endif
}

}  // namespace embedrt
