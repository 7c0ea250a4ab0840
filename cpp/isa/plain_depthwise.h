// The taps of depthwise convolutions in loops that a compiler vectorises for its baseline.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/depthwise_i8.h"

namespace embedrt {
namespace {

template <size_t channels>
struct PlainDepthwise {
  using Pixel = int16_t;
  using Weight = int16_t;
  static constexpr size_t kChannels = channels, kLanes = channels, kLines = 1;
  static constexpr size_t kGroup = channels, kHalf = 0;
  static constexpr bool kInOrder = true;

  template <class Byte>
  static void unpack(const Byte* const* lines, int16_t* out) {
    for (size_t c = 0; c < channels; ++c) out[c] = lines[0][c];
  }

  // A whole output: compilers keep a vector of sums in registers only within one loop.
  static void sum(const int16_t* x, const int16_t* w, size_t groups, int32_t* sums) {
    for (size_t c = 0; c < channels; c += 16) {
      int32_t sum[16] = {};
      for (size_t at = c; at < groups * channels; at += channels)
        for (size_t i = 0; i < 16; ++i) sum[i] += x[at + i] * w[at + i];
      for (size_t i = 0; i < 16; ++i) sums[c + i] = sum[i];
    }
  }
};

}  // namespace
}  // namespace embedrt
