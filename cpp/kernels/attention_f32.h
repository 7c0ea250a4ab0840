// Attention of one segment in float32 (docs/numerics.md, "attention, float32"): the reference precision, plainly
// written.
#pragma once

#include "kernels/attention_keys.h"
#include "kernels/math.h"
#include "kernels/rows.h"

namespace embedrt {
namespace {

struct AttentionF32Layout {
  size_t key_stride;  // floats: keys of one column, side by side
  size_t keys, scores, total;

  AttentionF32Layout(size_t tokens, size_t head_dim) {
    key_stride = round_up(tokens, 16);
    keys = 0;
    scores = keys + head_dim * key_stride * sizeof(float);
    total = scores + key_stride * sizeof(float);
  }
};

inline size_t attention_f32_scratch(size_t tokens, size_t head_dim, size_t) noexcept {
  return AttentionF32Layout(tokens, head_dim).total;
}

// One query's scores → numerators, zeros around them in their first and their last vector. Returns their sum, NaN when
// a score is not finite: max alone would pass it over.
template <class V>
float softmax_f32(float* scores, Keys keys) {
  using F = typename V::F;
  const F lowest = V::set1(-3.0e38f), none = V::set1(0.0f);
  F most = lowest, bad = none;
  const size_t first = keys.first / 16 * 16;
  for (size_t j = first; j < keys.last; j += 16) {
    const F s = only_seen<V>(V::load(scores + j), j, keys, lowest);
    most = V::max(s, most);
    bad = V::fma(s, none, bad);
  }
  const F top = V::set1(V::reduce_max(most));
  F sums = none;
  for (size_t j = first; j < keys.last; j += 16) {
    const F p = only_seen<V>(Math<V>::exp(V::sub(V::load(scores + j), top)), j, keys, none);
    V::store(scores + j, p);
    sums = V::add(sums, p);
  }
  return V::reduce_add(sums) + V::reduce_add(bad);
}

// out = p · values / sum, one head's columns.
template <class V>
void weigh_values(const float* p, float sum, const float* values, size_t stride, size_t count, size_t columns,
                  float* out) {
  each_vector(columns, [&](size_t c, int lanes) {
    auto y = V::set1(0.0f);
    for (size_t j = 0; j < count; ++j) y = V::fma(V::set1(p[j]), V::load(values + j * stride + c), y);
    V::store_first(out + c, V::div(y, V::set1(sum)), lanes);
  });
}

template <class V>
void attention_f32(const AttentionArgs& args) noexcept {
  using F = typename V::F;
  const AttentionF32Layout at(args.keys(), args.head_dim);
  float* keys = reinterpret_cast<float*>(static_cast<char*>(args.scratch) + at.keys);
  float* scores = reinterpret_cast<float*>(static_cast<char*>(args.scratch) + at.scores);
  const size_t group = args.heads / args.kv_heads, width = args.kv_heads * args.head_dim;
  const F scale = V::set1(args.scale);
  for (size_t kv = 0; kv < args.kv_heads; ++kv) {
    const float* k = args.qkv + (args.heads + kv) * args.head_dim;
    const float* v = k + width;
    for (size_t j = 0; j < at.key_stride; ++j)
      for (size_t c = 0; c < args.head_dim; ++c)
        keys[c * at.key_stride + j] = j < args.keys() ? k[j * args.qkv_stride + c] : 0.0f;
    for (size_t head = kv * group; head < (kv + 1) * group; ++head) {
      const float* q = args.qkv + head * args.head_dim;
      const float* bias = args.bias ? args.bias + head * args.bias_stride : nullptr;
      for (size_t i = 0; i < args.tokens; ++i) {
        const float* query = q + i * args.qkv_stride;
        const Keys seen = keys_seen(args, i, 1);
        for (size_t j = seen.first / 16 * 16; j < seen.last; j += 16) {
          F s = V::set1(0.0f);
          for (size_t c = 0; c < args.head_dim; ++c)
            s = V::fma(V::set1(query[c]), V::load(keys + c * at.key_stride + j), s);
          V::store(scores + j, bias ? V::fma(s, scale, V::load(bias + j - i)) : V::mul(s, scale));
        }
        const float sum = softmax_f32<V>(scores, seen);
        weigh_values<V>(scores + seen.first, sum, v + seen.first * args.qkv_stride, args.qkv_stride,
                        seen.last - seen.first, args.head_dim, args.out + i * args.out_stride + head * args.head_dim);
      }
    }
  }
}

}  // namespace
}  // namespace embedrt
