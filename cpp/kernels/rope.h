// Rotary positions: the heads of q and k turned by the angles of their rows.
#pragma once

#include <cstring>

#include "kernels/rows.h"

namespace embedrt {
namespace {

// One head. Both halves of its pairs are loaded before either is stored.
template <class V>
void rotate_head(const float* x, const float* cos, const float* sin, size_t head_dim, float* out) {
  const size_t half = head_dim / 2;
  each_vector(half, [&](size_t c, int lanes) {
    const auto a = V::load(x + c), b = V::load(x + half + c);
    const auto minus_b = V::mul(V::set1(-1.0f), b);
    V::store_first(out + c, V::fma(minus_b, V::load(sin + c), V::mul(a, V::load(cos + c))), lanes);
    V::store_first(out + half + c, V::fma(a, V::load(sin + half + c), V::mul(b, V::load(cos + half + c))), lanes);
  });
}

template <class V>
void rope_rows(const RopeArgs& args) noexcept {
  const size_t turned = args.heads + args.kv_heads, width = turned * args.head_dim;
  for (size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.out_stride;
    const size_t angles = args.positions[row] * args.table_stride;
    for (size_t head = 0; head < turned; ++head)
      rotate_head<V>(x + head * args.head_dim, args.cos + angles, args.sin + angles, args.head_dim,
                     out + head * args.head_dim);
    std::memcpy(out + width, x + width, args.kv_heads * args.head_dim * sizeof(float));
  }
}

}  // namespace
}  // namespace embedrt
