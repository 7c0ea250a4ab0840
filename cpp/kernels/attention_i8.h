// Attention of one segment with exact integer products (docs/numerics.md, "attention, int8").
//
// For each head of k and v these are quantised and packed once, as a weight of 16-column panels; then tiles of the
// queries of each head of q that shares them run q·kᵀ → softmax numerators of 16 bits as two planes of bytes → p·v, all
// with the dot kernel of the linear layers.
#pragma once

#include "kernels/attention_keys.h"
#include "kernels/dot.h"
#include "kernels/math.h"
#include "kernels/quantize.h"
#include "kernels/rows.h"
#include "kernels/wide.h"

namespace embedrt {
namespace {

// Scores of a tile of queries, which should stay in the first-level cache.
constexpr size_t kTileScores = 8192;

// The most keys that a tile of `rows` queries sees, counted from the panel of the first.
constexpr size_t tile_keys(size_t tokens, size_t window, size_t rows) {
  const size_t most = rows + 2 * window + 15;
  return window > 0 && most < tokens ? most : tokens;
}

// Queries in a tile: as many as a pass of the dot takes, fewer where a row of scores is long, or a window narrow: a
// tile computes the keys of all its queries for each of them.
inline size_t query_rows(const Dot& dot, size_t tokens, size_t window) {
  size_t rows = dot.rows;
  if (window > 0 && window < rows) rows = round_up(window, 16);
  while (rows > 16 && rows * tile_keys(tokens, window, rows) > kTileScores) rows -= 16;
  return rows;
}

// Where the pieces lie in the scratch. Every piece is padded so that the dot may read 1,024 bytes past its weights.
struct AttentionI8Layout {
  size_t key_panels;
  size_t key_stride;    // bytes of one panel of 16 keys
  size_t value_stride;  // bytes of one panel of 16 columns of v
  size_t score_stride;  // floats
  size_t plane_stride;  // bytes of a row of hi or lo
  size_t query_stride;  // bytes of a quantised query
  size_t out_stride;    // int32 of a row of p·v
  size_t keys, values, shift, key_scale, offset, value_scale, mean, query, query_scale, scores, planes, out, total;

  AttentionI8Layout(size_t tokens, size_t head_dim, size_t window, size_t rows) {
    const size_t columns = round_up(head_dim, 16), keys_of_tile = tile_keys(tokens, window, rows);
    key_panels = round_up(tokens, 16) / 16;
    key_stride = round_up(head_dim, 4) * 16;
    value_stride = round_up(tokens, 4) * 16;
    score_stride = round_up(keys_of_tile, 16);
    plane_stride = round_up(keys_of_tile, 64);
    query_stride = round_up(head_dim, 64);
    out_stride = columns;
    size_t at = 0;
    const auto place = [&at](size_t bytes) {
      const size_t here = at;
      at += round_up(bytes, 64);
      return here;
    };
    keys = place(key_panels * key_stride + 1024);
    values = place(columns / 16 * value_stride + 1024);
    shift = place(key_panels * 16 * 16 * sizeof(int32_t));
    key_scale = place(key_panels * 16 * sizeof(float));
    offset = place(key_panels * 16 * sizeof(float));
    value_scale = place(columns * sizeof(float));
    mean = place(columns * sizeof(float));
    query = place(round_up(rows, 16) * query_stride);
    query_scale = place(rows * sizeof(float));
    scores = place(rows * score_stride * sizeof(float));
    planes = place(round_up(2 * rows, 16) * plane_stride);
    out = place(round_up(2 * rows, 16) * out_stride * sizeof(int32_t));
    total = at;
  }
};

constexpr float kLog2E = 1.44269504f;

template <class V>
struct AttentionI8 {
  using F = typename V::F;
  using I = typename V::I;

  const Dot& dot;
  const AttentionArgs& args;
  const size_t rows;  // of a tile
  const AttentionI8Layout at;
  char* const base;

  AttentionI8(const Dot& d, const AttentionArgs& a)
      : dot(d),
        args(a),
        rows(query_rows(d, a.keys(), a.window)),
        at(a.keys(), a.head_dim, a.window, rows),
        base(static_cast<char*>(a.scratch)) {}

  template <class T>
  T* piece(size_t offset) const {
    return reinterpret_cast<T*>(base + offset);
  }

