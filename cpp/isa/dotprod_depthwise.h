// The taps of depthwise convolutions with SDOT: four lines of four channels at once. It wants both operands signed:
// pixels are less 128.
#pragma once

#include <arm_neon.h>

#include "kernels/depthwise_i8.h"

namespace embedrt {
namespace {

template <size_t channels>
struct SdotDepthwise {
  using Pixel = uint8_t;
  using Weight = int8_t;
  static constexpr size_t kChannels = channels, kLanes = channels, kLines = 4;
  static constexpr size_t kGroup = channels * kLines, kHalf = 0, kRegister = 16;
  static constexpr int kOutputs = 7;
  static constexpr bool kInOrder = true;
  static constexpr int32_t kLess = 128;

  template <class Byte>
  static void unpack(const Byte* const* lines, Byte* out) {
    const auto line = [&](int i, size_t at) {
      const uint8x16_t bytes = vld1q_u8(reinterpret_cast<const uint8_t*>(lines[i]) + at);
      return Byte(-1) < 0 ? bytes : veorq_u8(bytes, vdupq_n_u8(128));
    };
    for (size_t at = 0; at < channels; at += 16) {
      const uint8x16x2_t ab = vzipq_u8(line(0, at), line(1, at)), cd = vzipq_u8(line(2, at), line(3, at));
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const uint16x8x2_t quads = vzipq_u16(vreinterpretq_u16_u8(ab.val[half]), vreinterpretq_u16_u8(cd.val[half]));
        auto* to = reinterpret_cast<uint16_t*>(out + at * kLines + static_cast<size_t>(half) * 32);
        vst1q_u16(to, quads.val[0]);
        vst1q_u16(to + 8, quads.val[1]);
      }
    }
  }

  using Sums = int32x4_t;
  static Sums load_sums(const int32_t* p) { return vld1q_s32(p); }
  static uint8x16_t load(const uint8_t* p) { return vld1q_u8(p); }
  static int8x16_t load(const int8_t* p) { return vld1q_s8(p); }
  static Sums add(Sums sums, uint8x16_t x, int8x16_t w) { return vdotq_s32(sums, vreinterpretq_s8_u8(x), w); }
  static void store(int32_t* p, Sums sums) { vst1q_s32(p, sums); }
};

}  // namespace
}  // namespace embedrt
