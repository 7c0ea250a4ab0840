// Sixteen virtual lanes in plain C++: the definition, to the bit, of what every other vector header does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace embedrt {
namespace {

// Correctly rounded fused multiply-add. Where the target has the instruction the compiler uses it; elsewhere the
// product is exact in double (24 + 24 bits), the sum is rounded to odd by its exact error (Boldo and Melquiond,
// "Emulation of FMA and correctly rounded sums", 2008), and the final conversion to float then rounds once.
inline float fused_multiply_add(float a, float b, float c) {
#ifdef __FP_FAST_FMAF
  return __builtin_fmaf(a, b, c);
#else
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = static_cast<double>(c);
  double sum = product + addend;
  const double back = sum - product;
  const double error = (product - (sum - back)) + (addend - back);
  if (error != 0.0 && error - error == 0.0) {
    uint64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    if ((bits & 1) == 0) {
      bits += (error > 0.0) == (sum > 0.0) ? 1 : static_cast<uint64_t>(-1);
      std::memcpy(&sum, &bits, sizeof bits);
    }
  }
  return static_cast<float>(sum);
#endif
}

struct ScalarVec {
  static constexpr int kSideBySide = 1;  // vectors that fit the registers side by side (kernels/wide.h)
  static constexpr int kFloatRows = 1, kFloatPanels = 1;  // of a tile of float products

  struct F {
    float v[16];
  };
  struct I {
    int32_t v[16];
  };

  template <class G>
  static F make(G g) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = g(i);
    return r;
  }
  template <class G>
  static I make_int(G g) {
    I r;
    for (int i = 0; i < 16; ++i) r.v[i] = g(i);
    return r;
  }

