#include "base/mapped_file.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <system_error>

#include "base/error.h"

#ifdef _WIN32
#include "base/windows_api.h"
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace embedrt {
namespace {

constexpr std::align_val_t kAlignment{64};

[[noreturn]] void fail(const std::string& path, int code) {
  throw SystemError(path + ": " + std::generic_category().message(code), code);
}

size_t checked_size(const std::string& path, uint64_t size) {
  if (size > std::numeric_limits<size_t>::max() / 2) throw InputError(path + ": too large for this process");
  return static_cast<size_t>(size);
}

#ifdef _WIN32

// The errno for why a file could not be opened. Folders are refused as if access to them were denied.
int open_error(DWORD code, const std::wstring& path) {
  switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
      return ENOENT;
    case ERROR_ACCESS_DENIED: {
      const DWORD attributes = GetFileAttributesW(path.c_str());
      const bool folder = attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
      return folder ? EISDIR : EACCES;
    }
    case ERROR_SHARING_VIOLATION:
      return EACCES;
    case ERROR_TOO_MANY_OPEN_FILES:
      return EMFILE;
    default:
      return EIO;
  }
}

// An open file. Its size is asked once, so that every later bound is about the same number.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : path_(path) {
    const std::wstring name = wide(path);
    if (name.empty() && !path.empty()) throw InputError(path + ": not UTF-8");
    // Others may rename and delete it meanwhile, as everywhere else, but not write into it.
    constexpr DWORD kShare = FILE_SHARE_READ | FILE_SHARE_DELETE;
    handle_ = CreateFileW(name.c_str(), GENERIC_READ, kShare, nullptr, OPEN_EXISTING, 0, nullptr);
    if (handle_ == INVALID_HANDLE_VALUE) fail(path, open_error(GetLastError(), name));
    LARGE_INTEGER size;
    if (GetFileType(handle_) != FILE_TYPE_DISK || GetFileSizeEx(handle_, &size) == 0) {
      CloseHandle(handle_);
      throw InputError(path + ": not a regular file");
    }
    size_ = checked_size(path, static_cast<uint64_t>(size.QuadPart));
  }
  ~OpenFile() { CloseHandle(handle_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  size_t size() const { return size_; }

  std::byte* map() const {
    const HANDLE mapping = CreateFileMappingW(handle_, nullptr, PAGE_READONLY, 0, 0, nullptr);
    if (mapping == nullptr) fail(path_, EIO);
    void* data = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
    CloseHandle(mapping);
    if (data == nullptr) fail(path_, ENOMEM);
    return static_cast<std::byte*>(data);
  }

  size_t read(std::byte* to, size_t size) const {
    DWORD got = 0;
    const auto want = static_cast<DWORD>(size < (1u << 30) ? size : 1u << 30);
    if (ReadFile(handle_, to, want, &got, nullptr) == 0) fail(path_, EIO);
    return got;
  }

 private:
  const std::string& path_;
  HANDLE handle_;
  size_t size_ = 0;
};

void unmap(std::byte* data, size_t) {
  UnmapViewOfFile(data);
}

#else

// An open file. Its size is asked once, so that every later bound is about the same number.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : path_(path) {
    // Without O_NONBLOCK a FIFO would wait for a writer before it could be refused.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) fail(path, errno);
    struct stat status{};
    const int code = ::fstat(descriptor_, &status) < 0 ? errno : S_ISDIR(status.st_mode) ? EISDIR : 0;
    if (code != 0 || !S_ISREG(status.st_mode)) {
      ::close(descriptor_);
      if (code != 0) fail(path, code);
      throw InputError(path + ": not a regular file");
    }
    size_ = checked_size(path, static_cast<uint64_t>(status.st_size));
  }
  ~OpenFile() { ::close(descriptor_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  size_t size() const { return size_; }

  std::byte* map() const {
    void* data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor_, 0);
    if (data == MAP_FAILED) fail(path_, errno);
    return static_cast<std::byte*>(data);
  }

  size_t read(std::byte* to, size_t size) const {
    for (;;) {
      const ssize_t got = ::read(descriptor_, to, size < (size_t{1} << 30) ? size : size_t{1} << 30);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) fail(path_, errno);
    }
  }

 private:
  const std::string& path_;
  int descriptor_ = -1;
  size_t size_ = 0;
};

void unmap(std::byte* data, size_t size) {
  ::munmap(data, size);
}

#endif

}  // namespace

std::byte* MappedFile::allocate(size_t size) {
  data_ = static_cast<std::byte*>(::operator new(size, kAlignment));
  size_ = size;
  return data_;
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path, bool map) {
  if (path.find('\0') != std::string::npos) throw InputError("a path contains a zero byte");
  const std::shared_ptr<MappedFile> result(new MappedFile);
  const OpenFile file(path);
  if (file.size() == 0) return result;
  if (map) {
    result->data_ = file.map();
    result->size_ = file.size();
    result->mapped_ = true;
    return result;
  }
  std::byte* to = result->allocate(file.size());
  for (size_t done = 0; done < file.size();) {
    const size_t got = file.read(to + done, file.size() - done);
    if (got == 0) throw FormatError(path + ": the file became shorter while it was read");
    done += got;
  }
  return result;
}

std::shared_ptr<const MappedFile> MappedFile::copy(std::span<const std::byte> bytes) {
  const std::shared_ptr<MappedFile> result(new MappedFile);
  if (!bytes.empty()) std::memcpy(result->allocate(bytes.size()), bytes.data(), bytes.size());
  return result;
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  if (mapped_) {
    unmap(data_, size_);
  } else {
    ::operator delete(data_, kAlignment);
  }
}

}  // namespace embedrt
