// The taps of depthwise convolutions in registers of 32 channels, one or two of them. Unpacking stays within 128-bit
// halves, so that the sums' channels are out of order; the packs to bytes put them in order again.
#pragma once

#include <immintrin.h>

#include "kernels/depthwise_i8.h"
#include "kernels/vec_avx2.h"

namespace embedrt {
namespace {

// Arithmetic: kLines, Pixel, Weight; unpack() of 32 channels to four registers; add(sum, x, w), one register's products
// added to its eight sums.
template <class Arithmetic, size_t channels>
struct Avx2Depthwise {
  using V = Avx2Vec;
  using Pixel = typename Arithmetic::Pixel;
  using Weight = typename Arithmetic::Weight;
  static constexpr size_t kChannels = channels, kLines = Arithmetic::kLines;
  static constexpr int kOutputs = 2;  // 8 sums of one half
  static constexpr bool kInOrder = false;
  static constexpr size_t channel(size_t position) {
    const size_t at = position % 32;
    return position / 32 * 32 + at % 8 / 4 * 16 + at / 8 * 4 + at % 4;
  }

  template <class Byte, class Element>
  static void unpack(const Byte* const* lines, Element* out) {
    for (size_t half = 0; half < channels; half += 32) {
      const __m256i* at[kLines];
      for (size_t i = 0; i < kLines; ++i) at[i] = reinterpret_cast<const __m256i*>(lines[i] + half);
      Arithmetic::template unpack<Byte>(at, reinterpret_cast<__m256i*>(out + half * kLines));
    }
  }

  template <int N>
  static void dots(const Pixel* x, size_t step, const Weight* w, size_t groups, int32_t* sums) {
    for (size_t half = 0; half < channels; half += 32) {
      __m256i sum[N][4];
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n)
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) sum[n][i] = _mm256_setzero_si256();
      const Pixel* pixels = x + half * kLines;
      const Weight* weights = w + half * kLines;
      for (size_t group = 0; group < groups; ++group, pixels += channels * kLines, weights += channels * kLines)
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const __m256i weight = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights) + i);
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) {
            const auto* pixel = reinterpret_cast<const __m256i*>(pixels + static_cast<size_t>(n) * step) + i;
            sum[n][i] = Arithmetic::add(sum[n][i], _mm256_load_si256(pixel), weight);
          }
        }
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n)
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
          _mm256_store_si256(reinterpret_cast<__m256i*>(sums + static_cast<size_t>(n) * channels + half) + i,
                             sum[n][i]);
    }
  }

  static void finish_bytes(const int32_t* sums, size_t rows, const ByteColumns& columns, uint8_t* out,
                           size_t out_stride) {
    for (size_t half = 0; half < 64; half += 32) {
      if (half >= channels) {
        for (size_t row = 0; row < rows; ++row)
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + row * out_stride + half), _mm256_setzero_si256());
        return;
      }
      __m256 scale[4], bias[4], most[4];
      for (int i = 0; i < 4; ++i) {
        scale[i] = _mm256_load_ps(columns.scale + half + 8 * i);
        bias[i] = _mm256_load_ps(columns.bias + half + 8 * i);
        most[i] = _mm256_load_ps(columns.most + half + 8 * i);
      }
      for (size_t row = 0; row < rows; ++row) {
        __m256i bytes[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const auto* sum = reinterpret_cast<const __m256i*>(sums + row * channels + half) + i;
          const __m256 t = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_load_si256(sum)), scale[i], bias[i]);
          bytes[i] = _mm256_cvtps_epi32(_mm256_min_ps(t, most[i]));
        }
        _mm256_storeu_si256(
            reinterpret_cast<__m256i*>(out + row * out_stride + half),
            _mm256_packus_epi16(_mm256_packs_epi32(bytes[0], bytes[1]), _mm256_packs_epi32(bytes[2], bytes[3])));
      }
    }
  }
};

// vpdpbusd: bytes of four lines. Dot::dot is the instruction, which has two encodings.
template <class Dot>
struct VnniArithmetic {
  using Pixel = uint8_t;
  using Weight = int8_t;
  static constexpr size_t kLines = 4;

  template <class Byte>
  static void unpack(const __m256i* const* lines, __m256i* out) {
    const __m256i a = _mm256_loadu_si256(lines[0]), b = _mm256_loadu_si256(lines[1]);
    const __m256i c = _mm256_loadu_si256(lines[2]), d = _mm256_loadu_si256(lines[3]);
    const __m256i ab = _mm256_unpacklo_epi8(a, b), cd = _mm256_unpacklo_epi8(c, d);
    _mm256_store_si256(out, _mm256_unpacklo_epi16(ab, cd));
    _mm256_store_si256(out + 1, _mm256_unpackhi_epi16(ab, cd));
    const __m256i high_ab = _mm256_unpackhi_epi8(a, b), high_cd = _mm256_unpackhi_epi8(c, d);
    _mm256_store_si256(out + 2, _mm256_unpacklo_epi16(high_ab, high_cd));
    _mm256_store_si256(out + 3, _mm256_unpackhi_epi16(high_ab, high_cd));
  }
  static __m256i add(__m256i sum, __m256i x, __m256i w) { return Dot::dot(sum, x, w); }
};

// vpmaddwd: words of two lines.
struct WordArithmetic {
  using Pixel = int16_t;
  using Weight = int16_t;
  static constexpr size_t kLines = 2;

  template <class Byte>
  static void unpack(const __m256i* const* lines, __m256i* out) {
    const __m256i a = _mm256_loadu_si256(lines[0]), b = _mm256_loadu_si256(lines[1]);
    const __m256i none = _mm256_setzero_si256();
    const __m256i pairs[2] = {_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)};
    for (int i = 0; i < 2; ++i) {
      if constexpr (Byte(-1) < 0) {
        _mm256_store_si256(out + 2 * i, _mm256_srai_epi16(_mm256_unpacklo_epi8(none, pairs[i]), 8));
        _mm256_store_si256(out + 2 * i + 1, _mm256_srai_epi16(_mm256_unpackhi_epi8(none, pairs[i]), 8));
      } else {
        _mm256_store_si256(out + 2 * i, _mm256_unpacklo_epi8(pairs[i], none));
        _mm256_store_si256(out + 2 * i + 1, _mm256_unpackhi_epi8(pairs[i], none));
      }
    }
  }
  static __m256i add(__m256i sum, __m256i x, __m256i w) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }
};

}  // namespace
}  // namespace embedrt
