// normalize: rows of length one in the Euclidean norm.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kEpsilon };

constexpr Attribute kAttributes[] = {
    {"epsilon", Attribute::Type::f32, 0x2b8cbccc},  // 1e-12
};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  require(instruction.f32(kEpsilon) > 0.0f, "epsilon must be above zero");
  return require_value(instruction, 0);
}

void run(const RunContext& context, const Instruction& instruction) {
  context.kernels.normalize({
      .x = context.inputs[0].x,
      .x_stride = context.inputs[0].stride,
      .rows = context.rows,
      .columns = instruction.type.columns,
      .epsilon = instruction.f32(kEpsilon),
      .out = context.output.x,
      .out_stride = context.output.stride,
  });
}

}  // namespace

extern const Op normalize_op = {
    .id = 7,
    .name = "normalize",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = {},
    .attributes = kAttributes,
    .check = check,
    .row_wise = true,
    .run = run,
};

}  // namespace embedrt
