// pool: the rows of a text or image → one row; of spans of texts where the call names some.
#include "ops/pool.h"

#include <algorithm>
#include <ranges>

#include "base/thread_pool.h"
#include "ops/check.h"
#include "ops/linear.h"
#include "ops/tiles.h"

namespace embedrt {
namespace {

enum : size_t { kKind, kSkip };
enum : size_t { kScale };

// So that a sum of bytes stays below 2^31.
constexpr size_t kMostByteRows = size_t{1} << 23;

constexpr std::string_view kRoles[] = {"scale"};
constexpr std::string_view kKinds = "mean|first|last|max|sum|weighted_mean|mean_sqrt";
constexpr Attribute kAttributes[] = {
    {"kind", Attribute::Type::choice, 0, kKinds},
    {"skip", Attribute::Type::u32, 0},
};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  const ValueType x = instruction.input_types[0];
  require(x.kind == ValueKind::rows || x.kind == ValueKind::grid, "the input must have several rows for each item");
  const uint32_t skip = instruction.words[kSkip];
  require(x.image ? skip < x.item_rows() : skip == 0, "skips " + std::to_string(skip) + " rows of each item");
  if (x.element == Element::uint8) {
    require(static_cast<PoolKind>(instruction.words[kKind]) == PoolKind::mean, "the kind of a pool of bytes is mean");
    require(x.item_rows() <= kMostByteRows,
            "images of " + std::to_string(x.item_rows()) + " rows of bytes, at most " + std::to_string(kMostByteRows));
    require_tensor(instruction, kScale, Layout::vector_f32, 1, x.columns);
  } else {
    require_absent(instruction, kScale);
  }
  return {.kind = ValueKind::segments, .columns = x.columns, .image = x.image};
}

// The rows that row `item` of the result is made of.
RowRange pooled(const RunContext& context, const Instruction& instruction, size_t item) {
  if (!instruction.type.image) return context.pooled[item];
  return {context.starts[item] + instruction.words[kSkip], context.starts[item + 1]};
}

PoolKind kind_of(const RunContext& context, const Instruction& instruction) {
  return context.pooling.value_or(static_cast<PoolKind>(instruction.words[kKind]));
}

void run_whole(const RunContext& context, const Instruction& instruction) {
  const ValueType& type = instruction.input_types[0];
  const View& x = context.inputs[0];
  for (size_t item = 0; item < context.rows; ++item) {
    const auto [first, last] = pooled(context, instruction, item);
    const size_t rows = last - first;
    float* out = context.output.x + item * context.output.stride;
    if (type.element == Element::uint8) {
      context.kernels.pool_u8({
          .x = x.q.data + first * x.q.stride,
          .x_stride = x.q.stride,
          .rows = rows,
          .columns = type.columns,
          .zero = type.zero,
          .scale = instruction.tensors[kScale]->as<float>(),
          .out = out,
      });
    } else {
      context.kernels.pool({
          .x = x.x + first * x.stride,
          .x_stride = x.stride,
          .tokens = rows,
          .columns = type.columns,
          .kind = kind_of(context, instruction),
          .out = out,
      });
    }
  }
}

// A max is taken of columns one by one, so those of a linear need not all be there: a vocabulary's logits are a hundred
// times as wide as the rows that they are made of.
bool absorbs(const Instruction& instruction, const Instruction& producer) {
  return static_cast<PoolKind>(instruction.words[kKind]) == PoolKind::max && !instruction.type.image &&
         is_plain_linear(producer);
}

// Columns of a tile of `rows` rows: as many as stay in the second-level cache, in as many tiles for each thread.
size_t tile_columns(size_t columns, size_t rows, unsigned threads) {
  const size_t most = std::max<size_t>(kTileBytes / (rows * sizeof(float)) / 16, 1) * 16;
  const size_t tiles = round_up((columns + most - 1) / most, threads);
  return round_up((columns + tiles - 1) / tiles, 16);
}

size_t scratch(const Kernels&, const Instruction&, const Instruction* producer, size_t, size_t longest) {
  if (!producer) return 0;
  // Fewer rows may mean more columns; a vector is the most that float_stride adds.
  const size_t most = std::max(kTileRows, longest), vector = 16 * sizeof(float);
  return std::max(kTileBytes, most * vector) + most * vector;
}

void run(const RunContext& context, const Instruction& instruction) {
  if (!context.producer) return run_whole(context, instruction);
  const std::vector<Items> groups = group_items(context.starts);
  const size_t columns = instruction.type.columns;
  const size_t width = tile_columns(columns, most_rows(groups, context.starts), context.threads);
  const size_t stride = float_stride(width);
  // All items with one tile's weights, which then stay in the cache.
  parallel_for(context.threads, (columns + width - 1) / width, [&](size_t i, unsigned worker) {
    const size_t column = i * width, count = std::min(width, columns - column);
    auto* tile = reinterpret_cast<float*>(context.scratch + worker * context.scratch_stride);
    size_t row = 0;  // of the result: those of a group of texts are one after another
    for (const Items& group : groups) {
      const size_t begin = context.starts[group.first], end = context.starts[group.last];
      run_linear_columns(context.kernels, *context.producer, rows_from(context.inputs[0], begin), end - begin, column,
                         count, tile, stride);
      for (; row < context.rows && context.pooled[row].last <= end; ++row) {
        const auto [first, last] = context.pooled[row];
        context.kernels.pool({
            .x = tile + (first - begin) * stride,
            .x_stride = stride,
            .tokens = last - first,
            .columns = count,
            .kind = kind_of(context, instruction),
            .out = context.output.x + row * context.output.stride + column,
        });
      }
    }
  });
}

}  // namespace

PoolKind pool_kind(std::string_view name) {
  uint32_t kind = 0;
  for (const auto each : std::views::split(kKinds, '|')) {
    if (std::ranges::equal(each, name)) return static_cast<PoolKind>(kind);
    ++kind;
  }
  throw InputError("pooling is " + std::string(name) + ", the kinds are " + std::string(kKinds));
}

extern const Op pool_op = {
    .id = 6,
    .name = "pool",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .absorbs = absorbs,
    .scratch = scratch,
    .run = run,
};

}  // namespace embedrt
