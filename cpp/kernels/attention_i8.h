// Attention of one segment with exact integer products (docs/numerics.md, "attention, int8").
//
// For each head the keys and the values are quantised and packed once, as a weight of 16-column panels; then tiles of
// queries run q·kᵀ → softmax numerators of 16 bits as two planes of bytes → p·v, all with the dot kernel of the linear
// layers.
#pragma once

#include "kernels/math.h"
#include "kernels/quantize.h"
#include "kernels/rows.h"
#include "kernels/wide.h"

namespace embedrt {
namespace {

// Queries in a tile: as many as a pass of the dot takes, fewer where a row of scores is long, so that a tile's scores
// stay in the second-level cache.
template <class Isa>
size_t query_rows(size_t tokens) {
  size_t rows = Isa::kRows;
  while (rows > 16 && rows * tokens > (size_t{1} << 16)) rows -= 16;
  return rows;
}

// Where the pieces lie in the scratch. Every piece is padded so that the dot may read 1,024 bytes past its weights.
struct AttentionI8Layout {
  size_t key_stride;    // bytes of one panel of 16 keys
  size_t value_stride;  // bytes of one panel of 16 columns of v
  size_t score_stride;  // floats
  size_t plane_stride;  // bytes of a row of hi or lo
  size_t query_stride;  // bytes of a quantised query
  size_t out_stride;    // int32 of a row of p·v
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
    shift = place(panels * 16 * 16 * sizeof(int32_t));
    key_scale = place(panels * 16 * sizeof(float));
    value_scale = place(columns * sizeof(float));
    mean = place(columns * sizeof(float));
    query = place(round_up(rows, 16) * query_stride);
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

  // round(x · inverse), within ±127.
  static typename V::I quantize(F x, F inverse) {
    const F scaled = V::max(V::min(V::mul(x, inverse), V::set1(127.0f)), V::set1(-127.0f));
    return V::round(scaled);
  }

  // Scales of sixteen rows or columns from the greatest |x| of each, as integers: the order of non-negative floats is
  // that of their bits, with the ones that are not finite on top. Those make the scale NaN.
  static void symmetric(typename V::I most_bits, float* scale, float* inverse) {
    const F none = V::set1(0.0f), small = V::set1(kSmallestRange), full = V::set1(127.0f);
    const F most = V::bits_to_float(most_bits);
    V::store(scale, V::add(V::if_less(most, small, none, V::div(most, full)), V::sub(most, most)));
    V::store(inverse, V::if_less(most, small, none, V::div(full, most)));
  }
  static typename V::I magnitude_bits(F x) { return V::and_int(V::float_bits(x), V::set1_int(0x7fffffff)); }

  // Sixteen rows of `head_dim` floats (fewer: `count`), less `mean` where there is one, to int8 plus `offset`.
  // `out(row)` is where the bytes of a row go: whole vectors, zeros past the last column.
  template <class Out>
  void quantize_rows(const float* x, size_t count, const float* mean, int32_t offset, float* scale, Out out) const {
    typename V::I most[16];
    const auto value = [&](size_t row, size_t c, int lanes) {
      F v = V::load(x + row * args.qkv_stride + c);
      if (mean) v = V::sub(v, V::load(mean + c));
      return lanes == 16 ? v : V::first(v, lanes, V::set1(0.0f));
    };
    for (size_t row = 0; row < 16; ++row) {
      most[row] = V::set1_int(0);
      if (row < count)
        each_vector(args.head_dim, [&](size_t c, int lanes) {
          most[row] = V::max_int(magnitude_bits(value(row, c, lanes)), most[row]);
        });
    }
    alignas(64) float inverse[16];
    symmetric(V::max_of_rows(most), scale, inverse);
    const auto shift = V::set1_int(offset);
    for (size_t row = 0; row < count; ++row) {
      uint8_t* bytes = out(row);
      each_vector(args.head_dim, [&](size_t c, int lanes) {
        V::store_bytes(bytes + c, V::add_int(quantize(value(row, c, lanes), V::set1(inverse[row])), shift));
        for (int i = lanes; i < 16; ++i) bytes[c + static_cast<size_t>(i)] = 0;
      });
    }
  }

