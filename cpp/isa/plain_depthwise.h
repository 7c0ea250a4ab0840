// The taps of depthwise convolutions in loops that a compiler vectorises for its baseline.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedrt {
namespace {

template <class Vectors, size_t channels>
struct PlainDepthwise {
  using V = Vectors;
  using Pixel = int16_t;
  using Weight = int16_t;
  static constexpr size_t kChannels = channels, kLanes = channels, kLines = 1;
  static constexpr size_t kGroup = channels, kHalf = 0, kRegister = 16;
  static constexpr int kOutputs = 1;
  static constexpr bool kInOrder = true;

  template <class Byte>
  static void unpack(const Byte* const* lines, int16_t* out) {
    for (size_t c = 0; c < channels; ++c) out[c] = lines[0][c];
  }

  struct Sums {
    int32_t v[16];
  };
  static Sums none() { return {}; }
  static const int16_t* load(const int16_t* p) { return p; }
  static Sums add(Sums sums, const int16_t* x, const int16_t* w) {
    for (int i = 0; i < 16; ++i) sums.v[i] += x[i] * w[i];
    return sums;
  }
  static void store(int32_t* p, const Sums& sums) {
    for (int i = 0; i < 16; ++i) p[i] = sums.v[i];
  }
};

}  // namespace
}  // namespace embedrt
