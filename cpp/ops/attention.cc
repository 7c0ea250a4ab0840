// attention: softmax(q · kᵀ · scale + bias) · v over the rows of each segment, for each head.
#include "ops/attention.h"

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "ops/heads.h"
#include "ops/linear.h"
#include "ops/tiles.h"

namespace embedrt {

extern const Op attention_op;

namespace {

enum : size_t { kHeads, kScale, kPrecision, kMask, kWindow, kKvHeads };
enum : size_t { kBias };
enum : uint32_t { kInt8, kFloat32 };
enum : uint32_t { kNone, kCausal };

constexpr std::string_view kRoles[] = {"bias"};
constexpr Attribute kAttributes[] = {
    {"heads", Attribute::Type::u32, 1},
    {"scale", Attribute::Type::f32, 0x3f800000},  // 1
    {"precision", Attribute::Type::choice, kInt8, "int8|float32"},
    {"mask", Attribute::Type::choice, kNone, "none|causal"},
    {"window", Attribute::Type::u32, 0},    // keys that a row sees on each side of it; 0: all
    {"kv_heads", Attribute::Type::u32, 0},  // of k and v; 0: heads
};

Heads heads_of(const Instruction& instruction) {
  return heads_of(instruction, kHeads, kKvHeads);
}

size_t tile_rows(size_t rows, size_t longest) {
  return std::max(std::min(rows, kTileRows), longest);
}

// Σp·v of 65,536 keys stays below 2^31 for a plane of bytes, and Σp below 2^32.
constexpr uint32_t kMostKeys = 65536;

// The rows of the longest item.
size_t keys(const Instruction& instruction, const ProgramLimits& limits) {
  const ValueType& qkv = instruction.input_types[0];
  return qkv.image ? qkv.item_rows() : limits.max_tokens;
}

// The most keys that a row sees.
uint64_t keys_of_row(const Instruction& instruction, const ProgramLimits& limits) {
  const uint64_t all = keys(instruction, limits), window = instruction.words[kWindow];
  const uint64_t sides = instruction.words[kMask] == kCausal ? 1 : 2;
  return window > 0 ? std::min(all, sides * window + 1) : all;
}

ValueType check(const Instruction& instruction, const ProgramLimits& limits) {
  const Heads heads = require_heads(instruction, kHeads, kKvHeads, 1);
  require(heads.columns <= kMostHeadDim,
          "heads of " + std::to_string(heads.columns) + " columns, at most " + std::to_string(kMostHeadDim));
  require(keys(instruction, limits) <= kMostKeys, "items of " + std::to_string(keys(instruction, limits)) +
                                                      " rows, attention takes at most " + std::to_string(kMostKeys));
  if (instruction.tensors[kBias])
    require_tensor(instruction, kBias, Layout::matrix_f32, instruction.words[kHeads],
                   2 * static_cast<uint32_t>(keys(instruction, limits)) - 1);
  return instruction.input_types[0].with_columns(static_cast<uint32_t>(heads.count * heads.columns));
}

// Heads whose q, k and v are whole panels can be computed one at a time.
bool absorbs(const Instruction& instruction, const Instruction& producer) {
  return is_linear_i8(producer) && heads_of(instruction).columns % 16 == 0;
}

// Heads that are computed together: `count` of q from `first` on, with those of k and v that they share.
struct HeadsRange {
  size_t first, count, kv_first, kv_count;
};

size_t divide_up(size_t n, size_t by) {
  return (n + by - 1) / by;
}

// Tiles of q, k and v, [rows, (heads + 2 · kv_heads) · head_dim]: as many heads of k and v, each with its group of q,
// as stay in the second-level cache, in as many tiles for each thread. Where threads outnumber the heads of k and v,
// they share a group. `rows`: those of the largest group of items.
struct HeadsTiles {
  Heads heads;
  size_t tiles, stride;  // stride in floats

  HeadsTiles(const Instruction& instruction, size_t rows, unsigned threads) : heads(heads_of(instruction)) {
    const size_t group = heads.group(), width = group_columns(heads);
    const size_t most = std::clamp<size_t>(kTileBytes / (rows * width * sizeof(float)), 1, heads.kv);
    const size_t turns = round_up(divide_up(heads.kv, most), threads);
    groups_ = divide_up(heads.kv, turns);
    queries_ = threads > heads.kv ? divide_up(group, divide_up(threads, heads.kv)) : group;
    parts_ = divide_up(group, queries_);
    tiles = divide_up(heads.kv, groups_) * parts_;
    stride = float_stride(groups_ * (queries_ + 2) * heads.columns);
  }

  // A tile has several groups, or a part of one.
  HeadsRange operator[](size_t tile) const {
    const size_t kv_first = tile / parts_ * groups_, kv_count = std::min(groups_, heads.kv - kv_first);
    const size_t skipped = tile % parts_ * queries_, count = std::min(queries_, heads.group() - skipped);
    return {kv_first * heads.group() + skipped, kv_count * count, kv_first, kv_count};
  }

