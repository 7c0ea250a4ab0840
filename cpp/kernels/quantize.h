// Float rows → rows of uint8 with a scale and a zero point each (docs/numerics.md, "Quantised rows").
#pragma once

#include "kernels/kernels.h"

namespace embedrt {
namespace {

// Below this a range counts as zero: 255 / range stays far from overflow, and range / 255 from the subnormals.
constexpr float kSmallestRange = 0x1p-100f;

// What quantising needs to know of a range that includes zero.
struct RowScale {
  float scale = 0.0f;
  float inverse = 0.0f;
  float zero = 0.0f;  // the zero point, an integer
};

inline RowScale row_scale(float lo, float hi) {
  RowScale r;
  const float range = hi - lo;
  if (range >= kSmallestRange) {
    r.scale = range / 255.0f;
    r.inverse = 255.0f / range;
    const float zero = -lo * r.inverse;
    // To nearest even: 0 <= zero <= 255, so adding 1.5·2^23 rounds at the last bit.
    r.zero = ((zero < 255.0f ? zero : 255.0f) + 12582912.0f) - 12582912.0f;
  }
  return r;
}

template <class V>
void quantize_rows(const QuantizeArgs& args) noexcept {
  using F = typename V::F;
  const F none = V::set1(0.0f);
  const size_t whole = args.columns / 16 * 16;
  const int tail = static_cast<int>(args.columns - whole);
  for (size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    // Four of each: one chain would wait for its own latency. The order does not matter to any of them.
    F lo[4] = {none, none, none, none}, hi[4] = {none, none, none, none}, bad[4] = {none, none, none, none};
    const auto look = [&](F v, int i) {
      lo[i] = V::min(v, lo[i]);
      hi[i] = V::max(v, hi[i]);
      bad[i] = V::fma(v, none, bad[i]);
    };
    size_t at = 0;
    for (; at + 64 <= whole; at += 64)
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) look(V::load(x + at + 16 * static_cast<size_t>(i)), i);
    for (; at < whole; at += 16) look(V::load(x + at), 0);
    if (tail) look(V::first(V::load(x + whole), tail, none), 1);
    const F least_x = V::min(V::min(lo[0], lo[1]), V::min(lo[2], lo[3]));
    const F most_x = V::max(V::max(hi[0], hi[1]), V::max(hi[2], hi[3]));
    const F not_finite = V::add(V::add(bad[0], bad[1]), V::add(bad[2], bad[3]));
    RowScale r = row_scale(-V::reduce_max(V::sub(none, least_x)), V::reduce_max(most_x));
    // NaN where a value or the range is not finite; then the bytes do not matter, and are zeros.
    r.scale += V::reduce_add(not_finite) + (r.scale - r.scale);
    const bool finite = r.scale == r.scale;
    args.out.scale[row] = r.scale;
    args.out.offset[row] = -(r.scale * r.zero);

    uint8_t* out = args.out.data + row * args.out.stride;
    const F inverse = V::set1(r.inverse), zero = V::set1(r.zero);
    const auto convert = [&](size_t c) { return V::round(V::fma(V::load(x + c), inverse, zero)); };
    size_t c = 0;
    if (finite) {
      for (; c + 64 <= whole; c += 64) {
        const typename V::I v[4] = {convert(c), convert(c + 16), convert(c + 32), convert(c + 48)};
        V::store_clamped_bytes(out + c, v);
      }
      // Past the last column the bytes must be zero; a column that is not there would quantise to the zero point.
      const auto top = V::set1_int(255), bottom = V::set1_int(0);
      for (; c < args.columns; c += 16) {
        V::store_bytes(out + c, V::min_int(V::max_int(convert(c), bottom), top));
        for (size_t i = args.columns; i < c + 16; ++i) out[i] = 0;
      }
    }
    for (; c < args.out.stride; c += 16) V::store_bytes(out + c, V::set1_int(0));
  }
}

}  // namespace
}  // namespace embedrt
