// Attention of one segment in float32 (docs/numerics.md, "attention, float32"): the reference precision, plainly
// written.
#pragma once

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

template <class V>
size_t attention_f32_scratch(size_t tokens, size_t head_dim) noexcept {
  return AttentionF32Layout(tokens, head_dim).total;
}

template <class V>
void attention_f32(const AttentionArgs& args) noexcept {
  using F = typename V::F;
  const AttentionF32Layout at(args.tokens, args.head_dim);
  float* keys = reinterpret_cast<float*>(static_cast<char*>(args.scratch) + at.keys);
  float* scores = reinterpret_cast<float*>(static_cast<char*>(args.scratch) + at.scores);
  const size_t width = args.heads * args.head_dim;
  const F lowest = V::set1(-3.0e38f), none = V::set1(0.0f), scale = V::set1(args.scale);
  for (size_t head = 0; head < args.heads; ++head) {
    const float* q = args.qkv + head * args.head_dim;
    const float* k = q + width;
    const float* v = k + width;
    for (size_t j = 0; j < at.key_stride; ++j)
      for (size_t c = 0; c < args.head_dim; ++c)
        keys[c * at.key_stride + j] = j < args.tokens ? k[j * args.qkv_stride + c] : 0.0f;
    for (size_t i = 0; i < args.tokens; ++i) {
      const float* query = q + i * args.qkv_stride;
      F most = lowest;
      F bad = none;
      each_vector(args.tokens, [&](size_t j, int lanes) {
        F s = none;
        for (size_t c = 0; c < args.head_dim; ++c)
          s = V::fma(V::set1(query[c]), V::load(keys + c * at.key_stride + j), s);
        s = V::mul(s, scale);
        bad = V::fma(s, none, bad);
        if (lanes < 16) s = V::first(s, lanes, lowest);
        most = V::max(s, most);
        V::store(scores + j, s);
      });
      const F top = V::set1(V::reduce_max(most));
      F sums = none;
      for (size_t j = 0; j < args.tokens; j += 16) {
        const F p = Math<V>::exp(V::sub(V::load(scores + j), top));
        const size_t left = args.tokens - j;
        const F kept = left < 16 ? V::first(p, static_cast<int>(left), none) : p;
        V::store(scores + j, kept);
        sums = V::add(sums, kept);
      }
      const F sum = V::set1(V::reduce_add(sums) + V::reduce_add(bad));
      float* out = args.out + i * args.out_stride + head * args.head_dim;
      each_vector(args.head_dim, [&](size_t c, int lanes) {
        F y = none;
        for (size_t j = 0; j < args.tokens; ++j)
          y = V::fma(V::set1(scores[j]), V::load(v + j * args.qkv_stride + c), y);
        V::store_first(out + c, V::div(y, sum), lanes);
      });
    }
  }
}

}  // namespace
}  // namespace embedrt
