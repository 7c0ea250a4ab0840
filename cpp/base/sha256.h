// SHA-256 (FIPS 180-4), for the content digest and the fingerprint.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace embedrt {

class Sha256 {
 public:
  using Digest = std::array<std::byte, 32>;

  void update(std::span<const std::byte> bytes) noexcept;
  Digest finish() noexcept;  // the object is done after this

 private:
  void block(const std::byte* bytes) noexcept;

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> buffer_{};
  uint64_t length_ = 0;
};

Sha256::Digest sha256(std::span<const std::byte> bytes) noexcept;
std::string to_hex(std::span<const std::byte> bytes);

}  // namespace embedrt