  // Mean of the keys in row order, then keys less their mean, quantised by row, into panels of sixteen keys. The
  // queries come with an offset of 128; `shift` takes back what it adds, 128 · Σ k8, found by the same dot.
  void pack_keys(const float* k) const {
    float* mean = piece<float>(at.mean);
    const float tokens = static_cast<float>(args.tokens);
    for (size_t c = 0; c < args.head_dim; c += 16) {
      F sum = V::set1(0.0f);
      for (size_t j = 0; j < args.tokens; ++j) sum = V::add(sum, V::load(k + j * args.qkv_stride + c));
      V::store(mean + c, V::div(sum, V::set1(tokens)));
    }
    const size_t quads = round_up(args.head_dim, 4) / 4;
    alignas(64) uint8_t rows_of_panel[16 * kMostHeadDim];
    const size_t width = round_up(args.head_dim, 16);
    for (size_t j = 0; j < args.tokens; j += 16) {
      const size_t count = args.tokens - j < 16 ? args.tokens - j : 16;
      for (size_t i = count * width; i < 16 * width; ++i) rows_of_panel[i] = 0;
      quantize_rows(k + j * args.qkv_stride, count, mean, 0, piece<float>(at.key_scale) + j,
                    [&](size_t row) { return rows_of_panel + row * width; });
      int8_t* panel = piece<int8_t>(at.keys) + j / 16 * at.key_stride;
      for (size_t q = 0; q < quads; ++q)
        for (size_t row = 0; row < 16; ++row)
          __builtin_memcpy(panel + q * 64 + row * 4, rows_of_panel + row * width + q * 4, 4);
    }
    // One row of 128s against the keys.
    uint8_t* ones = piece<uint8_t>(at.query);
    for (size_t c = 0; c < at.query_stride; ++c) ones[c] = c < args.head_dim ? 128 : 0;
    Isa::dot(ones, at.query_stride, 1, piece<int8_t>(at.keys), at.key_stride, args.head_dim, at.score_stride / 16,
             piece<int32_t>(at.shift), at.score_stride);
  }

  // Values quantised by column over the segment, into panels with four keys side by side.
  void pack_values(const float* v) const {
    float* scales = piece<float>(at.value_scale);
    const auto low_byte = V::set1_int(255);
    for (size_t c = 0; c < args.head_dim; c += 16) {
      auto most = V::set1_int(0);
      for (size_t j = 0; j < args.tokens; ++j)
        most = V::max_int(magnitude_bits(V::load(v + j * args.qkv_stride + c)), most);
      alignas(64) float inverses[16];
      symmetric(most, scales + c, inverses);
      // Columns past the last are another head's, or nobody's; they are packed as they come and never read.
      const F inverse = V::load(inverses);
      int8_t* panel = piece<int8_t>(at.values) + c / 16 * at.value_stride;
      for (size_t j = 0; j < args.tokens; j += 4) {
        const auto row = [&](size_t i) {
          return j + i < args.tokens
                     ? V::and_int(quantize(V::load(v + (j + i) * args.qkv_stride + c), inverse), low_byte)
                     : V::set1_int(0);
        };
        const auto quad = V::or_int(V::or_int(row(0), V::template shift_left<8>(row(1))),
                                    V::or_int(V::template shift_left<16>(row(2)), V::template shift_left<24>(row(3))));
        V::store_int(reinterpret_cast<int32_t*>(panel + j * 16), quad);
      }
    }
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
    const float highest = V::reduce_max(most);
    const F top = V::set1(highest);
    auto sums = V::set1_int(0);
    const auto numerators = [&]<int N>(size_t j) {
      using W = Wide<V, N>;
      const auto below = W::make([&](int i) { return V::sub(V::load(scores + j + 16 * static_cast<size_t>(i)), top); });
      const auto p = W::round(W::mul(Math<W>::exp_below_88(below), W::set1(65535.0f)));
      for (int i = 0; i < N; ++i) sums = V::add_int(sums, p.v[i]);
      return p;
    };
    const size_t end = round_up(args.tokens, 16);
    size_t j = 0;
    for (; j + 64 <= end; j += 64) V::store_planes(hi + j, lo + j, numerators.template operator()<4>(j).v);
    for (; j < end; j += 16) {
      const auto p = numerators.template operator()<1>(j).v[0];
      V::store_bytes(hi + j, V::template shift_right<8>(p));
      V::store_bytes(lo + j, p);
    }
    for (; j < at.plane_stride; j += 16) {
      V::store_bytes(hi + j, V::set1_int(0));
      V::store_bytes(lo + j, V::set1_int(0));
    }
    // NaN when the greatest score is infinite.
    return static_cast<float>(V::reduce_add_int(sums)) + (highest - highest);
  }

