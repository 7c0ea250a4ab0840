// The taps of depthwise convolutions with vpdpbusd: four lines of 64 channels at once. Unpacking stays within 128-bit
// quarters, so that the sums' channels are out of order; the packs to bytes put them in order again.
#pragma once

#include <immintrin.h>

#include <type_traits>

#include "isa/avx2_depthwise.h"
#include "kernels/depthwise_i8.h"
#include "kernels/vec_avx512.h"

namespace embedrt {
namespace {

struct Avx512VnniDepthwise {
  using V = Avx512Vec;
  using Pixel = uint8_t;
  using Weight = int8_t;
  static constexpr size_t kChannels = 64, kLines = 4;
  static constexpr int kOutputs = 4;  // 16 sums, four weights
  static constexpr bool kInOrder = false;
  static constexpr size_t channel(size_t position) { return position % 16 / 4 * 16 + position / 16 * 4 + position % 4; }

  template <class Byte>
  static void unpack(const Byte* const* lines, Byte* out) {
    const __m512i a = _mm512_loadu_si512(lines[0]), b = _mm512_loadu_si512(lines[1]);
    const __m512i c = _mm512_loadu_si512(lines[2]), d = _mm512_loadu_si512(lines[3]);
    const __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
    _mm512_store_si512(out, _mm512_unpacklo_epi16(ab, cd));
    _mm512_store_si512(out + 64, _mm512_unpackhi_epi16(ab, cd));
    const __m512i high_ab = _mm512_unpackhi_epi8(a, b), high_cd = _mm512_unpackhi_epi8(c, d);
    _mm512_store_si512(out + 128, _mm512_unpacklo_epi16(high_ab, high_cd));
    _mm512_store_si512(out + 192, _mm512_unpackhi_epi16(high_ab, high_cd));
  }

  template <int N>
  static void dots(const uint8_t* x, size_t step, const int8_t* w, size_t groups, int32_t* sums) {
    __m512i sum[N][4];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n)
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) sum[n][i] = _mm512_setzero_si512();
    for (size_t group = 0; group < groups; ++group, x += 256, w += 256)
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m512i weights = _mm512_load_si512(w + 64 * i);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n)
          sum[n][i] =
              _mm512_dpbusd_epi32(sum[n][i], _mm512_load_si512(x + static_cast<size_t>(n) * step + 64 * i), weights);
      }
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n)
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) _mm512_store_si512(sums + 64 * n + 16 * i, sum[n][i]);
  }

  static void finish_bytes(const int32_t* sums, size_t rows, const ByteColumns& columns, uint8_t* out,
                           size_t out_stride) {
    __m512 scale[4], bias[4], most[4];
    for (int i = 0; i < 4; ++i) {
      scale[i] = _mm512_load_ps(columns.scale + 16 * i);
      bias[i] = _mm512_load_ps(columns.bias + 16 * i);
      most[i] = _mm512_load_ps(columns.most + 16 * i);
    }
    for (size_t row = 0; row < rows; ++row, sums += 64, out += out_stride) {
      __m512i bytes[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m512 t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums + 16 * i)), scale[i], bias[i]);
        bytes[i] = _mm512_cvtps_epi32(_mm512_min_ps(t, most[i]));
      }
      _mm512_storeu_si512(
          out, _mm512_packus_epi16(_mm512_packs_epi32(bytes[0], bytes[1]), _mm512_packs_epi32(bytes[2], bytes[3])));
    }
  }
};

struct EvexDot {
  static __m256i dot(__m256i sum, __m256i x, __m256i w) { return _mm256_dpbusd_epi32(sum, x, w); }
};

template <size_t channels>
using Avx512Depthwise =
    std::conditional_t<channels == 64, Avx512VnniDepthwise, Avx2Depthwise<VnniArithmetic<EvexDot>, channels>>;

}  // namespace
}  // namespace embedrt
