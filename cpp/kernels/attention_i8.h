// Attention of one segment with exact integer products (docs/numerics.md, "attention, int8").
//
// For each head the keys and the values are quantised and packed once, as a weight of 16-column panels; then tiles of queries run
// q·kᵀ → softmax numerators of 16 bits as two planes of bytes → p·v, all with the dot kernel of the linear layers.
#pragma once

#include "kernels/math.h"
#include "kernels/quantize.h"
#include "kernels/rows.h"

namespace embedrt {
namespace {

// Queries in a tile: as many as a pass of the dot takes, fewer where a row of scores is long, so that a tile's scores stay in the second-level cache.
template <class Isa>
size_t query_rows(size_t tokens) {
  size_t rows = Isa::kRows;
  while (rows > 16 && rows * tokens > (size_t{1} << 16)) rows -= 16;
  return rows;
}

// Where the pieces lie in the scratch. Every piece is padded so that the dot may read 1,024 bytes past its weights.
struct AttentionI8Layout {
  size_t key_stride;      // bytes of one panel of 16 keys
  size_t value_stride;    // bytes of one panel of 16 columns of v
  size_t score_stride;    // floats
  size_t plane_stride;    // bytes of a row of hi or lo
  size_t query_stride;    // bytes of a quantised query
  size_t out_stride;      // int32 of a row of p·v
  size_t keys, values, shift, key_scale, value_scale, mean, query, query_scale, scores, planes, out, total;

  AttentionI8Layout(size_t tokens, size_t head_dim, size_t rows) {
    const size_t panels = round_up(tokens, 16) / 16, columns = round_up(head_dim, 16);
    key_stride = round_up(head_dim, 4) * 16;
    value_stride = round_up(tokens, 4) * 16;
    score_stride = panels * 16;
    plane_stride = round_up(tokens, 64);
    query_stride = round_up(head_dim, 64);
    out_stride = columns;
    size_t at = 0;
    const auto place = [&at](size_t bytes) {
      const size_t here = at;
      at += round_up(bytes, 64);
      return here;
    };
    keys = place(panels * key_stride + 1024);
    values = place(columns / 16 * value_stride + 1024);
    shift = place(panels * 16 * sizeof(int32_t));
    key_scale = place(panels * 16 * sizeof(float));
    value_scale = place(columns * sizeof(float));
    mean = place(columns * sizeof(float));
    query = place(rows * query_stride);
    query_scale = place(rows * sizeof(float));
    scores = place(rows * score_stride * sizeof(float));
    planes = place(2 * rows * plane_stride);
    out = place(2 * rows * out_stride * sizeof(int32_t));
    total = at;
  }
};

template <class Isa>
struct AttentionI8 {
  using V = typename Isa::V;
  using F = typename V::F;

  const AttentionArgs& args;
  const size_t rows;  // of a tile
  const AttentionI8Layout at;
  char* const base;

  explicit AttentionI8(const AttentionArgs& a)
      : args(a), rows(query_rows<Isa>(a.tokens)), at(a.tokens, a.head_dim, rows), base(static_cast<char*>(a.scratch)) {}

  template <class T>
  T* piece(size_t offset) const {
    return reinterpret_cast<T*>(base + offset);
  }

  struct Scale {
    float scale, inverse;  // scale is NaN when a value is not finite
  };
  static Scale symmetric(float most, float bad) {
    if (most >= kSmallestRange) return {most / 127.0f + bad, 127.0f / most};
    return {bad, 0.0f};
  }
  // round(x · inverse), within ±127.
  static typename V::I quantize(F x, F inverse) {
    const F scaled = V::max(V::min(V::mul(x, inverse), V::set1(127.0f)), V::set1(-127.0f));
    return V::round(scaled);
  }

  // Quantises `head_dim` floats less `mean` (or 0) to int8 plus `offset`; writes whole vectors of bytes, `offset`-free zeros past the end.
  Scale quantize_row(const float* x, const float* mean, int32_t offset, uint8_t* out) const {
    const F none = V::set1(0.0f);
    F most = none, bad = none;
    const auto value = [&](size_t c, int lanes) {
      F v = V::load(x + c);
      if (mean) v = V::sub(v, V::load(mean + c));
      return lanes == 16 ? v : V::first(v, lanes, none);
    };
    each_vector(args.head_dim, [&](size_t c, int lanes) {
      const F v = value(c, lanes);
      most = V::max(V::abs(v), most);
      bad = V::fma(v, none, bad);
    });
    const Scale s = symmetric(V::reduce_max(most), V::reduce_add(bad));
    const F inverse = V::set1(s.inverse);
    const auto shift = V::set1_int(offset);
    each_vector(args.head_dim, [&](size_t c, int lanes) {
      V::store_bytes(out + c, V::add_int(quantize(value(c, lanes), inverse), shift));
      for (int i = lanes; i < 16; ++i) out[c + static_cast<size_t>(i)] = 0;
    });
    return s;
  }

