// What surrounds attention, on scalar, against plain loops in double: masks and biases, rotary positions, gated units
// and the attention of one query.
#include <algorithm>
#include <cmath>
#include <limits>

#include "check.h"
#include "isa/dispatch.h"
#include "kernel_cases.h"

namespace embedrt::test {
namespace {

using Matrix = std::vector<std::vector<double>>;

struct Shape {
  size_t tokens, heads, head_dim;
  size_t width() const { return heads * head_dim; }
};

constexpr Shape kShapes[] = {{1, 1, 1}, {2, 1, 4}, {17, 3, 10}, {33, 2, 16}, {70, 2, 12}, {70, 1, 40}};
constexpr float kScale = 0.375f;

// One head's columns of a part of qkv or kv.
Matrix head_of(FloatRows& rows, const Shape& shape, size_t part, size_t head) {
  Matrix m(shape.tokens);
  for (size_t i = 0; i < shape.tokens; ++i) {
    const float* from = rows.row(i) + part * shape.width() + head * shape.head_dim;
    m[i].assign(from, from + shape.head_dim);
  }
  return m;
}

// softmax(scale · q · keys + bias) · values over the keys that have a bias; -infinity hides a key.
std::vector<double> attend(const std::vector<double>& q, const Matrix& keys, const Matrix& values,
                           std::vector<double> scores) {
  std::vector<double> out(q.size());
  for (size_t j = 0; j < keys.size(); ++j)
    for (size_t c = 0; c < q.size(); ++c) scores[j] += q[c] * keys[j][c] * static_cast<double>(kScale);
  const double top = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (size_t j = 0; j < keys.size(); ++j) {
    const double p = std::exp(scores[j] - top);
    sum += p;
    for (size_t c = 0; c < q.size(); ++c) out[c] += p * values[j][c];
  }
  for (double& x : out) x /= sum;
  return out;
}

// Each line of `m` as the int8 that stand for it, times their scale.
void quantize(std::vector<double>& line) {
  double most = 0;
  for (const double x : line) most = std::max(most, std::fabs(x));
  if (most == 0) return;
  for (double& x : line) x = std::nearbyint(x * (127 / most)) * (most / 127);
}

// What int8 attention computes with: keys less their mean, by row; values by column.
void quantize_head(Matrix& q, Matrix& k, Matrix& v) {
  for (size_t c = 0; c < k[0].size(); ++c) {
    double mean = 0;
    std::vector<double> column;
    for (size_t j = 0; j < k.size(); ++j) {
      mean += k[j][c] / static_cast<double>(k.size());
      column.push_back(v[j][c]);
    }
    quantize(column);
    for (size_t j = 0; j < k.size(); ++j) {
      k[j][c] -= mean;
      v[j][c] = column[j];
    }
  }
  for (Matrix* m : {&q, &k})
    for (auto& row : *m) quantize(row);
}

// What a query sees. `bias` is a table [heads, 2 · longest − 1], or null.
struct Sight {
  bool causal = false;
  size_t window = 0;
  FloatRows* bias = nullptr;
  size_t longest = 0;

