// Sixteen lanes in one AVX-512 register (F, BW, DQ, VL).
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace embedrt {
namespace {

struct Avx512Vec {
  using F = __m512;
  using I = __m512i;

  static F set1(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F a) { _mm512_storeu_ps(p, a); }
  static void store_first(float* p, F a, int n) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), a);
  }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F sqrt(F a) { return _mm512_sqrt_ps(a); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  // MAXPS and MINPS return the second operand unless the first is greater (less): the compare-and-select of the contract.
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F first(F a, int n, F fill) { return _mm512_mask_blend_ps(static_cast<__mmask16>((1u << n) - 1), fill, a); }
  static F if_less(F a, F b, F x, F y) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x); }

  static I set1_int(int32_t x) { return _mm512_set1_epi32(x); }
  static I load_int(const int32_t* p) { return _mm512_loadu_si512(p); }
  static I add_int(I a, I b) { return _mm512_add_epi32(a, b); }
  static I sub_int(I a, I b) { return _mm512_sub_epi32(a, b); }
  static I mul_int(I a, I b) { return _mm512_mullo_epi32(a, b); }
  static I and_int(I a, I b) { return _mm512_and_si512(a, b); }
  static I or_int(I a, I b) { return _mm512_or_si512(a, b); }
  static I max_int(I a, I b) { return _mm512_max_epi32(a, b); }
  static I min_int(I a, I b) { return _mm512_min_epi32(a, b); }
  template <int bits>
  static I shift_left(I a) {
    return _mm512_slli_epi32(a, bits);
  }
  template <int bits>
  static I shift_right(I a) {
    return _mm512_srli_epi32(a, bits);
  }
  static I round(F a) { return _mm512_cvtps_epi32(a); }
  static F to_float(I a) { return _mm512_cvtepi32_ps(a); }
  static F bits_to_float(I a) { return _mm512_castsi512_ps(a); }
  static void store_bytes(uint8_t* p, I a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
  }
  static I load_signed_bytes(const int8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }

  static void store_int(int32_t* p, I a) { _mm512_storeu_si512(p, a); }

  static float reduce_add(F a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float reduce_max(F a) {
    const __m256 eight = _mm256_max_ps(_mm512_extractf32x8_ps(a, 1), _mm512_castps512_ps256(a));
    const __m128 four = _mm_max_ps(_mm256_extractf128_ps(eight, 1), _mm256_castps256_ps128(eight));
    const __m128 two = _mm_max_ps(_mm_movehl_ps(four, four), four);
    return _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(two), two));
  }
  static uint32_t reduce_add_int(I a) { return static_cast<uint32_t>(_mm512_reduce_add_epi32(a)); }
};

}  // namespace
}  // namespace embedrt
