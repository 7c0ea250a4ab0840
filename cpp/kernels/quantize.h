// Float rows → rows of 8-bit or 16-bit integers with a scale and a zero point each (docs/numerics.md, "Quantised
// rows").
#pragma once

#include "kernels/args.h"

namespace embedrt {
namespace {

// Below this a range counts as zero: top / range stays far from overflow, and range / top from the subnormals.
constexpr float kSmallestRange = 0x1p-100f;

// What quantising needs to know of a range that includes zero.
struct RowScale {
  float scale = 0.0f;
  float inverse = 0.0f;
  float zero = 0.0f;  // the zero point, an integer
};

// The integers are 0 … top.
inline RowScale row_scale(float lo, float hi, float top) {
  RowScale r;
  const float range = hi - lo;
  if (range >= kSmallestRange) {
    r.scale = range / top;
    r.inverse = top / range;
    const float zero = -lo * r.inverse;
    // To nearest even: 0 <= zero <= 65535, so adding 1.5·2^23 rounds at the last bit.
    r.zero = ((zero < top ? zero : top) + 12582912.0f) - 12582912.0f;
  }
  return r;
}

// The scale is NaN where a value or the range is not finite.
template <class V>
RowScale scale_of_row(const float* x, size_t columns, float top) {
  using F = typename V::F;
  const F none = V::set1(0.0f);
  const size_t whole = columns / 16 * 16;
  const int tail = static_cast<int>(columns - whole);
  // Four of each: one chain would wait for its own latency. A vector of several registers is as many chains. The order
  // does not matter to any of them.
  constexpr int N = V::kSideBySide == 1 ? 1 : 4;
  F lo[N], hi[N], bad[N];
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) lo[i] = hi[i] = bad[i] = none;
  const auto look = [&](F v, int i) {
    lo[i] = V::min(v, lo[i]);
    hi[i] = V::max(v, hi[i]);
    bad[i] = V::fma(v, none, bad[i]);
  };
  size_t at = 0;
  for (; at + 16 * N <= whole; at += 16 * N)
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) look(V::load(x + at + 16 * static_cast<size_t>(i)), i);
  for (; at < whole; at += 16) look(V::load(x + at), 0);
  if (tail) look(V::first(V::load(x + whole), tail, none), N - 1);
#pragma GCC unroll 4
  for (int i = 1; i < N; ++i) {
    lo[0] = V::min(lo[0], lo[i]);
    hi[0] = V::max(hi[0], hi[i]);
    bad[0] = V::add(bad[0], bad[i]);
  }
  RowScale r = row_scale(-V::reduce_max(V::sub(none, lo[0])), V::reduce_max(hi[0]), top);
  r.scale += V::reduce_add(bad[0]) + (r.scale - r.scale);
  return r;
}

template <class V>
void store_row(const float* x, size_t columns, const RowScale& r, uint8_t* out, size_t stride) {
  const auto inverse = V::set1(r.inverse), zero = V::set1(r.zero);
  const auto convert = [&](size_t c) { return V::round(V::fma(V::load(x + c), inverse, zero)); };
  size_t c = 0;
  for (; c + 64 <= columns; c += 64) {
    const typename V::I v[4] = {convert(c), convert(c + 16), convert(c + 32), convert(c + 48)};
    V::store_clamped_bytes(out + c, v);
  }
  // Past the last column the bytes must be zero; a column that is not there would quantise to the zero point.
  const auto top = V::set1_int(255), bottom = V::set1_int(0);
  for (; c < columns; c += 16) {
    V::store_bytes(out + c, V::min_int(V::max_int(convert(c), bottom), top));
    for (size_t i = columns; i < c + 16; ++i) out[i] = 0;
  }
  for (; c < stride; c += 16) V::store_bytes(out + c, V::set1_int(0));
}

// Planes of high and of low bytes.
template <class V>
void store_row_planes(const float* x, size_t columns, const RowScale& r, uint8_t* out, size_t plane) {
  const auto inverse = V::set1(r.inverse), zero = V::set1(r.zero);
  const auto top = V::set1_int(65535), bottom = V::set1_int(0);
  const auto convert = [&](size_t c) {
    if (c >= columns) return bottom;
    auto a = V::fma(V::load(x + c), inverse, zero);
    if (columns - c < 16) a = V::first(a, static_cast<int>(columns - c), V::set1(0.0f));
    return V::min_int(V::max_int(V::round(a), bottom), top);
  };
  for (size_t c = 0; c < plane; c += 64) {
    const typename V::I v[4] = {convert(c), convert(c + 16), convert(c + 32), convert(c + 48)};
    V::store_planes(out + c, out + plane + c, v);
  }
}

template <class V>
void quantize_rows(const QuantizeArgs& args) noexcept {
  const bool planes = args.out.planes == 2;
  const size_t stride = args.out.stride;
  for (size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    uint8_t* out = args.out.data + row * stride;
    const RowScale r = scale_of_row<V>(x, args.columns, planes ? 65535.0f : 255.0f);
    args.out.scale[row] = r.scale;
    args.out.offset[row] = -(r.scale * r.zero);
    if (!(r.scale == r.scale))  // then the bytes do not matter, and are zeros
      for (size_t c = 0; c < stride; c += 16) V::store_bytes(out + c, V::set1_int(0));
    else if (planes)
      store_row_planes<V>(x, args.columns, r, out, stride / 2);
    else
      store_row<V>(x, args.columns, r, out, stride);
  }
}

}  // namespace
}  // namespace embedrt
