// One segment → one row: attention of one constant query, in float32.
#pragma once

#include "kernels/attention_f32.h"

namespace embedrt {
namespace {

// Scores of up to sixteen keys, one in each lane. Sixteen columns at a time are turned so that a vector has one column
// of every key; each sum still runs over the columns in order.
template <class V>
typename V::F scores_of_keys(const float* query, const float* k, size_t stride, size_t count, size_t head_dim) {
  auto s = V::set1(0.0f);
  for (size_t c = 0; c < head_dim; c += 16) {
    const size_t columns = head_dim - c < 16 ? head_dim - c : 16;
    alignas(64) float keys[16][16] = {};
    for (size_t j = 0; j < count; ++j)
      for (size_t i = 0; i < columns; ++i) keys[i][j] = k[j * stride + c + i];
    for (size_t i = 0; i < columns; ++i) s = V::fma(V::set1(query[c + i]), V::load(keys[i]), s);
  }
  return s;
}

template <class V>
void attention_pool(const AttentionPoolArgs& args) noexcept {
  float* scores = static_cast<float*>(args.scratch);
  const size_t width = args.heads * args.head_dim;
  for (size_t head = 0; head < args.heads; ++head) {
    const float* k = args.kv + head * args.head_dim;
    for (size_t j = 0; j < args.tokens; j += 16) {
      const size_t count = args.tokens - j < 16 ? args.tokens - j : 16;
      const auto s = scores_of_keys<V>(args.query + head * args.head_dim, k + j * args.kv_stride, args.kv_stride, count,
                                       args.head_dim);
      V::store(scores + j, V::mul(s, V::set1(args.scale)));
    }
    const float sum = softmax_f32<V>(scores, {0, args.tokens});
    weigh_values<V>(scores, sum, k + width, args.kv_stride, args.tokens, args.head_dim,
                    args.out + head * args.head_dim);
  }
}

}  // namespace
}  // namespace embedrt
