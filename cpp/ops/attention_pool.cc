// attention_pool: softmax(query · kᵀ · scale) · v over the rows of each image, for each head, with a constant query.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kHeads, kScale };
enum : size_t { kQuery };

constexpr std::string_view kRoles[] = {"query"};
constexpr Attribute kAttributes[] = {
    {"heads", Attribute::Type::u32, 1}, {"scale", Attribute::Type::f32, 0x3f800000},  // 1
};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  require_grid(instruction, 0);
  const ValueType kv = require_value(instruction, 0);
  const uint32_t heads = instruction.words[kHeads];
  require(heads >= 1 && heads <= kv.columns && kv.columns % (uint64_t{2} * heads) == 0,
          std::to_string(kv.columns) + " columns are not k and v of " + std::to_string(heads) + " heads");
  require_tensor(instruction, kQuery, Layout::vector_f32, 1, kv.columns / 2);
  return {.kind = ValueKind::segments, .columns = kv.columns / 2, .image = true};
}

void run(const RunContext& context, const Instruction& instruction) {
  const size_t heads = instruction.words[kHeads];
  const View& kv = context.inputs[0];
  for (size_t item = 0; item + 1 < context.starts.size(); ++item) {
    const size_t first = context.starts[item];
    context.kernels.attention_pool({
        .kv = kv.x + first * kv.stride,
        .kv_stride = kv.stride,
        .tokens = context.starts[item + 1] - first,
        .heads = heads,
        .head_dim = instruction.type.columns / heads,
        .scale = instruction.f32(kScale),
        .query = instruction.tensors[kQuery]->as<float>(),
        .out = context.output.x + item * context.output.stride,
        .scratch = context.scratch,
    });
  }
}

}  // namespace

extern const Op attention_pool_op = {
    .id = 16,
    .name = "attention_pool",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .work =
        [](const Instruction& instruction, const ProgramLimits&) {
          return uint64_t{2} * instruction.input_types[0].item_rows() * instruction.type.columns;
        },
    .scratch = [](const Kernels&, const Instruction& instruction, const Instruction*, size_t,
                  size_t) { return (instruction.input_types[0].item_rows() + 16) * sizeof(float); },
    .run = run,
};

}  // namespace embedrt