  static F set1(float x) {
    return make([&](int) { return x; });
  }
  static F load(const float* p) {
    return make([&](int i) { return p[i]; });
  }
  static void store(float* p, F a) { std::memcpy(p, a.v, sizeof a.v); }
  static void store_first(float* p, F a, int n) { std::memcpy(p, a.v, static_cast<size_t>(n) * sizeof(float)); }
  static F add(F a, F b) {
    return make([&](int i) { return a.v[i] + b.v[i]; });
  }
  static F sub(F a, F b) {
    return make([&](int i) { return a.v[i] - b.v[i]; });
  }
  static F mul(F a, F b) {
    return make([&](int i) { return a.v[i] * b.v[i]; });
  }
  static F div(F a, F b) {
    return make([&](int i) { return a.v[i] / b.v[i]; });
  }
  static F sqrt(F a) {
    return make([&](int i) { return __builtin_sqrtf(a.v[i]); });
  }
  static F fma(F a, F b, F c) {
    return make([&](int i) { return fused_multiply_add(a.v[i], b.v[i], c.v[i]); });
  }
  // Compare and select, so that a NaN in `a` is passed over: a > b ? a : b.
  static F max(F a, F b) {
    return make([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F min(F a, F b) {
    return make([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F abs(F a) {
    return make([&](int i) { return __builtin_fabsf(a.v[i]); });
  }
  // The lanes below n of `a`; the rest of `fill`.
  static F first(F a, int n, F fill) {
    return make([&](int i) { return i < n ? a.v[i] : fill.v[i]; });
  }
  // a < b ? x : y
  static F if_less(F a, F b, F x, F y) {
    return make([&](int i) { return a.v[i] < b.v[i] ? x.v[i] : y.v[i]; });
  }

  static I set1_int(int32_t x) {
    return make_int([&](int) { return x; });
  }
  static I load_int(const int32_t* p) {
    return make_int([&](int i) { return p[i]; });
  }
  static I add_int(I a, I b) {
    return make_int(
        [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) + static_cast<uint32_t>(b.v[i])); });
  }
  static I sub_int(I a, I b) {
    return make_int(
        [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) - static_cast<uint32_t>(b.v[i])); });
  }
  static I mul_int(I a, I b) {
    return make_int(
        [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) * static_cast<uint32_t>(b.v[i])); });
  }
  static I and_int(I a, I b) {
    return make_int([&](int i) { return a.v[i] & b.v[i]; });
  }
  static I or_int(I a, I b) {
    return make_int([&](int i) { return a.v[i] | b.v[i]; });
  }
  static I max_int(I a, I b) {
    return make_int([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static I min_int(I a, I b) {
    return make_int([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  template <int bits>
  static I shift_left(I a) {
    return make_int([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << bits); });
  }
  template <int bits>
  static I shift_right(I a) {
    return make_int([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) >> bits); });
  }
  // To nearest even, for |a| below 2^22: adding 1.5·2^23 leaves the rounded integer in the low bits of the sum. Of any
  // other float the result is unspecified.
  static I round(F a) {
    return make_int([&](int i) {
      const float shifted = a.v[i] + 12582912.0f;
      uint32_t bits;
      std::memcpy(&bits, &shifted, sizeof bits);
      return static_cast<int32_t>(bits - 0x4b400000u);
    });
  }
  static F to_float(I a) {
    return make([&](int i) { return static_cast<float>(a.v[i]); });
  }
  static F bits_to_float(I a) {
    F r;
    std::memcpy(r.v, a.v, sizeof r.v);
    return r;
  }
  static I float_bits(F a) {
    I r;
    std::memcpy(r.v, a.v, sizeof r.v);
    return r;
  }
  // The low byte of each lane.
  static void store_bytes(uint8_t* p, I a) {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<uint8_t>(a.v[i]);
  }
  // Four vectors of integers of 16 bits with a sign, each lane clamped to 0…255.
  static void store_clamped_bytes(uint8_t* p, const I* a) {
    for (int i = 0; i < 64; ++i) {
      const int32_t x = a[i / 16].v[i % 16];
      p[i] = static_cast<uint8_t>(x < 0 ? 0 : x > 255 ? 255 : x);
    }
  }
  // Of t, the integer that store_clamped_bytes takes for round(max(min(t, 255), 0)).
  static I round_to_byte(F t) { return round(max(min(t, set1(255.0f)), set1(0.0f))); }
  static I load_bytes(const uint8_t* p) {
    return make_int([&](int i) { return p[i]; });
  }
  static void copy_64_bytes(uint8_t* to, const uint8_t* from) { std::memcpy(to, from, 64); }
  static I load_signed_bytes(const int8_t* p) {
    return make_int([&](int i) { return p[i]; });
  }

  static void store_int(int32_t* p, I a) { std::memcpy(p, a.v, sizeof a.v); }

  // Four vectors of integers below 2^16 → their high and their low bytes, 64 of each in order.
  static void store_planes(uint8_t* hi, uint8_t* lo, const I* p) {
    for (int i = 0; i < 4; ++i) {
      store_bytes(hi + 16 * i, shift_right<8>(p[i]));
      store_bytes(lo + 16 * i, p[i]);
    }
  }
  // Four rows of integers within a signed byte → quads of columns, the rows of each side by side: byte i of row r goes
  // to p[64 · (i / 4) + 4 · r + i % 4].
  static void store_quads(int8_t* p, const I* rows) {
    for (int i = 0; i < 16; ++i)
      for (int r = 0; r < 4; ++r) p[64 * (i / 4) + 4 * r + i % 4] = static_cast<int8_t>(rows[r].v[i]);
  }
  // Lane i: the greatest lane of rows[i].
  static I max_of_rows(const I* rows) {
    return make_int([&](int i) {
      int32_t most = rows[i].v[0];
      for (int j = 1; j < 16; ++j) most = rows[i].v[j] > most ? rows[i].v[j] : most;
      return most;
    });
  }

  // ((i + (i+8)) + ...) as docs/numerics.md, rule 5.
  static float reduce_add(F a) {
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) a.v[i] = a.v[i] + a.v[i + half];
    return a.v[0];
  }
  static float reduce_max(F a) {
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) a.v[i] = a.v[i + half] > a.v[i] ? a.v[i + half] : a.v[i];
    return a.v[0];
  }
  static uint32_t reduce_add_int(I a) {
    uint32_t sum = 0;
    for (int i = 0; i < 16; ++i) sum += static_cast<uint32_t>(a.v[i]);
    return sum;
  }
};

}  // namespace
}  // namespace embedrt
