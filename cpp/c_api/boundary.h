// What stands between C++ and a C caller: exceptions become a status and a message, and structs may have grown.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>

#include "base/error.h"
#include "c_api/embedrt.h"

namespace embedrt::c_api {

// A size beyond this was never set.
constexpr size_t kMaxStruct = 4096;

// Fills in `error` where there is one. A message that is too long ends after a whole UTF-8 character.
inline embedrt_status report(embedrt_error* error, embedrt_status status, int system_code, const char* message) {
  if (error == nullptr) return status;
  size_t length = std::strlen(message);
  if (length >= sizeof error->message) {
    length = sizeof error->message - 1;
    while (length > 0 && (static_cast<unsigned char>(message[length]) & 0xC0) == 0x80) --length;
  }
  error->status = status;
  error->system_code = system_code;
  std::memcpy(error->message, message, length);
  error->message[length] = '\0';
  return status;
}

// Reports the exception that is being handled.
inline embedrt_status report_exception(embedrt_error* error) noexcept {
  try {
    throw;
  } catch (const FormatError& caught) {
    return report(error, EMBEDRT_FORMAT_ERROR, 0, caught.what());
  } catch (const InputError& caught) {
    return report(error, EMBEDRT_INPUT_ERROR, 0, caught.what());
  } catch (const SystemError& caught) {
    return report(error, EMBEDRT_SYSTEM_ERROR, caught.code, caught.what());
  } catch (const std::bad_alloc&) {
    return report(error, EMBEDRT_OUT_OF_MEMORY, 0, "out of memory");
  } catch (const std::exception& caught) {
    return report(error, EMBEDRT_OTHER_ERROR, 0, caught.what());
  } catch (...) {
    return report(error, EMBEDRT_OTHER_ERROR, 0, "unknown exception");
  }
}

// Runs the body of an entry point.
template <class Body>
embedrt_status guarded(embedrt_error* error, Body body) noexcept {
  try {
    body();
  } catch (...) {
    return report_exception(error);
  }
  return report(error, EMBEDRT_OK, 0, "");
}

template <class T>
T& require(T* pointer, const char* name) {
  if (pointer == nullptr) throw InputError(std::string(name) + " is NULL");
  return *pointer;
}

inline void check_size(size_t size, const char* name) {
  if (size < sizeof(size_t) || size > kMaxStruct)
    throw InputError(std::string(name) + ": size is " + std::to_string(size) + "; set it to the struct's sizeof");
}

// The caller's struct as this version has it: what an older header did not know is zero, and what this version does
// not know must be.
template <class T>
T read(const T* from, const char* name) {
  const size_t size = require(from, name).size;
  check_size(size, name);
  T known{};
  std::memcpy(&known, from, std::min(size, sizeof(T)));
  const auto* bytes = reinterpret_cast<const char*>(from);
  if (size > sizeof(T) && std::any_of(bytes + sizeof(T), bytes + size, [](char byte) { return byte != 0; }))
    throw InputError(std::string(name) + ": a member is set that this version of the library does not know");
  return known;
}

// Fills the caller's struct as far as its header knows it.
template <class T>
void write(T known, T* to, const char* name) {
  known.size = require(to, name).size;
  check_size(known.size, name);
  std::memset(to, 0, known.size);
  std::memcpy(to, &known, std::min(known.size, sizeof(T)));
}

}  // namespace embedrt::c_api