  // `key_scale`: the greatest of the segment's keys, NaN when a key is not finite.
  void queries(const float* q, size_t count, float key_scale, float* out) const {
    uint8_t* query = piece<uint8_t>(at.query);
    float* scale = piece<float>(at.query_scale);
    for (size_t i = 0; i < count; i += 16) {
      const size_t left = count - i < 16 ? count - i : 16;
      quantize_rows(q + i * args.qkv_stride, left, nullptr, 128, scale + i, [&](size_t row) {
        uint8_t* bytes = query + (i + row) * at.query_stride;
        for (size_t c = round_up(args.head_dim, 16); c < at.query_stride; c += 16)
          V::store_bytes(bytes + c, V::set1_int(0));
        return bytes;
      });
    }
    int32_t* acc = piece<int32_t>(at.scores);
    float* scores = piece<float>(at.scores);
    Isa::dot(query, at.query_stride, count, piece<int8_t>(at.keys), at.key_stride, args.head_dim, at.score_stride / 16,
             acc, at.score_stride);
    // The planes of the tile, hi rows first, then lo rows: one product with the values serves both.
    uint8_t* planes = piece<uint8_t>(at.planes);
    const size_t half = round_up(count, 16);
    for (size_t i = 0; i < count; ++i) {
      const size_t row = i * at.score_stride;
      const float factor = scale[i] * args.scale;
      const float sum = softmax_row(acc + row, scores + row, factor, planes + i * at.plane_stride,
                                    planes + (half + i) * at.plane_stride);
      // A query or a key that is not finite, or so large that a score is not, makes the whole row NaN.
      const float greatest = factor * key_scale;
      scale[i] = sum + (greatest - greatest);
    }
    for (size_t i = 0; i < count; i += 16) V::store(scale + i, V::div(V::set1(1.0f), V::load(scale + i)));
    int32_t* product = piece<int32_t>(at.out);
    Isa::dot(planes, at.plane_stride, half + count, piece<int8_t>(at.values), at.value_stride, args.tokens,
             at.out_stride / 16, product, at.out_stride);
    const F radix = V::set1(256.0f);
    for (size_t i = 0; i < count; ++i) {
      const F inverse = V::set1(scale[i]);
      const int32_t* hi = product + i * at.out_stride;
      const int32_t* lo = product + (half + i) * at.out_stride;
      each_vector(args.head_dim, [&](size_t c, int lanes) {
        const F both = V::fma(V::to_float(V::load_int(hi + c)), radix, V::to_float(V::load_int(lo + c)));
        const F y = V::mul(V::mul(both, V::load(piece<float>(at.value_scale) + c)), inverse);
        V::store_first(out + i * args.out_stride + c, y, lanes);
      });
    }
  }

  // The greatest scale of a key; NaN when one is.
  float greatest_key_scale() const {
    const float* scale = piece<float>(at.key_scale);
    F most = V::set1(0.0f), bad = most;
    for (size_t j = 0; j < args.tokens; j += 16) {
      most = V::max(V::load(scale + j), most);
      bad = V::add(bad, V::sub(V::load(scale + j), V::load(scale + j)));
    }
    return V::reduce_max(most) + V::reduce_add(bad);
  }

  void run() const {
    const size_t width = args.heads * args.head_dim;
    Isa::begin();
    for (size_t head = 0; head < args.heads; ++head) {
      const float* q = args.qkv + head * args.head_dim;
      pack_keys(q + width);
      const float key_scale = greatest_key_scale();
      pack_values(q + 2 * width);
      for (size_t i = 0; i < args.tokens; i += rows) {
        const size_t count = args.tokens - i < rows ? args.tokens - i : rows;
        queries(q + i * args.qkv_stride, count, key_scale, args.out + i * args.out_stride + head * args.head_dim);
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
