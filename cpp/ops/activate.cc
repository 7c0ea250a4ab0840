// activate: an activation by itself, where no linear layer comes before it.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kActivation };

constexpr Attribute kAttributes[] = {{"activation", Attribute::Type::choice, 0, kActivationNames}};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  return require_value(instruction, 0);
}

void run(const RunContext& context, const Instruction& instruction) {
  context.kernels.activate({
      .x = context.inputs[0].x,
      .x_stride = context.inputs[0].stride,
      .rows = context.rows,
      .columns = instruction.type.columns,
      .activation = static_cast<Activation>(instruction.words[kActivation]),
      .out = context.output.x,
      .out_stride = context.output.stride,
  });
}

}  // namespace

extern const Op activate_op = {
    .id = 18,
    .name = "activate",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = {},
    .attributes = kAttributes,
    .check = check,
    .row_wise = true,
    .run = run,
};

}  // namespace embedrt
