// The taps of depthwise convolutions in registers of 32 channels, one or two of them. Unpacking stays within 128-bit
// halves, so that the sums' channels are out of order; the packs to bytes put them in order again.
#pragma once

#include <immintrin.h>

#include "kernels/depthwise_i8.h"

namespace embedrt {
namespace {

// Arithmetic: kLines, Pixel, Weight; unpack() of 32 channels to four registers; add(), eight sums and the products of
// one register.
template <class Arithmetic, size_t channels>
struct Avx2Depthwise {
  using Pixel = typename Arithmetic::Pixel;
  using Weight = typename Arithmetic::Weight;
  static constexpr size_t kChannels = channels, kLanes = channels, kLines = Arithmetic::kLines;
  static constexpr size_t kGroup = channels * kLines, kHalf = 0, kRegister = 8 * kLines;
  static constexpr int kOutputs = 7;
  static constexpr bool kInOrder = false;
  static constexpr size_t channel(size_t lane) {
    const size_t at = lane % 32;
    return lane / 32 * 32 + at % 8 / 4 * 16 + at / 8 * 4 + at % 4;
  }

  template <class Byte, class Element>
  static void unpack(const Byte* const* lines, Element* out) {
    for (size_t from = 0; from < channels; from += 32) {
      const __m256i* at[kLines];
      for (size_t i = 0; i < kLines; ++i) at[i] = reinterpret_cast<const __m256i*>(lines[i] + from);
      Arithmetic::template unpack<Byte>(at, reinterpret_cast<__m256i*>(out + from * kLines));
    }
  }

  using Sums = __m256i;
  static Sums none() { return _mm256_setzero_si256(); }
  static __m256i load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
  static Sums add(Sums sums, __m256i x, __m256i w) { return Arithmetic::add(sums, x, w); }
  static void store(int32_t* p, Sums sums) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), sums); }

  static void finish_bytes(const int32_t* sums, size_t, size_t outputs, const ByteColumns& columns, uint8_t* out,
                           size_t out_stride) {
    for (size_t from = 0; from < channels; from += 32) {
      __m256 scale[4], bias[4], most[4];
      for (size_t i = 0; i < 4; ++i) {
        scale[i] = _mm256_load_ps(columns.scale + from + 8 * i);
        bias[i] = _mm256_load_ps(columns.bias + from + 8 * i);
        most[i] = _mm256_load_ps(columns.most + from + 8 * i);
      }
      for (size_t row = 0; row < outputs; ++row) {
        __m256i byte[4];
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; ++i) {
          const __m256 sum = _mm256_cvtepi32_ps(load(sums + row * channels + from + 8 * i));
          // Negative floats, however large, become negative integers: the packs saturate them to 0.
          byte[i] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_fmadd_ps(sum, scale[i], bias[i]), most[i]));
        }
        const __m256i bytes =
            _mm256_packus_epi16(_mm256_packs_epi32(byte[0], byte[1]), _mm256_packs_epi32(byte[2], byte[3]));
        auto* to = reinterpret_cast<__m256i*>(out + row * out_stride + from);
        _mm256_storeu_si256(to, bytes);
        if constexpr (channels == 32) _mm256_storeu_si256(to + 1, _mm256_setzero_si256());
      }
    }
  }
};

}  // namespace
}  // namespace embedrt
