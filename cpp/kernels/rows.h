// Kernels that work row by row without a product: norm, lookup, add, normalise.
#pragma once

#include "kernels/kernels.h"

namespace embedrt {
namespace {

// Calls body(column, lanes) for each vector of a row; lanes is 16 except in a last, partial vector.
template <class Body>
inline void each_vector(size_t columns, Body body) {
  size_t c = 0;
  for (; c + 16 <= columns; c += 16) body(c, 16);
  if (c < columns) body(c, static_cast<int>(columns - c));
}

template <class V>
void norm_rows(const NormArgs& args) noexcept {
  using F = typename V::F;
  const F none = V::set1(0.0f);
  const float n = static_cast<float>(args.columns);
  for (size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.out_stride;
    F mean = none;
    if (!args.rms) {
      F sum = none;
      each_vector(args.columns, [&](size_t c, int lanes) {
        const F v = V::load(x + c);
        sum = V::add(sum, lanes == 16 ? v : V::first(v, lanes, none));
      });
      mean = V::set1(V::reduce_add(sum) / n);
    }
    F squares = none;
    each_vector(args.columns, [&](size_t c, int lanes) {
      F d = V::sub(V::load(x + c), mean);
      if (lanes < 16) d = V::first(d, lanes, none);
      squares = V::fma(d, d, squares);
    });
    const float variance = V::reduce_add(squares) / n;
    const F inverse = V::div(V::set1(1.0f), V::sqrt(V::set1(variance + args.epsilon)));
    for (size_t c = 0; c < args.columns; c += 16) {
      const F d = V::mul(V::sub(V::load(x + c), mean), inverse);
      const F w = V::load(args.weight + c);
      V::store(out + c, args.bias ? V::fma(d, w, V::load(args.bias + c)) : V::mul(d, w));
    }
  }
}

template <class V>
void lookup_rows(const LookupArgs& args) noexcept {
  for (size_t row = 0; row < args.rows; ++row) {
    float* out = args.out + row * args.out_stride;
    const size_t at = static_cast<size_t>(args.index[row]) * args.table_stride;
    if (args.table_f32) {
      const float* entry = args.table_f32 + at;
      for (size_t c = 0; c < args.columns; c += 16) V::store(out + c, V::load(entry + c));
    } else {
      const int8_t* entry = args.table_i8 + at;
      const auto scale = V::set1(args.scale[args.index[row]]);
      for (size_t c = 0; c < args.columns; c += 16)
        V::store(out + c, V::mul(V::to_float(V::load_signed_bytes(entry + c)), scale));
    }
  }
}

template <class V>
void add_rows(const AddArgs& args) noexcept {
  for (size_t row = 0; row < args.rows; ++row) {
    const float* a = args.a + row * args.a_stride;
    const float* b = args.b + row * args.b_stride;
    float* out = args.out + row * args.out_stride;
    for (size_t c = 0; c < args.columns; c += 16) V::store(out + c, V::add(V::load(a + c), V::load(b + c)));
  }
}

template <class V>
void normalize_rows(const NormalizeArgs& args) noexcept {
  using F = typename V::F;
  const F none = V::set1(0.0f);
  for (size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.out_stride;
    F squares = none;
    each_vector(args.columns, [&](size_t c, int lanes) {
      F v = V::load(x + c);
      if (lanes < 16) v = V::first(v, lanes, none);
      squares = V::fma(v, v, squares);
    });
    const F norm = V::max(V::set1(args.epsilon), V::sqrt(V::set1(V::reduce_add(squares))));
    for (size_t c = 0; c < args.columns; c += 16) V::store(out + c, V::div(V::load(x + c), norm));
  }
}

}  // namespace
}  // namespace embedrt
