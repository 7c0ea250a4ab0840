// What the core throws. Python sees the same family: see cpp/bindings.
#pragma once

#include <stdexcept>
#include <string>

namespace embedrt {

// The base of everything thrown at the boundaries of loading and calling. Kernels throw nothing.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The file is not a model that this runtime can run. The message says what is wrong and where.
struct FormatError : Error {
  using Error::Error;
};

// The caller passed something that the model cannot take.
struct InputError : Error {
  using Error::Error;
};

// The operating system refused something; `code` is its errno.
struct SystemError : Error {
  SystemError(const std::string& message, int error_code) : Error(message), code(error_code) {}
  int code;
};

}  // namespace embedrt