  // Scales of sixteen rows or columns from the greatest |x| of each, as integers: the order of non-negative floats is
  // that of their bits, with the ones that are not finite on top. Those make the scale NaN; what their rows quantise to
  // is unspecified, and ends in outputs that are NaN.
  static void symmetric(I most_bits, float* scale, float* inverse) {
    const F none = V::set1(0.0f), small = V::set1(kSmallestRange), full = V::set1(127.0f);
    const F most = V::bits_to_float(most_bits);
    V::store(scale, V::add(V::if_less(most, small, none, V::div(most, full)), V::sub(most, most)));
    V::store(inverse, V::if_less(most, small, none, V::div(full, most)));
  }
  static I magnitude_bits(F x) { return V::and_int(V::float_bits(x), V::set1_int(0x7fffffff)); }

  // Scales and their inverses of up to sixteen rows of `head_dim`; value(row, c) is a vector of a row.
  template <class Value>
  void row_scales(size_t count, Value value, float* scale, float* inverse) const {
    I most[16];
    for (size_t row = 0; row < 16; ++row) {
      most[row] = V::set1_int(0);
      if (row < count)
        each_vector(args.head_dim, [&](size_t c, int lanes) {
          const F x = value(row, c);
          most[row] = V::max_int(magnitude_bits(lanes == 16 ? x : V::first(x, lanes, V::set1(0.0f))), most[row]);
        });
    }
    symmetric(V::max_of_rows(most), scale, inverse);
  }

  // Mean of the keys in row order, then keys less their mean, quantised by row, into panels of sixteen keys. Columns
  // past the last are packed as they come: the queries are zero there. `offset` takes back what the queries' offset of
  // 128 adds to a score, 128 · Σ k8, found by the same dot.
  void pack_keys(const float* k) const {
    float* mean = piece<float>(at.mean);
    const float keys = static_cast<float>(args.keys());
    for (size_t c = 0; c < args.head_dim; c += 16) {
      F sum = V::set1(0.0f);
      for (size_t j = 0; j < args.keys(); ++j) sum = V::add(sum, V::load(k + j * args.qkv_stride + c));
      V::store(mean + c, V::div(sum, V::set1(keys)));
    }
    for (size_t j = 0; j < args.keys(); j += 16) {
      const size_t count = args.keys() - j < 16 ? args.keys() - j : 16;
      const auto value = [&](size_t row, size_t c) {
        return V::sub(V::load(k + (j + row) * args.qkv_stride + c), V::load(mean + c));
      };
      alignas(64) float inverse[16];
      row_scales(count, value, piece<float>(at.key_scale) + j, inverse);
      int8_t* panel = piece<int8_t>(at.keys) + j / 16 * at.key_stride;
      for (size_t row = 0; row < 16; row += 4)
        for (size_t c = 0; c < args.head_dim; c += 16) {
          I quad[4];
          for (size_t i = 0; i < 4; ++i)
            quad[i] = row + i < count ? V::round(V::mul(value(row + i, c), V::set1(inverse[row + i]))) : V::set1_int(0);
          V::store_quads(panel + 16 * c + 4 * row, quad);
        }
    }
    // One row of 128s against the keys.
    uint8_t* ones = piece<uint8_t>(at.query);
    for (size_t c = 0; c < at.query_stride; ++c) ones[c] = c < args.head_dim ? 128 : 0;
    const int32_t* shift = piece<int32_t>(at.shift);
    dot.run(ones, at.query_stride, 1, piece<int8_t>(at.keys), at.key_stride, args.head_dim, at.key_panels,
            piece<int32_t>(at.shift), at.key_panels * 16);
    const F base2 = V::set1(args.scale * kLog2E), none = V::set1(0.0f);
    for (size_t j = 0; j < args.keys(); j += 16) {
      const F factor = V::mul(V::load(piece<float>(at.key_scale) + j), base2);
      V::store(piece<float>(at.key_scale) + j, factor);
      V::store(piece<float>(at.offset) + j, V::sub(none, V::mul(V::to_float(V::load_int(shift + j)), factor)));
    }
  }

