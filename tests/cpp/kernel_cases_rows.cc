// The kernels that work row by row or column by column, without a product.
#include <limits>

#include "kernel_cases.h"

namespace embedrt::test {
namespace {

constexpr const char* kPools[] = {"mean", "first", "last", "max", "sum", "weighted_mean", "mean_sqrt"};

std::string describe(size_t rows, size_t columns, const std::string& rest) {
  return std::to_string(rows) + " rows of " + std::to_string(columns) + ", " + rest;
}
std::string describe(size_t rows, size_t columns, Filling filling, const std::string& rest = "") {
  return describe(rows, columns, (filling == Filling::special ? "special " : "plain ") + rest);
}

KernelCase norm_case(size_t rows, size_t columns, Filling filling, bool rms, bool bias, float epsilon) {
  const std::string what = (rms ? "rms, " : "layer, ") + std::string(bias ? "bias, epsilon " : "epsilon ");
  return {"norm", describe(rows, columns, filling, what + std::to_string(epsilon)), [=](const Kernels& kernels) {
            Random random(rows * 1009 + columns);
            FloatRows x(rows, columns, filling, random), out(rows, columns);
            FloatRows w(1, columns, Filling::plain, random), b(1, columns, Filling::plain, random);
            kernels.norm({
                .x = x.row(0),
                .x_stride = x.stride(),
                .rows = rows,
                .columns = columns,
                .weight = w.row(0),
                .bias = bias ? b.row(0) : nullptr,
                .epsilon = epsilon,
                .rms = rms,
                .out = out.row(0),
                .out_stride = out.stride(),
            });
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

KernelCase normalize_case(size_t rows, size_t columns, Filling filling, float epsilon) {
  return {"normalize", describe(rows, columns, filling, "epsilon " + std::to_string(epsilon)),
          [=](const Kernels& kernels) {
            Random random(rows * 1009 + columns);
            FloatRows x(rows, columns, filling, random), out(rows, columns);
            kernels.normalize({x.row(0), x.stride(), rows, columns, epsilon, out.row(0), out.stride()});
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

KernelCase add_case(size_t rows, size_t columns, Filling filling) {
  return {"add", describe(rows, columns, filling), [=](const Kernels& kernels) {
            Random random(rows * 1009 + columns);
            FloatRows a(rows, columns, filling, random), b(rows, columns, Filling::plain, random), out(rows, columns);
            kernels.add({a.row(0), a.stride(), b.row(0), b.stride(), rows, columns, out.row(0), out.stride()});
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

KernelCase lookup_case(size_t rows, size_t columns, bool quantised) {
  return {"lookup", describe(rows, columns, quantised ? "table_i8" : "matrix_f32"), [=](const Kernels& kernels) {
            constexpr uint32_t kEntries = 29;
            Random random(rows * 1009 + columns);
            Guarded<uint32_t> index(rows);
            for (size_t i = 0; i < rows; ++i) index[i] = random.below(kEntries);
            const size_t stride = round_up(columns, quantised ? 64 : 16);
            // After the last row of a table the file's next tensor or its zero tail can be read.
            Guarded<int8_t> bytes(kEntries * stride + 64);
            Guarded<float> floats(kEntries * stride + 16), scale(kEntries);
            for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<int8_t>(random.next() >> 24);
            for (size_t i = 0; i < floats.size(); ++i) floats[i] = random.spread();
            for (size_t i = 0; i < kEntries; ++i) scale[i] = random.unit();
            scale[0] = 0.0f;
            scale[1] = 0x1p-140f;
            scale[2] = std::numeric_limits<float>::infinity();
            FloatRows out(rows, columns);
            kernels.lookup({
                .index = index.data(),
                .rows = rows,
                .columns = columns,
                .table_f32 = quantised ? nullptr : floats.data(),
                .table_i8 = quantised ? bytes.data() : nullptr,
                .table_stride = stride,
                .scale = quantised ? scale.data() : nullptr,
                .out = out.row(0),
                .out_stride = out.stride(),
            });
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

struct Heads {
  size_t count, kv, columns;
  size_t width() const { return (count + 2 * kv) * columns; }
  std::string words() const {
    return std::to_string(count) + " by " + std::to_string(kv) + " heads of " + std::to_string(columns);
  }
};

KernelCase rope_case(size_t rows, const Heads& heads, Filling filling) {
  return {"rope", describe(rows, heads.width(), filling, heads.words()), [=](const Kernels& kernels) {
            constexpr uint32_t kPositions = 29;
            const size_t head_dim = heads.columns;
            Random random(rows * 1009 + heads.count * 101 + head_dim);
            FloatRows x(rows, heads.width(), filling, random), out(rows, heads.width());
            FloatRows cos(kPositions, head_dim, Filling::plain, random);
            FloatRows sin(kPositions, head_dim, Filling::plain, random);
            for (size_t c = 0; c < head_dim; ++c) sin.row(0)[c] = 0.0f;
            Guarded<uint32_t> positions(rows);
            for (size_t i = 0; i < rows; ++i) positions[i] = i % 3 ? random.below(kPositions) : 0;
            kernels.rope({
                .x = x.row(0),
                .x_stride = x.stride(),
                .positions = positions.data(),
                .rows = rows,
                .heads = heads.count,
                .kv_heads = heads.kv,
                .head_dim = head_dim,
                .cos = cos.row(0),
                .sin = sin.row(0),
                .table_stride = cos.stride(),
                .out = out.row(0),
                .out_stride = out.stride(),
            });
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

KernelCase head_norm_case(size_t rows, const Heads& heads, Filling filling, bool rms) {
  const std::string what = heads.words() + (rms ? ", rms" : ", layer");
  return {"head_norm", describe(rows, heads.width(), filling, what), [=](const Kernels& kernels) {
            Random random(rows * 1009 + heads.count * 101 + heads.columns);
            FloatRows x(rows, heads.width(), filling, random), out(rows, heads.width());
            FloatRows query(1, heads.columns, Filling::plain, random), key(1, heads.columns, Filling::plain, random);
            kernels.head_norm({
                .x = x.row(0),
                .x_stride = x.stride(),
                .rows = rows,
                .heads = heads.count,
                .kv_heads = heads.kv,
                .head_dim = heads.columns,
                .query = query.row(0),
                .key = key.row(0),
                .epsilon = 1e-6f,
                .rms = rms,
                .out = out.row(0),
                .out_stride = out.stride(),
            });
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

KernelCase glu_case(size_t rows, size_t columns, uint32_t activation, Filling filling) {
  return {"glu", describe(rows, columns, filling, "activation " + std::to_string(activation)),
          [=](const Kernels& kernels) {
            Random random(rows * 1009 + columns);
            FloatRows x(rows, 2 * columns, filling, random), out(rows, columns);
            kernels.glu(
                {x.row(0), x.stride(), rows, columns, static_cast<Activation>(activation), out.row(0), out.stride()});
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

KernelCase activate_case(size_t rows, size_t columns, uint32_t activation, Filling filling) {
  return {"activate", describe(rows, columns, filling, "activation " + std::to_string(activation)),
          [=](const Kernels& kernels) {
            Random random(rows * 1009 + columns);
            FloatRows x(rows, columns, filling, random), out(rows, columns);
            kernels.activate(
                {x.row(0), x.stride(), rows, columns, static_cast<Activation>(activation), out.row(0), out.stride()});
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

KernelCase pool_case(size_t tokens, size_t columns, PoolKind kind, Filling filling) {
  return {"pool", describe(tokens, columns, filling, kPools[static_cast<size_t>(kind)]), [=](const Kernels& kernels) {
            Random random(tokens * 1009 + columns);
            FloatRows x(tokens, columns, filling, random), out(1, columns);
            kernels.pool({x.row(0), x.stride(), tokens, columns, kind, out.row(0)});
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

}  // namespace

std::vector<KernelCase> row_cases(Amount amount) {
  const bool full = amount == Amount::full;
  const std::vector<size_t> sizes =
      full ? std::vector<size_t>{1, 3, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 100, 384}
           : std::vector<size_t>{1, 17, 48, 100};
  std::vector<KernelCase> cases;
  for (const size_t columns : sizes)
    for (const size_t rows : {size_t{1}, size_t{30}}) {
      for (const Filling filling : {Filling::plain, Filling::special}) {
        for (const bool rms : {false, true})
          for (const bool bias : {false, true})
            for (const float epsilon : {0.0f, 1e-12f, 1e-5f})
              cases.push_back(norm_case(rows, columns, filling, rms, bias, epsilon));
        for (const float epsilon : {1e-12f, 2.0f}) cases.push_back(normalize_case(rows, columns, filling, epsilon));
        cases.push_back(add_case(rows, columns, filling));
      }
      for (const bool quantised : {false, true}) cases.push_back(lookup_case(rows, columns, quantised));
      for (const Filling filling : {Filling::plain, Filling::special})
        for (uint32_t activation = 0; activation < kActivations; ++activation)
          for (const auto& each : {glu_case, activate_case}) cases.push_back(each(rows, columns, activation, filling));
    }
  for (const size_t head_dim : std::initializer_list<size_t>{1, 2, 4, 6, 10, 16, 17, 30, 32, 34, 62, 64, 66, 96, 128})
    for (const auto& [heads, kv] : std::initializer_list<std::pair<size_t, size_t>>{{1, 1}, {3, 3}, {3, 1}, {8, 2}})
      for (const size_t rows : {size_t{1}, size_t{30}})
        for (const Filling filling : {Filling::plain, Filling::special}) {
          const Heads shape{heads, kv, head_dim};
          if (head_dim % 2 == 0) cases.push_back(rope_case(rows, shape, filling));
          for (const bool rms : {false, true}) cases.push_back(head_norm_case(rows, shape, filling, rms));
        }
  // With special rows, the first `tokens` flavours: which of them spoils a column is then visible one by one.
  for (const size_t tokens : std::initializer_list<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 64, 65, 300})
    for (const size_t columns : std::initializer_list<size_t>{1, 15, 16, 17, 100})
      for (uint32_t kind = 0; kind < std::size(kPools); ++kind)
        for (const Filling filling : {Filling::plain, Filling::special})
          cases.push_back(pool_case(tokens, columns, static_cast<PoolKind>(kind), filling));
  return cases;
}

}  // namespace embedrt::test
