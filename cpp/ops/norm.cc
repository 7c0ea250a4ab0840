// norm: layer or root-mean-square normalisation over the columns of a row.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kKind, kEpsilon };
enum : size_t { kWeight, kBias };
enum : uint32_t { kLayer, kRms };

constexpr std::string_view kRoles[] = {"weight", "bias"};
constexpr Attribute kAttributes[] = {
    {"kind", Attribute::Type::choice, kLayer, "layer|rms"}, {"epsilon", Attribute::Type::f32, 0x2b8cbccc},  // 1e-12
};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  const ValueType x = require_value(instruction, 0);
  require_tensor(instruction, kWeight, Layout::vector_f32, 1, x.columns);
  if (instruction.tensors[kBias]) require_tensor(instruction, kBias, Layout::vector_f32, 1, x.columns);
  require(instruction.f32(kEpsilon) >= 0.0f, "epsilon is negative");
  return x;
}

void run(const RunContext& context, const Instruction& instruction) {
  const Tensor* bias = instruction.tensors[kBias];
  context.kernels.norm({
      .x = context.inputs[0].x,
      .x_stride = context.inputs[0].stride,
      .rows = context.rows,
      .columns = instruction.type.columns,
      .weight = instruction.tensors[kWeight]->as<float>(),
      .bias = bias ? bias->as<float>() : nullptr,
      .epsilon = instruction.f32(kEpsilon),
      .rms = instruction.words[kKind] == kRms,
      .out = context.output.x,
      .out_stride = context.output.stride,
  });
}

}  // namespace

extern const Op norm_op = {
    .id = 3,
    .name = "norm",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .row_wise = true,
    .run = run,
};

}  // namespace embedrt
