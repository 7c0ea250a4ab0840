// glu: the activated first half of each row times its second half.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kActivation };

constexpr Attribute kAttributes[] = {
    {"activation", Attribute::Type::choice, static_cast<uint32_t>(Activation::silu), kActivationNames}};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  const ValueType x = require_value(instruction, 0);
  require(x.columns % 2 == 0, std::to_string(x.columns) + " columns have no halves");
  return x.with_columns(x.columns / 2);
}

void run(const RunContext& context, const Instruction& instruction) {
  context.kernels.glu({
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

extern const Op glu_op = {
    .id = 15,
    .name = "glu",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = {},
    .attributes = kAttributes,
    .check = check,
    .row_wise = true,
    .run = run,
};

}  // namespace embedrt
