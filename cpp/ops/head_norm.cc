// head_norm: each head of q and k normed over its own columns, v as it is.
#include "ops/heads.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kHeads, kKvHeads, kKind, kEpsilon };
enum : size_t { kQuery, kKey };
enum : uint32_t { kLayer, kRms };

constexpr std::string_view kRoles[] = {"query", "key"};
constexpr Attribute kAttributes[] = {
    {"heads", Attribute::Type::u32, 1},
    {"kv_heads", Attribute::Type::u32, 0},  // of k and v; 0: heads
    {"kind", Attribute::Type::choice, kLayer, "layer|rms"},
    {"epsilon", Attribute::Type::f32, 0x2b8cbccc},  // 1e-12
};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  const auto columns = static_cast<uint32_t>(require_heads(instruction, kHeads, kKvHeads, 1).columns);
  require_tensor(instruction, kQuery, Layout::vector_f32, 1, columns);
  require_tensor(instruction, kKey, Layout::vector_f32, 1, columns);
  require(instruction.f32(kEpsilon) >= 0.0f, "epsilon is negative");
  return instruction.input_types[0];
}

void run(const RunContext& context, const Instruction& instruction) {
  const Heads heads = heads_of(instruction, kHeads, kKvHeads);
  context.kernels.head_norm({
      .x = context.inputs[0].x,
      .x_stride = context.inputs[0].stride,
      .rows = context.rows,
      .heads = heads.count,
      .kv_heads = heads.kv,
      .head_dim = heads.columns,
      .query = instruction.tensors[kQuery]->as<float>(),
      .key = instruction.tensors[kKey]->as<float>(),
      .epsilon = instruction.f32(kEpsilon),
      .rms = instruction.words[kKind] == kRms,
      .out = context.output.x,
      .out_stride = context.output.stride,
  });
}

}  // namespace

extern const Op head_norm_op = {
    .id = 17,
    .name = "head_norm",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .row_wise = true,
    .run = run,
};

}  // namespace embedrt
