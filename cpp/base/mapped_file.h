// The bytes of a model: a read-only mapping of a file, or a private copy.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace embedrt {

// Immutable; its bytes start on at least 64 and live as long as it does. A mapping follows the file: whoever truncates
// the file under a running process kills it with SIGBUS, and whoever writes into it changes what is read here. A copy
// has neither problem. Windows truncates, deletes and replaces no file while it is mapped.
class MappedFile {
 public:
  // Maps the file, or copies it when `map` is false. A path is UTF-8 on Windows, and the system's bytes elsewhere.
  // Throws SystemError, and InputError for what is not a regular file.
  static std::shared_ptr<const MappedFile> open(const std::string& path, bool map = true);
  static std::shared_ptr<const MappedFile> copy(std::span<const std::byte> bytes);

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  bool mapped() const { return mapped_; }

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

 private:
  MappedFile() = default;
  std::byte* allocate(size_t size);

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  bool mapped_ = false;
};

}  // namespace embedrt
