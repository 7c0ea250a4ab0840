// The taps of depthwise convolutions with vpdpbusd: four lines of 64 channels at once, or of 32 channels of two
// outputs. Unpacking stays within 128-bit quarters, so that the sums' channels are out of order; the packs to bytes put
// them in order again.
#pragma once

#include <immintrin.h>

#include "kernels/depthwise_i8.h"

namespace embedrt {
namespace {

template <size_t channels>
struct Avx512VnniDepthwise {
  using Pixel = uint8_t;
  using Weight = int8_t;
  static constexpr size_t kChannels = channels, kLanes = 64, kLines = 4;
  static constexpr size_t kGroup = 256, kHalf = 32, kRegister = 64;
  static constexpr int kOutputs = 7;
  static constexpr bool kInOrder = false;
  static constexpr size_t channel(size_t lane) { return lane % 16 / 4 * 16 + lane / 16 * 4 + lane % 4; }

  template <class Byte>
  static void unpack(const Byte* const* lines, Byte* out) {
    if constexpr (channels == 64) {
      const __m512i a = _mm512_loadu_si512(lines[0]), b = _mm512_loadu_si512(lines[1]);
      const __m512i c = _mm512_loadu_si512(lines[2]), d = _mm512_loadu_si512(lines[3]);
      const __m512i low_ab = _mm512_unpacklo_epi8(a, b), low_cd = _mm512_unpacklo_epi8(c, d);
      const __m512i high_ab = _mm512_unpackhi_epi8(a, b), high_cd = _mm512_unpackhi_epi8(c, d);
      _mm512_store_si512(out, _mm512_unpacklo_epi16(low_ab, low_cd));
      _mm512_store_si512(out + 64, _mm512_unpackhi_epi16(low_ab, low_cd));
      _mm512_store_si512(out + 128, _mm512_unpacklo_epi16(high_ab, high_cd));
      _mm512_store_si512(out + 192, _mm512_unpackhi_epi16(high_ab, high_cd));
    } else {
      const auto line = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lines[i])); };
      const auto store = [&](int i, __m256i v) { _mm256_store_si256(reinterpret_cast<__m256i*>(out + 64 * i), v); };
      const __m256i a = line(0), b = line(1), c = line(2), d = line(3);
      const __m256i low_ab = _mm256_unpacklo_epi8(a, b), low_cd = _mm256_unpacklo_epi8(c, d);
      const __m256i high_ab = _mm256_unpackhi_epi8(a, b), high_cd = _mm256_unpackhi_epi8(c, d);
      store(0, _mm256_unpacklo_epi16(low_ab, low_cd));
      store(1, _mm256_unpackhi_epi16(low_ab, low_cd));
      store(2, _mm256_unpacklo_epi16(high_ab, high_cd));
      store(3, _mm256_unpackhi_epi16(high_ab, high_cd));
    }
  }

  using Sums = __m512i;
  static Sums none() { return _mm512_setzero_si512(); }
  static __m512i load(const void* p) { return _mm512_load_si512(p); }
  static Sums add(Sums sums, __m512i x, __m512i w) { return _mm512_dpbusd_epi32(sums, x, w); }
  static void store(int32_t* p, Sums sums) { _mm512_store_si512(p, sums); }

  static void finish_bytes(const int32_t* sums, size_t steps, size_t outputs, const ByteColumns& columns, uint8_t* out,
                           size_t out_stride) {
    __m512 scale[4], bias[4], most[4];
    for (int i = 0; i < 4; ++i) {
      scale[i] = _mm512_load_ps(columns.scale + 16 * i);
      bias[i] = _mm512_load_ps(columns.bias + 16 * i);
      most[i] = _mm512_load_ps(columns.most + 16 * i);
    }
    for (size_t step = 0; step < steps; ++step, sums += 64) {
      __m512i byte[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m512 t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums + 16 * i)), scale[i], bias[i]);
        // Negative floats, however large, become negative integers: the packs saturate them to 0.
        byte[i] = _mm512_cvtps_epi32(_mm512_min_ps(t, most[i]));
      }
      const __m512i bytes =
          _mm512_packus_epi16(_mm512_packs_epi32(byte[0], byte[1]), _mm512_packs_epi32(byte[2], byte[3]));
      if constexpr (channels == 64) {
        _mm512_storeu_si512(out + step * out_stride, bytes);
      } else {
        _mm512_storeu_si512(out + step * out_stride, _mm512_maskz_mov_epi64(0x0f, bytes));
        if (steps + step < outputs)
          _mm512_storeu_si512(out + (steps + step) * out_stride, _mm512_maskz_shuffle_i64x2(0x0f, bytes, bytes, 0x0e));
      }
    }
  }
};

}  // namespace
}  // namespace embedrt
