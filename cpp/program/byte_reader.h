// A cursor over bytes that nobody has checked yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace embedrt {

// Every read is checked against the end. A failure is a FormatError that says what was read, and where in the section.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string_view section) : bytes_(bytes), section_(section) {}

  uint8_t u8(std::string_view what) { return read<uint8_t>(what); }
  uint16_t u16(std::string_view what) { return read<uint16_t>(what); }
  uint32_t u32(std::string_view what) { return read<uint32_t>(what); }
  uint64_t u64(std::string_view what) { return read<uint64_t>(what); }

  // One byte of length, from 1, and so many of [A-Za-z0-9_./-]: safe to print.
  std::string str8(std::string_view what) {
    const size_t start = at_, length = u8(what);
    if (length == 0) fail(start, std::string(what) + " is an empty name");
    need(length, what);
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + at_, length);
    at_ += length;
    constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-";
    if (text.find_first_not_of(allowed) != std::string::npos) {
      fail(start, std::string(what) + " has a character outside of [A-Za-z0-9_./-]");
    }
    return text;
  }

  void end() const {
    if (at_ != bytes_.size()) fail(at_, std::to_string(bytes_.size() - at_) + " bytes follow the last record");
  }

  size_t at() const { return at_; }

  [[noreturn]] void fail(size_t at, const std::string& problem) const {
    throw FormatError(std::string(section_) + ": " + problem + " (byte " + std::to_string(at) + ")");
  }

 private:
  void need(size_t size, std::string_view what) const {
    if (bytes_.size() - at_ < size) fail(at_, "ends inside " + std::string(what));
  }

  template <class T>
  T read(std::string_view what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  std::span<const std::byte> bytes_;
  std::string_view section_;
  size_t at_ = 0;
};

}  // namespace embedrt