  // Values quantised by column over the segment, into panels with four keys side by side.
  void pack_values(const float* v) const {
    float* scales = piece<float>(at.value_scale);
    const auto low_byte = V::set1_int(255);
    for (size_t c = 0; c < args.head_dim; c += 16) {
      auto most = V::set1_int(0);
      for (size_t j = 0; j < args.keys(); ++j)
        most = V::max_int(magnitude_bits(V::load(v + j * args.qkv_stride + c)), most);
      alignas(64) float inverses[16];
      symmetric(most, scales + c, inverses);
      // Columns past the last are another head's, or nobody's; they are packed as they come and never read.
      const F inverse = V::load(inverses);
      int8_t* panel = piece<int8_t>(at.values) + c / 16 * at.value_stride;
      for (size_t j = 0; j < args.keys(); j += 4) {
        const auto row = [&](size_t i) {
          return j + i < args.keys()
                     ? V::and_int(V::round(V::mul(V::load(v + (j + i) * args.qkv_stride + c), inverse)), low_byte)
                     : V::set1_int(0);
        };
        const auto quad = V::or_int(V::or_int(row(0), V::template shift_left<8>(row(1))),
                                    V::or_int(V::template shift_left<16>(row(2)), V::template shift_left<24>(row(3))));
        V::store_int(reinterpret_cast<int32_t*>(panel + j * 16), quad);
      }
    }
  }

  // Integer scores of N queries, [N, score_stride] at `acc`, from key `low` on → their planes of bytes, a hi and a lo
  // row for each, and sum[i] = Σp. `seen`: the keys that each of them sees, counted from `low`. `factor` has the
  // queries' scales, `bias` the first query's bias of key `low`. Queries side by side hide the latency of a row's
  // reductions.
  template <int N, bool biased>
  void softmax_rows(int32_t* acc, size_t low, const Keys* seen, const float* factor, const float* bias, uint8_t* planes,
                    float* sum) const {
    const float* key_scale = piece<float>(at.key_scale) + low;
    const float* offset = piece<float>(at.offset) + low;
    float* scores = reinterpret_cast<float*>(acc);
    const F lowest = V::set1(-3.0e38f), none = V::set1(0.0f);
    F most[N], bad[N];
    for (int r = 0; r < N; ++r) {
      most[r] = lowest;
      bad[r] = none;
    }
    const auto scores_of = [&]<bool edge>(size_t j) {
      const F scale = V::load(key_scale + j), shift = V::load(offset + j);
      for (int r = 0; r < N; ++r) {
        const size_t row = static_cast<size_t>(r), place = row * at.score_stride + j;
        F s = V::fma(V::to_float(V::load_int(acc + place)), scale, shift);
        if constexpr (biased) s = V::fma(V::load(bias + j - row), V::set1(kLog2E), V::mul(s, V::set1(factor[row])));
        if constexpr (edge) s = only_seen<V>(s, j, seen[r], lowest);
        most[r] = V::max(s, most[r]);
        if constexpr (biased) bad[r] = V::fma(s, none, bad[r]);
        V::store(scores + place, s);
      }
    };
    // Later queries see later keys: between the last one's first and the first one's last all are seen.
    size_t j = seen[0].first / 16 * 16;
    for (; j < seen[N - 1].first; j += 16) scores_of.template operator()<true>(j);
    for (; j + 16 <= seen[0].last; j += 16) scores_of.template operator()<false>(j);
    for (; j < seen[N - 1].last; j += 16) scores_of.template operator()<true>(j);
    float top[N];
    if constexpr (N == 4) {
      V::reduce_max_4(most, top);
    } else {
      for (int r = 0; r < N; ++r) top[r] = V::reduce_max(most[r]);
    }
    I sums[N];
    for (int r = 0; r < N; ++r)
      sums[r] = numerators(scores + static_cast<size_t>(r) * at.score_stride, seen[r], top[r],
                           biased ? 1.0f : factor[r], planes + static_cast<size_t>(2 * r) * at.plane_stride);
    uint32_t totals[N];
    if constexpr (N == 4) {
      V::reduce_add_int_4(sums, totals);
    } else {
      for (int r = 0; r < N; ++r) totals[r] = V::reduce_add_int(sums[r]);
    }
    for (int r = 0; r < N; ++r) {
      // NaN when the greatest score is not finite, or a biased one: a bias may be anything.
      const float greatest = biased ? V::reduce_add(bad[r]) : top[r] * factor[r];
      sum[r] = static_cast<float>(totals[r]) + (greatest - greatest);
    }
  }