  float* bias_of(size_t head, size_t query, size_t key) const { return bias->row(head) + longest - 1 + key - query; }
  double score(size_t head, size_t query, size_t key) const {
    const size_t distance = key > query ? key - query : query - key;
    if ((causal && key > query) || (window > 0 && distance > window)) return -std::numeric_limits<double>::infinity();
    return bias ? static_cast<double>(*bias_of(head, query, key)) : 0;
  }
  std::string words() const {
    return std::string(causal ? ", causal" : "") + (window > 0 ? ", window " + std::to_string(window) : "") +
           (bias ? ", bias" : "");
  }
};

void run_attention(bool integer, const Shape& shape, const Sight& sight, FloatRows& qkv, FloatRows& out) {
  const Kernels& scalar = *kernels_of("scalar");
  const auto size = integer ? &Kernels::attention_i8_scratch : &Kernels::attention_f32_scratch;
  const auto run = integer ? &Kernels::attention_i8 : &Kernels::attention_f32;
  Guarded<uint8_t> scratch((scalar.*size)(shape.tokens, shape.head_dim, sight.window));
  (scalar.*run)({.qkv = qkv.row(0),
                 .qkv_stride = qkv.stride(),
                 .tokens = shape.tokens,
                 .heads = shape.heads,
                 .kv_heads = shape.heads,
                 .head_dim = shape.head_dim,
                 .scale = kScale,
                 .causal = sight.causal,
                 .window = sight.window,
                 .bias = sight.bias ? sight.bias_of(0, 0, 0) : nullptr,
                 .bias_stride = sight.bias ? sight.bias->stride() : 0,
                 .out = out.row(0),
                 .out_stride = out.stride(),
                 .scratch = scratch.data()});
}

// Small scores, so that every key that is seen counts.
struct RandomRows : FloatRows {
  RandomRows(size_t rows, size_t columns, float most = 1.0f) : FloatRows(rows, columns) {
    Random random(rows * 1009 + columns);
    for (size_t i = 0; i < rows; ++i)
      for (size_t c = 0; c < columns; ++c) row(i)[c] = most * random.unit();
  }
};

void check_near(double found, double wanted, double allowed, const std::string& where) {
  check(std::fabs(found - wanted) <= allowed, "off", __FILE__, __LINE__,
        where + ": " + std::to_string(found) + ", expected " + std::to_string(wanted));
}

}  // namespace

// In int8 the numerators are rounded to 2^-16 of the greatest; each of the keys can be off by half of that, the sum
// too.
TEST(attention_loops) {
  for (const Shape& shape : kShapes) {
    const size_t longest = shape.tokens + 5;
    RandomRows bias(shape.heads, 2 * longest - 1, 3.0f);
    for (const bool integer : {false, true})
      for (const bool causal : {false, true})
        for (const size_t window : std::initializer_list<size_t>{0, 1, 5, 16, 31, 69, 70})
          for (FloatRows* table : {static_cast<FloatRows*>(nullptr), static_cast<FloatRows*>(&bias)}) {
            const Sight sight{causal, window, table, longest};
            RandomRows qkv(shape.tokens, 3 * shape.width());
            FloatRows out(shape.tokens, shape.width());
            run_attention(integer, shape, sight, qkv, out);
            for (size_t head = 0; head < shape.heads; ++head) {
              Matrix q = head_of(qkv, shape, 0, head), k = head_of(qkv, shape, 1, head),
                     v = head_of(qkv, shape, 2, head);
              if (integer) quantize_head(q, k, v);
              for (size_t i = 0; i < shape.tokens; ++i) {
                std::vector<double> scores;
                for (size_t j = 0; j < shape.tokens; ++j) scores.push_back(sight.score(head, i, j));
                const auto wanted = attend(q[i], k, v, scores);
                for (size_t c = 0; c < shape.head_dim; ++c)
                  check_near(static_cast<double>(out.row(i)[head * shape.head_dim + c]), wanted[c],
                             integer ? 2e-6 + static_cast<double>(shape.tokens) * 0x1p-16 : 3e-6,
                             std::to_string(shape.tokens) + " tokens" + (integer ? ", int8" : "") + sight.words() +
                                 ", row " + std::to_string(i));
              }
            }
          }
  }
}

// A window that leaves nothing out changes nothing.
TEST(attention_window_over_all) {
  for (const Shape& shape : kShapes)
    for (const bool integer : {false, true})
      for (const bool causal : {false, true}) {
        RandomRows qkv(shape.tokens, 3 * shape.width());
        FloatRows plain(shape.tokens, shape.width()), windowed(shape.tokens, shape.width());
        run_attention(integer, shape, {.causal = causal}, qkv, plain);
        for (const size_t window : {std::max<size_t>(shape.tokens - 1, 1), shape.tokens, size_t{~uint32_t{0}}}) {
          run_attention(integer, shape, {.causal = causal, .window = window}, qkv, windowed);
          for (size_t i = 0; i < shape.tokens; ++i)
            CHECK(std::equal(plain.row(i), plain.row(i) + shape.width(), windowed.row(i)));
        }
      }
}

// In int8 a key far below the rest weighs nothing at all: a table can hide what a window leaves out.
TEST(attention_window_as_bias) {
  for (const Shape& shape : kShapes)
    for (const bool causal : {false, true})
      for (const size_t window : std::initializer_list<size_t>{1, 7, 16, 40}) {
        RandomRows qkv(shape.tokens, 3 * shape.width());
        RandomRows inside(shape.heads, 2 * shape.tokens - 1, 3.0f), hiding(shape.heads, 2 * shape.tokens - 1, 3.0f);
        for (size_t head = 0; head < shape.heads; ++head)
          for (size_t at = 0; at < 2 * shape.tokens - 1; ++at)
            if (at + window < shape.tokens - 1 || at > shape.tokens - 1 + (causal ? 0 : window))
              hiding.row(head)[at] = -1e30f;
        FloatRows a(shape.tokens, shape.width()), b(shape.tokens, shape.width());
        run_attention(true, shape, {causal, window, &inside, shape.tokens}, qkv, a);
        run_attention(true, shape, {false, 0, &hiding, shape.tokens}, qkv, b);
        for (size_t i = 0; i < shape.tokens; ++i) CHECK(std::equal(a.row(i), a.row(i) + shape.width(), b.row(i)));
      }
}

// The last row sees all there is: the bits of attention without a mask.
TEST(attention_causal_last_row) {
  for (const Shape& shape : kShapes)
    for (const bool integer : {false, true}) {
      RandomRows qkv(shape.tokens, 3 * shape.width());
      FloatRows masked(shape.tokens, shape.width()), plain(shape.tokens, shape.width());
      run_attention(integer, shape, {.causal = true}, qkv, masked);
      run_attention(integer, shape, {}, qkv, plain);
      const size_t last = shape.tokens - 1;
      CHECK(std::equal(masked.row(last), masked.row(last) + shape.width(), plain.row(last)));
    }
}

// In float32 nothing of a later row comes through, not even a NaN. In int8 the values' scales are the segment's: values
// that change, but not the greatest of a column, leave earlier rows as they are.
TEST(attention_causal_does_not_see_later_rows) {
  constexpr Shape shape{70, 2, 12};
  for (const bool integer : {false, true})
    for (const size_t from : std::initializer_list<size_t>{1, 15, 16, 17, 64, 69}) {
      RandomRows qkv(shape.tokens, 3 * shape.width());
      for (size_t c = 0; c < shape.width(); ++c) qkv.row(0)[2 * shape.width() + c] = 1.0f;
      FloatRows before(shape.tokens, shape.width()), after(shape.tokens, shape.width());
      run_attention(integer, shape, {.causal = true}, qkv, before);
      for (size_t j = from; j < shape.tokens; ++j)
        for (size_t c = integer ? 2 * shape.width() : 0; c < 3 * shape.width(); ++c)
          qkv.row(j)[c] = integer ? -qkv.row(j)[c] : std::numeric_limits<float>::quiet_NaN();
      run_attention(integer, shape, {.causal = true}, qkv, after);
      for (size_t i = 0; i < shape.tokens; ++i)
        CHECK(std::equal(before.row(i), before.row(i) + shape.width(), after.row(i)) == (i < from));
    }
}

// Likewise of rows outside the window, before and after.
TEST(attention_window_does_not_see_other_rows) {
  constexpr Shape shape{90, 2, 12};
  constexpr size_t kRow = 47;
  for (const bool integer : {false, true})
    for (const bool causal : {false, true})
      for (const size_t window : std::initializer_list<size_t>{1, 15, 16, 17, 30}) {
        const Sight sight{.causal = causal, .window = window};
        RandomRows qkv(shape.tokens, 3 * shape.width());
        for (size_t c = 0; c < shape.width(); ++c) qkv.row(kRow)[2 * shape.width() + c] = c % 2 ? 0.5f : -0.5f;
        for (size_t c = 0; c < shape.width(); ++c) qkv.row(0)[2 * shape.width() + c] = 1.0f;
        FloatRows before(shape.tokens, shape.width()), after(shape.tokens, shape.width());
        run_attention(integer, shape, sight, qkv, before);
        for (size_t c = integer ? 2 * shape.width() : 0; c < 3 * shape.width(); ++c)
          qkv.row(kRow)[c] = integer ? -qkv.row(kRow)[c] : std::numeric_limits<float>::quiet_NaN();
        run_attention(integer, shape, sight, qkv, after);
        for (size_t i = 0; i < shape.tokens; ++i) {
          const bool sees = i >= kRow ? i <= kRow + window : !causal && i + window >= kRow;
          CHECK(std::equal(before.row(i), before.row(i) + shape.width(), after.row(i)) == !sees);
        }
      }
}

// A bias that is not finite spoils the rows that see a key at its distance, and changes no bit of the others. In int8
// one that is not finite in base 2 counts so too.
TEST(attention_bias_not_finite) {
  constexpr Shape shape{90, 2, 12};
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const bool integer : {false, true})
    for (const size_t window : std::initializer_list<size_t>{0, 20})
      for (const size_t distance : std::initializer_list<size_t>{0, 3, 20, 21, 89})
        for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 3e38f, -3e38f}) {
          const bool spoils = integer || !std::isfinite(bad);
          RandomRows qkv(shape.tokens, 3 * shape.width()), bias(shape.heads, 2 * shape.tokens - 1);
          FloatRows before(shape.tokens, shape.width()), after(shape.tokens, shape.width());
          const Sight sight{false, window, &bias, shape.tokens};
          run_attention(integer, shape, sight, qkv, before);
          *sight.bias_of(1, distance, 0) = bad;
          run_attention(integer, shape, sight, qkv, after);
          for (size_t i = 0; i < shape.tokens; ++i) {
            const bool sees = i >= distance && (window == 0 || distance <= window);
            for (size_t c = 0; c < shape.width(); ++c) {
              const float x = after.row(i)[c];
              if (sees && c >= shape.head_dim) {
                CHECK(std::isnan(x) == spoils);
              } else {
                CHECK(x == before.row(i)[c]);
              }
            }
          }
        }
}

