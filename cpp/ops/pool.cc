// pool: the rows of a text or image → one row.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kKind, kSkip };
enum : size_t { kScale };

// So that a sum of bytes stays below 2^31.
constexpr size_t kMostByteRows = size_t{1} << 23;

constexpr std::string_view kRoles[] = {"scale"};
constexpr Attribute kAttributes[] = {
    {"kind", Attribute::Type::choice, 0, "mean|first|last|max|sum|weighted_mean|mean_sqrt"},
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

void run(const RunContext& context, const Instruction& instruction) {
  const ValueType& type = instruction.input_types[0];
  const View& x = context.inputs[0];
  for (size_t item = 0; item + 1 < context.starts.size(); ++item) {
    const size_t first = context.starts[item] + instruction.words[kSkip];
    const size_t rows = context.starts[item + 1] - first;
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
          .kind = static_cast<PoolKind>(instruction.words[kKind]),
          .out = out,
      });
    }
  }
}

}  // namespace

extern const Op pool_op = {
    .id = 6,
    .name = "pool",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .run = run,
};

}  // namespace embedrt