  // p = exp2((score − top) · scale) in 16 bits, its high bytes to `hi`, its low ones to the row after it. Returns their
  // sums by lanes. The exponent is one fma with a constant a little above top · scale: rounding must not take it above
  // 0, and what it is too low by cancels in the quotient.
  I numerators(const float* scores, Keys seen, float top, float factor, uint8_t* hi) const {
    uint8_t* lo = hi + at.plane_stride;
    const float product = top * factor, size = product < 0.0f ? -product : product;
    const F scale = V::set1(factor), most = V::set1(-(product + size * 0x1p-22f));
    I sums = V::set1_int(0);
    const auto exponents = [&](size_t j) { return V::fma(V::load(scores + j), scale, most); };
    const auto store = [&](size_t j, I p) {
      sums = V::add_int(sums, p);
      V::store_bytes(hi + j, V::template shift_right<8>(p));
      V::store_bytes(lo + j, p);
    };
    // Keys that are not seen count nothing, whatever the scale.
    const auto edge = [&](size_t j) {
      store(j, Math<V>::exp2_16_bits(only_seen<V>(exponents(j), j, seen, V::set1(-64.0f))));
    };
    size_t j = 0;
    for (; j + 16 <= seen.first; j += 16) store(j, V::set1_int(0));
    for (; j < seen.first; j += 16) edge(j);
    // Four vectors that are several registers each would be spilled.
    if constexpr (V::kSideBySide > 1)
      for (; j + 64 <= seen.last; j += 64) {
        using W = Wide<V, 4>;
        const auto p =
            Math<W>::exp2_16_bits(W::make([&](int i) { return exponents(j + 16 * static_cast<size_t>(i)); }));
        sums = V::add_int(sums, V::add_int(V::add_int(p.v[0], p.v[1]), V::add_int(p.v[2], p.v[3])));
        V::store_planes(hi + j, lo + j, p.v);
      }
    for (; j + 16 <= seen.last; j += 16) store(j, Math<V>::exp2_16_bits(exponents(j)));
    for (; j < seen.last; j += 16) edge(j);
    for (; j < at.plane_stride; j += 16) store(j, V::set1_int(0));
    return sums;
  }

  // Queries first … first + count − 1, which are at `q`. `bias`: the head's, or null. `limit`: score_limit().
  void queries(const float* q, size_t first, size_t count, const float* bias, float limit, float* out) const {
    const Keys seen = keys_seen(args, first, count);
    const size_t low = seen.first / 16 * 16, keys = seen.last - low;  // a panel's first key, and how many from there on
    uint8_t* query = piece<uint8_t>(at.query);
    float* scale = piece<float>(at.query_scale);
    for (size_t i = 0; i < count; i += 16) {
      const size_t left = count - i < 16 ? count - i : 16;
      const auto value = [&](size_t row, size_t c) { return V::load(q + (i + row) * args.qkv_stride + c); };
      alignas(64) float inverse[16];
      row_scales(left, value, scale + i, inverse);
      for (size_t row = 0; row < left; ++row) {
        uint8_t* bytes = query + (i + row) * at.query_stride;
        const F factor = V::set1(inverse[row]), offset = V::set1(128.0f);
        for (size_t c = 0; c < args.head_dim; c += 16)
          V::store_bytes(bytes + c, V::round(V::fma(value(row, c), factor, offset)));
        const size_t end = round_up(args.head_dim, 16);
        for (size_t c = args.head_dim; c < end; ++c) bytes[c] = 0;
        for (size_t c = end; c < at.query_stride; c += 16) V::store_bytes(bytes + c, V::set1_int(0));
      }
    }
    int32_t* acc = piece<int32_t>(at.scores);
    dot.run(query, at.query_stride, count, piece<int8_t>(at.keys) + low / 16 * at.key_stride, at.key_stride,
            args.head_dim, round_up(keys, 16) / 16, acc, at.score_stride);
    // Each query's planes one after the other: one product with the values serves both.
    uint8_t* planes = piece<uint8_t>(at.planes);
    const auto softmax = [&]<int N>(size_t i) {
      Keys row[N];
      for (size_t r = 0; r < N; ++r) {
        row[r] = keys_seen(args, first + i + r, 1);
        row[r] = {row[r].first - low, row[r].last - low};
      }
      int32_t* from = acc + i * at.score_stride;
      uint8_t* to = planes + 2 * i * at.plane_stride;
      float sum[N];
      if (bias) {
        softmax_rows<N, true>(from, low, row, scale + i, bias + low - (first + i), to, sum);
      } else {
        softmax_rows<N, false>(from, low, row, scale + i, nullptr, to, sum);
      }
      for (int r = 0; r < N; ++r) {
        // A query or a key that is not finite, or so large that a score is not, makes the whole row NaN.
        float& x = scale[i + static_cast<size_t>(r)];
        const float greatest = x * limit;
        x = sum[r] + (greatest - greatest);
      }
    };
    constexpr int N = V::kSideBySide;
    size_t row = 0;
    for (; row + N <= count; row += N) softmax.template operator()<N>(row);
    for (; row < count; ++row) softmax.template operator()<1>(row);
    for (size_t i = 0; i < count; i += 16) V::store(scale + i, V::div(V::set1(1.0f), V::load(scale + i)));
    int32_t* product = piece<int32_t>(at.out);
    dot.run(planes, at.plane_stride, 2 * count, piece<int8_t>(at.values) + low * 16, at.value_stride, keys,
            at.out_stride / 16, product, at.out_stride);
    const F radix = V::set1(256.0f);
    for (size_t i = 0; i < count; ++i) {
      const F inverse = V::set1(scale[i]);
      const int32_t* hi = product + 2 * i * at.out_stride;
      const int32_t* lo = hi + at.out_stride;
      each_vector(args.head_dim, [&](size_t c, int lanes) {
        const F both = V::fma(V::to_float(V::load_int(hi + c)), radix, V::to_float(V::load_int(lo + c)));
        const F y = V::mul(V::mul(both, V::load(piece<float>(at.value_scale) + c)), inverse);
        V::store_first(out + i * args.out_stride + c, y, lanes);
      });
    }
  }

