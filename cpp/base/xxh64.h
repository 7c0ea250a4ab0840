// XXH64: the checksum of the file's sections. It finds accidents; it does not resist an adversary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace embedrt {

uint64_t xxh64(std::span<const std::byte> bytes, uint64_t seed = 0) noexcept;

}  // namespace embedrt
