// Sixteen lanes in one AVX-512 register (F, BW, DQ, VL).
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace embedrt {
namespace {

struct Avx512Vec {
  static constexpr int kSideBySide = 4;  // vectors that fit the registers side by side (kernels/wide.h)
  static constexpr int kFloatRows = 8, kFloatPanels = 2;  // of a tile of float products

  using F = __m512;
  using I = __m512i;

  static F set1(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F a) { _mm512_storeu_ps(p, a); }
  static void store_first(float* p, F a, int n) { _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), a); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F sqrt(F a) { return _mm512_sqrt_ps(a); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  // MAXPS and MINPS return the second operand unless the first is greater (less): the compare-and-select of the
  // contract.
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
  static I float_bits(F a) { return _mm512_castps_si512(a); }
  static void store_bytes(uint8_t* p, I a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a)); }
  // Four vectors of integers of 16 bits with a sign, each lane clamped to 0…255.
  static void store_clamped_bytes(uint8_t* p, const I* a) {
    const __m512i bytes = _mm512_packus_epi16(_mm512_packus_epi32(a[0], a[1]), _mm512_packus_epi32(a[2], a[3]));
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(unpacked_order(), bytes));
  }
  // Of t, the integer that store_clamped_bytes takes for round(max(min(t, 255), 0)): a float below the integers becomes
  // the least one.
  static I round_to_byte(F t) { return round(min(t, set1(255.0f))); }
  static I load_bytes(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void copy_64_bytes(uint8_t* to, const uint8_t* from) { _mm512_storeu_si512(to, _mm512_loadu_si512(from)); }
  static I load_signed_bytes(const int8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }

  static void store_int(int32_t* p, I a) { _mm512_storeu_si512(p, a); }

  // Four vectors of integers below 2^16 → their high and their low bytes, 64 of each in order.
  static void store_planes(uint8_t* hi, uint8_t* lo, const I* p) {
    const __m512i order = unpacked_order();
    const __m512i first = _mm512_packus_epi32(p[0], p[1]), second = _mm512_packus_epi32(p[2], p[3]);
    const __m512i high = _mm512_packus_epi16(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8));
    const __m512i byte = _mm512_set1_epi16(255);
    const __m512i low = _mm512_packus_epi16(_mm512_and_si512(first, byte), _mm512_and_si512(second, byte));
    _mm512_storeu_si512(hi, _mm512_permutexvar_epi32(order, high));
    _mm512_storeu_si512(lo, _mm512_permutexvar_epi32(order, low));
  }
  static void store_quads(int8_t* p, const I* rows) {
    // The packs leave the four columns of each 128-bit quarter together, row after row.
    const __m512i bytes =
        _mm512_packs_epi16(_mm512_packs_epi32(rows[0], rows[1]), _mm512_packs_epi32(rows[2], rows[3]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_castsi512_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 64), _mm512_extracti32x4_epi32(bytes, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 128), _mm512_extracti32x4_epi32(bytes, 2));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 192), _mm512_extracti32x4_epi32(bytes, 3));
  }
  // Lane i: the greatest lane of rows[i].
  static I max_of_rows(const I* rows) {
    __m512 a[8], b[4];
    for (int i = 0; i < 8; ++i) {
      const __m512 x = _mm512_castsi512_ps(rows[2 * i]), y = _mm512_castsi512_ps(rows[2 * i + 1]);
      a[i] = greater(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
    }
    for (int i = 0; i < 4; ++i) {
      const __m512d x = _mm512_castps_pd(a[2 * i]), y = _mm512_castps_pd(a[2 * i + 1]);
      b[i] = greater(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    }
    const __m512 low = greater(_mm512_shuffle_f32x4(b[0], b[1], 0x44), _mm512_shuffle_f32x4(b[0], b[1], 0xee));
    const __m512 high = greater(_mm512_shuffle_f32x4(b[2], b[3], 0x44), _mm512_shuffle_f32x4(b[2], b[3], 0xee));
    return _mm512_castps_si512(greater(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd)));
  }

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
  // Four rows at once, as kernels want them that take kSideBySide rows: each quarter of a register gets the four rows'
  // lanes, then the quarters are combined.
  static void reduce_max_4(const F* rows, float* most) {
    const auto combine = [](F a, F b) { return _mm512_max_ps(a, b); };
    const F low = combine(_mm512_unpacklo_ps(rows[0], rows[1]), _mm512_unpackhi_ps(rows[0], rows[1]));
    const F high = combine(_mm512_unpacklo_ps(rows[2], rows[3]), _mm512_unpackhi_ps(rows[2], rows[3]));
    const F quarters = combine(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xee));
    const F halves = combine(quarters, _mm512_shuffle_f32x4(quarters, quarters, 0x4e));
    _mm_storeu_ps(most, _mm512_castps512_ps128(combine(halves, _mm512_shuffle_f32x4(halves, halves, 0xb1))));
  }
  static void reduce_add_int_4(const I* rows, uint32_t* sums) {
    const auto combine = [](I a, I b) { return _mm512_add_epi32(a, b); };
    const I low = combine(_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[0], rows[1]));
    const I high = combine(_mm512_unpacklo_epi32(rows[2], rows[3]), _mm512_unpackhi_epi32(rows[2], rows[3]));
    const I quarters = combine(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    const I halves = combine(quarters, _mm512_shuffle_i32x4(quarters, quarters, 0x4e));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(sums),
                     _mm512_castsi512_si128(combine(halves, _mm512_shuffle_i32x4(halves, halves, 0xb1))));
  }
  static uint32_t reduce_add_int(I a) { return static_cast<uint32_t>(_mm512_reduce_add_epi32(a)); }

 private:
  // The packs work within 128-bit quarters; this permutation puts the groups of four back in order.
  static __m512i unpacked_order() { return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); }
  // The greater of two lanes as integers; the shuffles exist for floats.
  static __m512 greater(__m512 a, __m512 b) {
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
  }
};

}  // namespace
}  // namespace embedrt