TEST(attention_pool_loops) {
  for (const Shape& shape : kShapes) {
    RandomRows kv(shape.tokens, 2 * shape.width()), query(1, shape.width());
    FloatRows out(1, shape.width());
    Guarded<uint8_t> scratch(4 * (shape.tokens + 16));
    kernels_of("scalar")->attention_pool({.kv = kv.row(0),
                                          .kv_stride = kv.stride(),
                                          .tokens = shape.tokens,
                                          .heads = shape.heads,
                                          .head_dim = shape.head_dim,
                                          .scale = kScale,
                                          .query = query.row(0),
                                          .out = out.row(0),
                                          .scratch = scratch.data()});
    for (size_t head = 0; head < shape.heads; ++head) {
      const float* q = query.row(0) + head * shape.head_dim;
      const auto wanted = attend({q, q + shape.head_dim}, head_of(kv, shape, 0, head), head_of(kv, shape, 1, head),
                                 std::vector<double>(shape.tokens));
      for (size_t c = 0; c < shape.head_dim; ++c)
        check_near(static_cast<double>(out.row(0)[head * shape.head_dim + c]), wanted[c], 2e-6,
                   std::to_string(shape.tokens) + " tokens");
    }
  }
}

// Pairs (c, c + d/2) of q and k as complex numbers, times e^(i·angle); v as it is.
TEST(rope_turns_pairs) {
  for (const size_t head_dim : std::initializer_list<size_t>{2, 6, 32, 34, 66}) {
    constexpr size_t kRows = 5, kHeads = 3, kPositions = 7;
    const size_t half = head_dim / 2, width = kHeads * head_dim;
    RandomRows x(kRows, 3 * width);
    FloatRows out(kRows, 3 * width);
    FloatRows cos(kPositions, head_dim), sin(kPositions, head_dim);
    const auto angle = [&](size_t position, size_t c) {
      return static_cast<double>(position) * std::pow(100.0, -static_cast<double>(c) / static_cast<double>(half));
    };
    for (size_t p = 0; p < kPositions; ++p)
      for (size_t c = 0; c < head_dim; ++c) {
        cos.row(p)[c] = static_cast<float>(std::cos(angle(p, c % half)));
        sin.row(p)[c] = static_cast<float>(std::sin(angle(p, c % half)));
      }
    const uint32_t positions[kRows] = {3, 0, 6, 1, 3};
    kernels_of("scalar")->rope({.x = x.row(0),
                                .x_stride = x.stride(),
                                .positions = positions,
                                .rows = kRows,
                                .heads = kHeads,
                                .kv_heads = kHeads,
                                .head_dim = head_dim,
                                .cos = cos.row(0),
                                .sin = sin.row(0),
                                .table_stride = cos.stride(),
                                .out = out.row(0),
                                .out_stride = out.stride()});
    for (size_t i = 0; i < kRows; ++i) {
      for (size_t head = 0; head < 2 * kHeads; ++head)
        for (size_t c = 0; c < half; ++c) {
          const size_t at = head * head_dim + c;
          const double a = static_cast<double>(x.row(i)[at]), b = static_cast<double>(x.row(i)[at + half]);
          const double turn = angle(positions[i], c);
          const std::string where = "head_dim " + std::to_string(head_dim) + ", row " + std::to_string(i);
          check_near(static_cast<double>(out.row(i)[at]), a * std::cos(turn) - b * std::sin(turn), 3e-7, where);
          check_near(static_cast<double>(out.row(i)[at + half]), a * std::sin(turn) + b * std::cos(turn), 3e-7, where);
        }
      CHECK(std::equal(x.row(i) + 2 * width, x.row(i) + 3 * width, out.row(i) + 2 * width));
    }
  }
}

TEST(glu_loops) {
  for (const size_t columns : std::initializer_list<size_t>{1, 17, 48}) {
    constexpr size_t kRows = 3;
    RandomRows x(kRows, 2 * columns);
    FloatRows out(kRows, columns);
    kernels_of("scalar")->glu({x.row(0), x.stride(), kRows, columns, Activation::silu, out.row(0), out.stride()});
    for (size_t i = 0; i < kRows; ++i)
      for (size_t c = 0; c < columns; ++c) {
        const double a = static_cast<double>(x.row(i)[c]), b = static_cast<double>(x.row(i)[columns + c]);
        check_near(static_cast<double>(out.row(i)[c]), a / (1 + std::exp(-a)) * b, 3e-7, std::to_string(columns));
      }
  }
}

}  // namespace embedrt::test
