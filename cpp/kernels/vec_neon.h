// Sixteen lanes in four NEON registers (aarch64).
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace embedrt {
namespace {

struct NeonVec {
  static constexpr int kSideBySide = 1;  // vectors that fit the registers side by side (kernels/wide.h)
  static constexpr int kFloatRows = 6, kFloatPanels = 1;  // of a tile of float products

  struct F {
    float32x4_t a, b, c, d;
  };
  // Unsigned inside: the sums of the contract wrap, and the signed intrinsics are plain C++ operators to some
  // compilers.
  struct I {
    uint32x4_t a, b, c, d;
  };

  template <class R, class G, class... X>
  static R map(G g, X... x) {
    return {g(x.a...), g(x.b...), g(x.c...), g(x.d...)};
  }
  static int32x4_t to_signed(uint32x4_t x) { return vreinterpretq_s32_u32(x); }
  static uint32x4_t to_unsigned(int32x4_t x) { return vreinterpretq_u32_s32(x); }
  // The lanes below n, as masks.
  static I below(int n) {
    static constexpr int32_t kLanes[4] = {0, 1, 2, 3};
    const int32x4_t lane = vld1q_s32(kLanes);
    const auto part = [&](int from) { return vcltq_s32(lane, vdupq_n_s32(n - from)); };
    return {part(0), part(4), part(8), part(12)};
  }

  static F set1(float x) {
    const float32x4_t v = vdupq_n_f32(x);
    return {v, v, v, v};
  }
  static F load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}; }
  static void store(float* p, F x) {
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
  }
  static void store_first(float* p, F x, int n) {
    if (n == 16) return store(p, x);
    float all[16];
    store(all, x);
    std::memcpy(p, all, static_cast<size_t>(n) * sizeof(float));
  }
  static F add(F x, F y) {
    return map<F>([](auto p, auto q) { return vaddq_f32(p, q); }, x, y);
  }
  static F sub(F x, F y) {
    return map<F>([](auto p, auto q) { return vsubq_f32(p, q); }, x, y);
  }
  static F mul(F x, F y) {
    return map<F>([](auto p, auto q) { return vmulq_f32(p, q); }, x, y);
  }
  static F div(F x, F y) {
    return map<F>([](auto p, auto q) { return vdivq_f32(p, q); }, x, y);
  }
  static F sqrt(F x) {
    return map<F>([](auto p) { return vsqrtq_f32(p); }, x);
  }
  static F fma(F x, F y, F z) {
    return map<F>([](auto p, auto q, auto r) { return vfmaq_f32(r, p, q); }, x, y, z);
  }
  // FMAX and FMIN would hand a NaN on and order the zeros; the contract compares and selects.
  static F max(F x, F y) {
    return map<F>([](auto p, auto q) { return vbslq_f32(vcgtq_f32(p, q), p, q); }, x, y);
  }
  static F min(F x, F y) {
    return map<F>([](auto p, auto q) { return vbslq_f32(vcltq_f32(p, q), p, q); }, x, y);
  }
  static F abs(F x) {
    return map<F>([](auto p) { return vabsq_f32(p); }, x);
  }
  static F first(F x, int n, F fill) {
    return map<F>([](auto mask, auto p, auto q) { return vbslq_f32(mask, p, q); }, below(n), x, fill);
  }
  static F if_less(F x, F y, F yes, F no) {
    return map<F>([](auto p, auto q, auto r, auto s) { return vbslq_f32(vcltq_f32(p, q), r, s); }, x, y, yes, no);
  }

  static I set1_int(int32_t x) {
    const uint32x4_t v = vdupq_n_u32(static_cast<uint32_t>(x));
    return {v, v, v, v};
  }
  static I load_int(const int32_t* p) {
    return {to_unsigned(vld1q_s32(p)), to_unsigned(vld1q_s32(p + 4)), to_unsigned(vld1q_s32(p + 8)),
            to_unsigned(vld1q_s32(p + 12))};
  }
  static I add_int(I x, I y) {
    return map<I>([](auto p, auto q) { return vaddq_u32(p, q); }, x, y);
  }
  static I sub_int(I x, I y) {
    return map<I>([](auto p, auto q) { return vsubq_u32(p, q); }, x, y);
  }
  static I mul_int(I x, I y) {
    return map<I>([](auto p, auto q) { return vmulq_u32(p, q); }, x, y);
  }
  static I and_int(I x, I y) {
    return map<I>([](auto p, auto q) { return vandq_u32(p, q); }, x, y);
  }
  static I or_int(I x, I y) {
    return map<I>([](auto p, auto q) { return vorrq_u32(p, q); }, x, y);
  }
  static I max_int(I x, I y) {
    return map<I>([](auto p, auto q) { return to_unsigned(vmaxq_s32(to_signed(p), to_signed(q))); }, x, y);
  }
  static I min_int(I x, I y) {
    return map<I>([](auto p, auto q) { return to_unsigned(vminq_s32(to_signed(p), to_signed(q))); }, x, y);
  }
  template <int bits>
  static I shift_left(I x) {
    return map<I>([](auto p) { return vshlq_n_u32(p, bits); }, x);
  }
  template <int bits>
  static I shift_right(I x) {
    return map<I>([](auto p) { return vshrq_n_u32(p, bits); }, x);
  }
  static I round(F x) {
    return map<I>([](auto p) { return to_unsigned(vcvtnq_s32_f32(p)); }, x);
  }
  static F to_float(I x) {
    return map<F>([](auto p) { return vcvtq_f32_s32(to_signed(p)); }, x);
  }
  static F bits_to_float(I x) {
    return map<F>([](auto p) { return vreinterpretq_f32_u32(p); }, x);
  }
  static I float_bits(F x) {
    return map<I>([](auto p) { return vreinterpretq_u32_f32(p); }, x);
  }
  // UZP1 keeps the low half of each lane: no saturation.
  static uint8x16_t low_bytes(I x) {
    const uint16x8_t low = vuzp1q_u16(vreinterpretq_u16_u32(x.a), vreinterpretq_u16_u32(x.b));
    const uint16x8_t high = vuzp1q_u16(vreinterpretq_u16_u32(x.c), vreinterpretq_u16_u32(x.d));
    return vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
  }
  static void store_bytes(uint8_t* p, I x) { vst1q_u8(p, low_bytes(x)); }
  // Four vectors of integers of 16 bits with a sign, each lane clamped to 0…255.
  static void store_clamped_bytes(uint8_t* p, const I* x) {
    const auto pack = [](uint32x4_t low, uint32x4_t high) {
      return vqmovn_u16(vcombine_u16(vqmovun_s32(to_signed(low)), vqmovun_s32(to_signed(high))));
    };
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) vst1q_u8(p + 16 * i, vcombine_u8(pack(x[i].a, x[i].b), pack(x[i].c, x[i].d)));
  }
  // Of t, the integer that store_clamped_bytes takes for round(max(min(t, 255), 0)): a float below the integers becomes
  // the least one.
  static I round_to_byte(F t) { return round(min(t, set1(255.0f))); }
  static I load_bytes(const uint8_t* p) {
    const uint8x16_t bytes = vld1q_u8(p);
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_u8(vget_high_u8(bytes));
    return {vmovl_u16(vget_low_u16(low)), vmovl_u16(vget_high_u16(low)), vmovl_u16(vget_low_u16(high)),
            vmovl_u16(vget_high_u16(high))};
  }
  static void copy_64_bytes(uint8_t* to, const uint8_t* from) { std::memcpy(to, from, 64); }
  static I load_signed_bytes(const int8_t* p) {
    const int8x16_t bytes = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    const auto widen = [](int16x4_t x) { return to_unsigned(vmovl_s16(x)); };
    return {widen(vget_low_s16(low)), widen(vget_high_s16(low)), widen(vget_low_s16(high)), widen(vget_high_s16(high))};
  }

  static void store_int(int32_t* p, I x) {
    vst1q_s32(p, to_signed(x.a));
    vst1q_s32(p + 4, to_signed(x.b));
    vst1q_s32(p + 8, to_signed(x.c));
    vst1q_s32(p + 12, to_signed(x.d));
  }

  // Four vectors of integers below 2^16 → their high and their low bytes, 64 of each in order.
  static void store_planes(uint8_t* hi, uint8_t* lo, const I* p) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      store_bytes(hi + 16 * i, shift_right<8>(p[i]));
      store_bytes(lo + 16 * i, p[i]);
    }
  }
  static void store_quads(int8_t* p, const I* rows) {
    const auto row = [&](int r) { return vreinterpretq_u32_u8(low_bytes(rows[r])); };
    const uint32x4x2_t even = vzipq_u32(row(0), row(2)), odd = vzipq_u32(row(1), row(3));
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const uint32x4x2_t quads = vzipq_u32(even.val[half], odd.val[half]);
      vst1q_s8(p + 128 * half, vreinterpretq_s8_u32(quads.val[0]));
      vst1q_s8(p + 128 * half + 64, vreinterpretq_s8_u32(quads.val[1]));
    }
  }
  // Lane i: the greatest lane of rows[i].
  static I max_of_rows(const I* rows) {
    const auto row = [&](int r) {
      const auto greater = [](uint32x4_t p, uint32x4_t q) { return vmaxq_s32(to_signed(p), to_signed(q)); };
      return vmaxq_s32(greater(rows[r].a, rows[r].b), greater(rows[r].c, rows[r].d));
    };
    const auto four = [&](int r) {
      return to_unsigned(vpmaxq_s32(vpmaxq_s32(row(r), row(r + 1)), vpmaxq_s32(row(r + 2), row(r + 3))));
    };
    return {four(0), four(4), four(8), four(12)};
  }

  static float reduce_add(F x) {
    const float32x4_t four = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static float reduce_max(F x) {
    const auto greater = [](float32x4_t p, float32x4_t q) { return vbslq_f32(vcgtq_f32(p, q), p, q); };
    const float32x4_t four = greater(greater(x.d, x.b), greater(x.c, x.a));
    const float32x2_t low = vget_low_f32(four), high = vget_high_f32(four);
    const float32x2_t two = vbsl_f32(vcgt_f32(high, low), high, low);
    const float even = vget_lane_f32(two, 0), odd = vget_lane_f32(two, 1);
    return odd > even ? odd : even;
  }
  static uint32_t reduce_add_int(I x) { return vaddvq_u32(vaddq_u32(vaddq_u32(x.a, x.b), vaddq_u32(x.c, x.d))); }
};

}  // namespace
}  // namespace embedrt
