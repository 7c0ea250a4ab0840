// Kernels that work row by row without a product: norm, lookup, add, normalise.
#pragma once

#include "kernels/args.h"

namespace embedrt {
namespace {

// Calls body(column, lanes) for each vector of a row; lanes is 16 except in a last, partial vector.
template <class Body>
inline void each_vector(size_t columns, Body body) {
  size_t c = 0;
  for (; c + 16 <= columns; c += 16) body(c, 16);
  if (c < columns) body(c, static_cast<int>(columns - c));
}

// N rows side by side: the sums of one row would wait for each other. `tight`: what stands past the last column of a
// row is the next one's, and is not written.
template <class V, int N, bool tight>
void norm_some_rows(const NormArgs& args, size_t row) {
  using F = typename V::F;
  const F none = V::set1(0.0f);
  const float n = static_cast<float>(args.columns);
  const float* x = args.x + row * args.x_stride;
  float* out = args.out + row * args.out_stride;
  const auto value = [&](int r, size_t c) { return V::load(x + static_cast<size_t>(r) * args.x_stride + c); };
  F mean[N], sums[N];
  for (int r = 0; r < N; ++r) mean[r] = sums[r] = none;
  if (!args.rms) {
    each_vector(args.columns, [&](size_t c, int lanes) {
      for (int r = 0; r < N; ++r) {
        const F v = value(r, c);
        sums[r] = V::add(sums[r], lanes == 16 ? v : V::first(v, lanes, none));
      }
    });
    for (int r = 0; r < N; ++r) mean[r] = V::set1(V::reduce_add(sums[r]) / n);
  }
  for (int r = 0; r < N; ++r) sums[r] = none;
  each_vector(args.columns, [&](size_t c, int lanes) {
    for (int r = 0; r < N; ++r) {
      F d = V::sub(value(r, c), mean[r]);
      if (lanes < 16) d = V::first(d, lanes, none);
      sums[r] = V::fma(d, d, sums[r]);
    }
  });
  F inverse[N];
  for (int r = 0; r < N; ++r) {
    const float variance = V::reduce_add(sums[r]) / n;
    inverse[r] = V::div(V::set1(1.0f), V::sqrt(V::set1(variance + args.epsilon)));
  }
  each_vector(args.columns, [&](size_t c, int lanes) {
    const F w = V::load(args.weight + c);
    for (int r = 0; r < N; ++r) {
      const F d = V::mul(V::sub(value(r, c), mean[r]), inverse[r]);
      const F y = args.bias ? V::fma(d, w, V::load(args.bias + c)) : V::mul(d, w);
      float* to = out + static_cast<size_t>(r) * args.out_stride + c;
      if (tight && lanes < 16) {
        V::store_first(to, y, lanes);
      } else {
        V::store(to, y);
      }
    }
  });
}

template <class V, bool tight = false>
void norm_rows(const NormArgs& args) noexcept {
  size_t row = 0;
  for (; row + V::kSideBySide <= args.rows; row += V::kSideBySide) norm_some_rows<V, V::kSideBySide, tight>(args, row);
  for (; row < args.rows; ++row) norm_some_rows<V, 1, tight>(args, row);
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
