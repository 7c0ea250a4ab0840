// int8 attention on every instruction set: properties that hold whatever the scores are.
#include <algorithm>
#include <cmath>
#include <limits>

#include "check.h"
#include "isa/dispatch.h"
#include "kernel_cases.h"

namespace embedrt::test {
namespace {

struct Shape {
  size_t tokens, heads, head_dim;
  size_t width() const { return heads * head_dim; }
};

std::vector<float> attention(const std::string& isa, const Shape& shape, FloatRows& qkv, float scale) {
  const Kernels& kernels = *kernels_of(isa);
  Guarded<uint8_t> scratch(kernels.attention_i8_scratch(shape.tokens, shape.head_dim, 0));
  FloatRows out(shape.tokens, shape.width());
  kernels.attention_i8({.qkv = qkv.row(0),
                        .qkv_stride = qkv.stride(),
                        .tokens = shape.tokens,
                        .heads = shape.heads,
                        .kv_heads = shape.heads,
                        .head_dim = shape.head_dim,
                        .scale = scale,
                        .out = out.row(0),
                        .out_stride = out.stride(),
                        .scratch = scratch.data()});
  scratch.expect_guards("scratch");
  std::vector<float> all;
  for (size_t i = 0; i < shape.tokens; ++i) all.insert(all.end(), out.row(i), out.row(i) + shape.width());
  return all;
}

// Random q and k, the greatest q · k being about `score`, and values that are the same in every row.
struct EqualValues : FloatRows {
  EqualValues(const Shape& shape, float score) : EqualValues(shape, score, Random(shape.tokens * 1009)) {}