  // Above the size of every score and offset before the query's scale, all integers being below 2^24; not finite when a
  // scale is not, or when an offset could overflow, which would hide its key.
  float score_limit() const {
    const float* scale = piece<float>(at.key_scale);
    F most = V::set1(0.0f), bad = most;
    for (size_t j = 0; j < args.keys(); j += 16) {
      most = V::max(V::abs(V::load(scale + j)), most);
      bad = V::add(bad, V::sub(V::load(scale + j), V::load(scale + j)));
    }
    return V::reduce_max(most) * 0x1p24f + V::reduce_add(bad);
  }

  void run() const {
    const size_t group = args.heads / args.kv_heads, width = args.kv_heads * args.head_dim;
    const DotInUse in_use(dot);
    for (size_t kv = 0; kv < args.kv_heads; ++kv) {
      const float* k = args.qkv + (args.heads + kv) * args.head_dim;
      pack_keys(k);
      const float limit = score_limit();
      pack_values(k + width);
      for (size_t head = kv * group; head < (kv + 1) * group; ++head) {
        const float* q = args.qkv + head * args.head_dim;
        const float* bias = args.bias ? args.bias + head * args.bias_stride : nullptr;
        for (size_t i = 0; i < args.tokens; i += rows) {
          const size_t count = args.tokens - i < rows ? args.tokens - i : rows;
          queries(q + i * args.qkv_stride, i, count, bias, limit,
                  args.out + i * args.out_stride + head * args.head_dim);
        }
      }
    }
  }
};

// Enough for any segment of at most `tokens`: a shorter one may have more queries in a tile.
inline size_t attention_i8_scratch(const Dot& dot, size_t tokens, size_t head_dim, size_t window) noexcept {
  size_t most = 0;
  for (size_t rows = 16; rows <= dot.rows; rows += 16) {
    const bool always = rows == 16 || rows * tile_keys(tokens, window, rows) <= kTileScores;
    const size_t longest = always || kTileScores / rows > tokens ? tokens : kTileScores / rows;
    const size_t total = AttentionI8Layout(longest, head_dim, window, rows).total;
    most = total > most ? total : most;
  }
  return most;
}

template <class V>
void attention_i8(const Dot& dot, const AttentionArgs& args) noexcept {
  AttentionI8<V>(dot, args).run();
}

}  // namespace
}  // namespace embedrt