  // Mean of the keys in row order, then keys less their mean, quantised by row, into panels; 128 · Σ k8 beside them takes back the queries' offset.
  // Returns NaN when a key is not finite, else 0.
  float pack_keys(const float* k) const {
    float* mean = piece<float>(at.mean);
    const float tokens = static_cast<float>(args.tokens);
    for (size_t c = 0; c < args.head_dim; c += 16) {
      F sum = V::set1(0.0f);
      for (size_t j = 0; j < args.tokens; ++j) sum = V::add(sum, V::load(k + j * args.qkv_stride + c));
      V::store(mean + c, V::div(sum, V::set1(tokens)));
    }
    const size_t quads = round_up(args.head_dim, 4) / 4, padded = round_up(args.tokens, 16);
    int8_t* panels = piece<int8_t>(at.keys);
    int32_t* shift = piece<int32_t>(at.shift);
    float* scale = piece<float>(at.key_scale);
    float bad = 0.0f;
    alignas(64) uint8_t row[kMostHeadDim];
    for (size_t j = 0; j < padded; ++j) {
      int8_t* to = panels + j / 16 * at.key_stride + j % 16 * 4;
      if (j >= args.tokens) {
        for (size_t q = 0; q < quads; ++q) copy_quad(to + q * 64, nullptr);
        shift[j] = 0;
        scale[j] = 0.0f;
        continue;
      }
      const Scale s = quantize_row(k + j * args.qkv_stride, mean, 0, row);
      scale[j] = s.scale;
      bad = bad + (s.scale - s.scale);
      auto sums = V::set1_int(0);
      for (size_t c = 0; c < args.head_dim; c += 16)
        sums = V::add_int(sums, V::load_signed_bytes(reinterpret_cast<const int8_t*>(row) + c));
      shift[j] = static_cast<int32_t>(V::reduce_add_int(sums) * 128u);
      for (size_t q = 0; q < quads; ++q) copy_quad(to + q * 64, row + 4 * q);
    }
    return bad;
  }
  static void copy_quad(int8_t* to, const uint8_t* from) {
    const uint32_t none = 0;
    __builtin_memcpy(to, from ? static_cast<const void*>(from) : &none, 4);
  }

  // Values quantised by column over the segment, into panels with four keys side by side.
  void pack_values(const float* v) const {
    const F none = V::set1(0.0f);
    float* scales = piece<float>(at.value_scale);
    const auto low_byte = V::set1_int(255);
    each_vector(args.head_dim, [&](size_t c, int lanes) {
      F most = none, bad = none;
      for (size_t j = 0; j < args.tokens; ++j) {
        const F x = V::load(v + j * args.qkv_stride + c);
        most = V::max(V::abs(x), most);
        bad = V::fma(x, none, bad);
      }
      const F small = V::set1(kSmallestRange);
      const F inverse = V::first(V::if_less(most, small, none, V::div(V::set1(127.0f), most)), lanes, none);
      V::store(scales + c, V::add(V::if_less(most, small, none, V::div(most, V::set1(127.0f))), bad));
      int8_t* panel = piece<int8_t>(at.values) + c / 16 * at.value_stride;
      for (size_t j = 0; j < args.tokens; j += 4) {
        auto quad = V::set1_int(0);
        const auto row = [&](size_t i) {
          return j + i < args.tokens ? V::and_int(quantize(V::load(v + (j + i) * args.qkv_stride + c), inverse), low_byte) : V::set1_int(0);
        };
        quad = V::or_int(V::or_int(row(0), V::template shift_left<8>(row(1))),
                         V::or_int(V::template shift_left<16>(row(2)), V::template shift_left<24>(row(3))));
        V::store_int(reinterpret_cast<int32_t*>(panel + j * 16), quad);
      }
    });
  }