 private:
  EqualValues(const Shape& shape, float score, Random random)
      : FloatRows(shape.tokens, 3 * shape.width(), Filling::plain, random) {
    const float size = 2.0f * std::sqrt(score / static_cast<float>(shape.head_dim));
    for (size_t i = 0; i < shape.tokens; ++i)
      for (size_t c = 0; c < 3 * shape.width(); ++c)
        row(i)[c] = c < 2 * shape.width() ? random.unit() * size : row(0)[c];
  }
};

}  // namespace

// The numerators over their sum add up to one: their common factor cancels, however large the scores.
TEST(attention_of_equal_values_is_the_value) {
  std::vector<size_t> tokens = {1100, 4200};
  for (size_t t = 1; t <= 70; ++t) tokens.push_back(t);
  for (const std::string& isa : available_isas())
    for (const size_t t : tokens)
      for (const size_t d : {size_t{12}, size_t{16}, size_t{64}})
        for (const float score : {1.0f, 1e6f, -1e6f}) {
          if (t > 1100 && (d != 16 || score == 1.0f)) continue;
          const Shape shape{t, t > 70 ? size_t{1} : size_t{2}, d};
          EqualValues qkv(shape, std::fabs(score));
          const auto out = attention(isa, shape, qkv, score < 0 ? -1.0f : 1.0f);
          // Roundings: of the two integers, their sum, the column's scale and the product with it, the sum of
          // numerators, its inverse, and the last product.
          double worst = 0;
          for (size_t i = 0; i < out.size(); ++i) {
            const double value = qkv.row(0)[2 * shape.width() + i % shape.width()];
            worst = std::max(worst, std::fabs(static_cast<double>(out[i]) / value - 1.0));
            if (!std::isfinite(out[i])) worst = 1e9;
          }
          check(worst <= 8 * 0x1p-24, "the outputs are not the value", __FILE__, __LINE__,
                isa + ", " + std::to_string(t) + " tokens, head_dim " + std::to_string(d) + ", scores of " +
                    std::to_string(score) + ": off by " + std::to_string(worst * 0x1p24) + " · 2^-24");
        }
}

// A frame that was laid out for a long text runs shorter ones.
TEST(attention_scratch_serves_fewer_tokens) {
  for (const std::string& isa : available_isas())
    for (const size_t d : {size_t{1}, size_t{12}, size_t{64}, kMostHeadDim})
      for (const size_t window : std::initializer_list<size_t>{0, 1, 16, 64, 128, 250, 1000, ~uint32_t{0}})
        for (const auto size : {&Kernels::attention_i8_scratch, &Kernels::attention_f32_scratch})
          for (size_t t = 1; t < 1100; ++t)
            check((kernels_of(isa)->*size)(t, d, window) <= (kernels_of(isa)->*size)(t + 1, d, window),
                  "more tokens have less scratch", __FILE__, __LINE__,
                  isa + ", " + std::to_string(t) + " tokens, head_dim " + std::to_string(d) + ", window " +
                      std::to_string(window));
}

// What a window leaves out takes no room either: a row of scores is as long in any text.
TEST(attention_scratch_of_a_window) {
  constexpr size_t kHeadDim = 64, kFew = 2048, kMany = 65536;
  for (const std::string& isa : available_isas())
    for (const size_t window : std::initializer_list<size_t>{1, 64, 128}) {
      const auto size = [&](size_t t) { return kernels_of(isa)->attention_i8_scratch(t, kHeadDim, window); };
      // A key of int8, a value, and what belongs to the key.
      CHECK(size(kMany) - size(kFew) <= (kMany - kFew) * (2 * kHeadDim + 16 * sizeof(int32_t) + 2 * sizeof(float)));
    }
}

// One key far above the rest takes all the weight, whether the scores are large and positive or large and negative.
TEST(attention_of_one_key_far_above) {
  constexpr Shape shape{37, 1, 16};
  for (const std::string& isa : available_isas())
    for (const float sign : {1.0f, -1.0f}) {
      EqualValues qkv(shape, 1e6f);
      for (size_t i = 0; i < shape.tokens; ++i)
        for (size_t c = 0; c < shape.width(); ++c) {
          qkv.row(i)[c] = 1000.0f;
          qkv.row(i)[shape.width() + c] = sign * (i == 20 ? 100.0f : 50.0f + static_cast<float>(i % 7));
          qkv.row(i)[2 * shape.width() + c] = i == 20 ? 1.0f : -1.0f;
        }
      for (const float x : attention(isa, shape, qkv, sign)) CHECK(std::fabs(x - 1.0f) <= 8 * 0x1p-24f);
    }
}

// Keys so large that the products with their scales overflow: the rows are NaN, and no key is silently left out.
TEST(attention_of_scores_that_overflow_is_nan) {
  constexpr Shape shape{20, 1, 16};
  for (const std::string& isa : available_isas())
    for (const float sign : {1.0f, -1.0f}) {
      EqualValues qkv(shape, 1.0f);
      for (size_t i = 0; i < shape.tokens; ++i)
        for (size_t c = 0; c < shape.width(); ++c) {
          qkv.row(i)[c] = 0x1p-90f;
          qkv.row(i)[shape.width() + c] = i == 3 ? sign * 0x1p126f : 0.0f;
        }
      for (const float x : attention(isa, shape, qkv, 1.0f)) CHECK(std::isnan(x));
    }
}

// A query that is not finite spoils its own row, a key every row, a value its own column.
TEST(attention_not_finite) {
  constexpr Shape shape{37, 1, 16};
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const std::string& isa : available_isas())
    for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()})
      for (size_t part = 0; part < 3; ++part) {
        EqualValues qkv(shape, 1.0f);
        constexpr size_t kRow = 18, kColumn = 5;
        qkv.row(kRow)[part * shape.width() + kColumn] = bad;
        const auto out = attention(isa, shape, qkv, 0.25f);
        for (size_t i = 0; i < out.size(); ++i) {
          const size_t row = i / shape.width(), column = i % shape.width();
          CHECK(std::isnan(out[i]) == (part == 0 ? row == kRow : part == 1 || column == kColumn));
        }
      }
}

}  // namespace embedrt::test