  // The most that a tile of at most `rows` rows takes: fewer rows may mean more heads.
  static size_t most_bytes(const Instruction& instruction, size_t rows) {
    constexpr size_t kStridePadding = 32;  // floats, the most that float_stride adds
    const size_t one_group = rows * group_columns(heads_of(instruction)) * sizeof(float);
    return round_up(std::max(kTileBytes, one_group) + rows * kStridePadding * sizeof(float), 64);
  }

 private:
  static size_t group_columns(const Heads& heads) { return (heads.group() + 2) * heads.columns; }

  size_t groups_, queries_, parts_;  // of a tile: groups, and heads of q of each; and the parts of a group
};

size_t scratch(const Kernels& kernels, const Instruction& instruction, const Instruction*, size_t rows,
               size_t longest) {
  const auto kernel =
      instruction.words[kPrecision] == kFloat32 ? &Kernels::attention_f32_scratch : &Kernels::attention_i8_scratch;
  return HeadsTiles::most_bytes(instruction, tile_rows(rows, longest)) +
         (kernels.*kernel)(longest, heads_of(instruction).columns, instruction.words[kWindow]);
}

// Some heads of some items. qkv has these heads alone; its rows and those of out are those of the items.
void run_heads(const RunContext& context, const Instruction& instruction, Items items, const View& qkv,
               const HeadsRange& heads, std::byte* scratch, float* out) {
  const auto kernel = instruction.words[kPrecision] == kFloat32 ? &Kernels::attention_f32 : &Kernels::attention_i8;
  const Tensor* table = instruction.tensors[kBias];
  const size_t bias_stride = table ? round_up(table->columns, 16) : 0;
  // That of a query and the key in the same row stands in the middle.
  const float* bias = table ? table->as<float>() + heads.first * bias_stride + table->columns / 2 : nullptr;
  for (size_t item = items.first; item < items.last; ++item) {
    const size_t first = context.starts[item] - context.starts[items.first];
    const size_t tokens = context.starts[item + 1] - context.starts[item];
    if (tokens == 0) continue;
    (context.kernels.*kernel)({
        .qkv = qkv.x + first * qkv.stride,
        .qkv_stride = qkv.stride,
        .tokens = tokens,
        .heads = heads.count,
        .kv_heads = heads.kv_count,
        .head_dim = heads_of(instruction).columns,
        .scale = instruction.f32(kScale),
        .unseen = context.attended ? tokens - static_cast<size_t>(context.attended[item]) : 0,
        .causal = instruction.words[kMask] == kCausal,
        .window = instruction.words[kWindow] < tokens ? instruction.words[kWindow] : 0,
        .bias = bias,
        .bias_stride = bias_stride,
        .out = out + first * context.output.stride,
        .out_stride = context.output.stride,
        .scratch = scratch,
    });
  }
}

void run(const RunContext& context, const Instruction& instruction) {
  const Heads heads = heads_of(instruction);
  const View& input = context.inputs[0];
  if (!context.producer && context.threads == 1)
    return run_heads(context, instruction, {0, context.items}, input, {0, heads.count, 0, heads.kv}, context.scratch,
                     context.output.x);
  const std::vector<Items> groups = group_items(context.starts);
  const size_t most = most_rows(groups, context.starts);
  const HeadsTiles layout(instruction, most, context.threads);
  const auto run_tile = [&](Items items, const HeadsRange& range, std::byte* scratch) {
    const size_t first = context.starts[items.first], rows = context.starts[items.last] - first;
    View tile;
    tile.x = reinterpret_cast<float*>(scratch);
    tile.stride = layout.stride;
    float* to = tile.x;
    // q, k and v: from which head of the input, and how many.
    const size_t parts[][2] = {{range.first, range.count},
                               {heads.count + range.kv_first, range.kv_count},
                               {heads.count + heads.kv + range.kv_first, range.kv_count}};
    for (const auto& [head, count] : parts) {
      const size_t column = head * heads.columns, width = count * heads.columns;
      if (context.producer) {
        run_linear_columns(context.kernels, *context.producer, rows_from(input, first), rows, column, width, to,
                           tile.stride);
      } else {
        for (size_t row = 0; row < rows; ++row)
          std::memcpy(to + row * tile.stride, input.x + (first + row) * input.stride + column, width * sizeof(float));
      }
      to += width;
    }
    run_heads(context, instruction, items, tile, range, scratch + HeadsTiles::most_bytes(instruction, most),
              context.output.x + first * context.output.stride + range.first * heads.columns);
  };
  // All items with one tile's weights, which then stay in the cache.
  parallel_for(context.threads, layout.tiles, [&](size_t i, unsigned worker) {
    std::byte* scratch = context.scratch + worker * context.scratch_stride;
    for (const Items& group : groups) run_tile(group, layout[i], scratch);
  });
}

}  // namespace

uint32_t attention_window(const Instruction& instruction) {
  return instruction.op == &attention_op && !instruction.type.image ? instruction.words[kWindow] : 0;
}

extern const Op attention_op = {
    .id = 5,
    .name = "attention",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .work = [](const Instruction& instruction,
               const ProgramLimits& limits) { return 2 * keys_of_row(instruction, limits) * instruction.type.columns; },
    .absorbs = absorbs,
    .scratch = scratch,
    .run = run,
};

}  // namespace embedrt
