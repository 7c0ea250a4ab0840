// Heads of q that share one of k and v, against the same heads with k and v of their own; and norms of each head.
#include <algorithm>
#include <cmath>

#include "check.h"
#include "isa/dispatch.h"
#include "kernel_cases.h"

namespace embedrt::test {
namespace {

struct Heads {
  size_t count, kv, columns;
  size_t width() const { return (count + 2 * kv) * columns; }
  std::string words() const {
    return std::to_string(count) + " heads by " + std::to_string(kv) + " of " + std::to_string(columns);
  }
};
constexpr Heads kHeads[] = {{4, 2, 12}, {6, 2, 16}, {3, 1, 10}, {2, 2, 20}, {8, 2, 2}};

// Rows of q, k and v in which each head of q has its own copy of k and v.
struct Repeated : FloatRows {
  Repeated(FloatRows& rows, size_t count, const Heads& heads) : FloatRows(count, 3 * heads.count * heads.columns) {
    const size_t d = heads.columns, group = heads.count / heads.kv;
    for (size_t i = 0; i < count; ++i) {
      const float* from = rows.row(i);
      std::copy_n(from, heads.count * d, row(i));
      for (size_t part = 1; part < 3; ++part)
        for (size_t head = 0; head < heads.count; ++head)
          std::copy_n(from + (heads.count + (part - 1) * heads.kv + head / group) * d, d,
                      row(i) + (part * heads.count + head) * d);
    }
  }
};

struct RandomRows : FloatRows {
  RandomRows(size_t rows, size_t columns) : RandomRows(rows, columns, Random(rows * 1009 + columns)) {}

 private:
  RandomRows(size_t rows, size_t columns, Random random) : FloatRows(rows, columns, Filling::plain, random) {}
};

}  // namespace

TEST(grouped_attention_is_that_of_repeated_heads) {
  constexpr size_t kTokens = 70;
  for (const std::string& isa : available_isas())
    for (const Heads& heads : kHeads)
      for (const bool integer : {false, true})
        for (const bool causal : {false, true})
          for (const size_t window : {size_t{0}, size_t{9}})
            for (const bool biased : {false, true}) {
              RandomRows grouped(kTokens, heads.width()), bias(heads.count, 2 * kTokens - 1);
              Repeated all(grouped, kTokens, heads);
              const Kernels& kernels = *kernels_of(isa);
              const auto size = integer ? &Kernels::attention_i8_scratch : &Kernels::attention_f32_scratch;
              Guarded<uint8_t> scratch((kernels.*size)(kTokens, heads.columns, window));
              const size_t width = heads.count * heads.columns;
              const auto run = [&](FloatRows& qkv, size_t kv_heads) {
                FloatRows out(kTokens, width);
                (kernels.*(integer ? &Kernels::attention_i8 : &Kernels::attention_f32))({
                    .qkv = qkv.row(0),
                    .qkv_stride = qkv.stride(),
                    .tokens = kTokens,
                    .heads = heads.count,
                    .kv_heads = kv_heads,
                    .head_dim = heads.columns,
                    .scale = 0.375f,
                    .causal = causal,
                    .window = window,
                    .bias = biased ? bias.row(0) + kTokens - 1 : nullptr,
                    .bias_stride = bias.stride(),
                    .out = out.row(0),
                    .out_stride = out.stride(),
                    .scratch = scratch.data(),
                });
                std::vector<uint8_t> bytes;
                out.collect(bytes, "output");
                return bytes;
              };
              check(run(grouped, heads.kv) == run(all, heads.count), "other bits", __FILE__, __LINE__,
                    isa + ", " + heads.words() + (integer ? ", int8" : ""));
            }
}

TEST(grouped_rope_is_that_of_repeated_heads) {
  constexpr size_t kRows = 5;
  const uint32_t positions[kRows] = {3, 0, 6, 1, 3};
  for (const Heads& heads : kHeads) {
    RandomRows grouped(kRows, heads.width()), cos(7, heads.columns), sin(8, heads.columns);
    Repeated all(grouped, kRows, heads);
    const auto run = [&](FloatRows& x, size_t kv_heads, FloatRows& out) {
      kernels_of("scalar")->rope({.x = x.row(0),
                                  .x_stride = x.stride(),
                                  .positions = positions,
                                  .rows = kRows,
                                  .heads = heads.count,
                                  .kv_heads = kv_heads,
                                  .head_dim = heads.columns,
                                  .cos = cos.row(0),
                                  .sin = sin.row(0),
                                  .table_stride = cos.stride(),
                                  .out = out.row(0),
                                  .out_stride = out.stride()});
    };
    FloatRows found(kRows, heads.width()), wanted(kRows, 3 * heads.count * heads.columns);
    run(grouped, heads.kv, found);
    run(all, heads.count, wanted);
    Repeated same(found, kRows, heads);
    for (size_t i = 0; i < kRows; ++i)
      CHECK(std::equal(same.row(i), same.row(i) + 3 * heads.count * heads.columns, wanted.row(i)));
  }
}

// A sum of d squares is off by d / 16 + 5 roundings at most, the rest by a few.
TEST(head_norm_loops) {
  constexpr size_t kRows = 3;
  constexpr float kEpsilon = 1e-3f;
  for (const Heads& heads : {kHeads[0], kHeads[2], Heads{5, 5, 1}, Heads{3, 1, 40}, Heads{2, 1, 128}})
    for (const bool rms : {false, true}) {
      const size_t d = heads.columns;
      RandomRows x(kRows, heads.width()), query(1, d), key(1, d + 1);
      FloatRows out(kRows, heads.width());
      kernels_of("scalar")->head_norm({.x = x.row(0),
                                       .x_stride = x.stride(),
                                       .rows = kRows,
                                       .heads = heads.count,
                                       .kv_heads = heads.kv,
                                       .head_dim = d,
                                       .query = query.row(0),
                                       .key = key.row(0),
                                       .epsilon = kEpsilon,
                                       .rms = rms,
                                       .out = out.row(0),
                                       .out_stride = out.stride()});
      for (size_t i = 0; i < kRows; ++i) {
        for (size_t head = 0; head < heads.count + heads.kv; ++head) {
          const float* from = x.row(i) + head * d;
          const float* weight = head < heads.count ? query.row(0) : key.row(0);
          double mean = 0, squares = 0;
          for (size_t c = 0; c < d && !rms; ++c) mean += static_cast<double>(from[c]) / static_cast<double>(d);
          for (size_t c = 0; c < d; ++c) squares += std::pow(static_cast<double>(from[c]) - mean, 2);
          const double length = std::sqrt(squares / static_cast<double>(d) + static_cast<double>(kEpsilon));
          for (size_t c = 0; c < d; ++c) {
            const double wanted = (static_cast<double>(from[c]) - mean) / length * static_cast<double>(weight[c]);
            check(std::fabs(static_cast<double>(out.row(i)[head * d + c]) - wanted) <= 3e-6, "off", __FILE__, __LINE__,
                  heads.words() + (rms ? ", rms" : ", layer") + ", head " + std::to_string(head));
          }
        }
        const size_t v = (heads.count + heads.kv) * d;
        CHECK(std::equal(x.row(i) + v, x.row(i) + heads.width(), out.row(i) + v));
      }
    }
}

}  // namespace embedrt::test
