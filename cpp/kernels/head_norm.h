// Each head of q and k normed by itself, as the rows of `norm` are.
#pragma once

#include <cstring>

#include "kernels/rows.h"

namespace embedrt {
namespace {

template <class V>
void head_norm_rows(const HeadNormArgs& args) noexcept {
  for (size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.out_stride;
    const auto norm = [&](size_t heads, const float* weight) {
      norm_rows<V, true>({
          .x = x,
          .x_stride = args.head_dim,
          .rows = heads,
          .columns = args.head_dim,
          .weight = weight,
          .bias = nullptr,
          .epsilon = args.epsilon,
          .rms = args.rms,
          .out = out,
          .out_stride = args.head_dim,
      });
      x += heads * args.head_dim;
      out += heads * args.head_dim;
    };
    norm(args.heads, args.query);
    norm(args.kv_heads, args.key);
    std::memcpy(out, x, args.kv_heads * args.head_dim * sizeof(float));
  }
}

}  // namespace
}  // namespace embedrt