  // Integer scores of one query → two planes of bytes; returns Σp.
  float softmax_row(const int32_t* acc, float* scores, float factor, uint8_t* hi, uint8_t* lo) const {
    const int32_t* shift = piece<int32_t>(at.shift);
    const float* key_scale = piece<float>(at.key_scale);
    const F scale = V::set1(factor), lowest = V::set1(-3.0e38f);
    F most = lowest;
    each_vector(args.tokens, [&](size_t j, int lanes) {
      const F dot = V::to_float(V::sub_int(V::load_int(acc + j), V::load_int(shift + j)));
      F s = V::mul(dot, V::mul(scale, V::load(key_scale + j)));
      if (lanes < 16) s = V::first(s, lanes, lowest);
      most = V::max(s, most);
      V::store(scores + j, s);
    });
    const F top = V::set1(V::reduce_max(most)), full = V::set1(65535.0f);
    auto sums = V::set1_int(0);
    size_t j = 0;
    for (; j < args.tokens; j += 16) {
      const auto p = V::round(V::mul(Math<V>::exp(V::sub(V::load(scores + j), top)), full));
      sums = V::add_int(sums, p);
      V::store_bytes(hi + j, V::template shift_right<8>(p));
      V::store_bytes(lo + j, p);
    }
    for (; j < at.plane_stride; j += 16) {
      V::store_bytes(hi + j, V::set1_int(0));
      V::store_bytes(lo + j, V::set1_int(0));
    }
    return static_cast<float>(V::reduce_add_int(sums));
  }

  void queries(const float* q, size_t count, float bad, float* out) const {
    uint8_t* query = piece<uint8_t>(at.query);
    float* scale = piece<float>(at.query_scale);
    for (size_t i = 0; i < count; ++i) {
      uint8_t* row = query + i * at.query_stride;
      scale[i] = quantize_row(q + i * args.qkv_stride, nullptr, 128, row).scale;
      for (size_t c = round_up(args.head_dim, 16); c < at.query_stride; c += 16) V::store_bytes(row + c, V::set1_int(0));
    }
    int32_t* acc = piece<int32_t>(at.scores);
    float* scores = piece<float>(at.scores);
    Isa::dot(query, at.query_stride, count, piece<int8_t>(at.keys), at.key_stride, args.head_dim, at.score_stride / 16, acc,
             at.score_stride);
    // The planes of the tile, hi rows first, then lo rows: one product with the values serves both.
    uint8_t* planes = piece<uint8_t>(at.planes);
    const size_t half = round_up(count, 16);
    for (size_t i = 0; i < count; ++i) {
      const size_t row = i * at.score_stride;
      const float sum = softmax_row(acc + row, scores + row, scale[i] * args.scale, planes + i * at.plane_stride,
                                    planes + (half + i) * at.plane_stride);
      // A query or a key that is not finite makes the whole row NaN.
      scale[i] = sum + (bad + (scale[i] - scale[i]));
    }
    int32_t* product = piece<int32_t>(at.out);
    Isa::dot(planes, at.plane_stride, half + count, piece<int8_t>(at.values), at.value_stride, args.tokens, at.out_stride / 16, product,
             at.out_stride);
    const F radix = V::set1(256.0f);
    for (size_t i = 0; i < count; ++i) {
      const F sum = V::set1(scale[i]);
      const int32_t* hi = product + i * at.out_stride;
      const int32_t* lo = product + (half + i) * at.out_stride;
      each_vector(args.head_dim, [&](size_t c, int lanes) {
        const F both = V::fma(V::to_float(V::load_int(hi + c)), radix, V::to_float(V::load_int(lo + c)));
        const F y = V::mul(both, V::div(V::load(piece<float>(at.value_scale) + c), sum));
        V::store_first(out + i * args.out_stride + c, y, lanes);
      });
    }
  }

  void run() const {
    const size_t width = args.heads * args.head_dim;
    Isa::begin();
    for (size_t head = 0; head < args.heads; ++head) {
      const float* q = args.qkv + head * args.head_dim;
      const float bad = pack_keys(q + width);
      pack_values(q + 2 * width);
      for (size_t i = 0; i < args.tokens; i += rows) {
        const size_t count = args.tokens - i < rows ? args.tokens - i : rows;
        queries(q + i * args.qkv_stride, count, bad, args.out + i * args.out_stride + head * args.head_dim);
      }
    }
    Isa::end();
  }
};

template <class Isa>
size_t attention_i8_scratch(size_t tokens, size_t head_dim) noexcept {
  return AttentionI8Layout(tokens, head_dim, query_rows<Isa>(tokens)).total;
}

template <class Isa>
void attention_i8(const AttentionArgs& args) noexcept {
  AttentionI8<Isa>(args).run();
}

}  // namespace
}  // namespace embedrt
