// add: the sum of two values of one kind and width.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  const ValueType a = require_value(instruction, 0), b = require_value(instruction, 1);
  require(a.same_rows(b) && a.columns == b.columns, "the inputs differ: " + std::to_string(a.columns) + " and " +
                                                        std::to_string(b.columns) +
                                                        " columns, or not of the same rows");
  return a;
}

void run(const RunContext& context, const Instruction& instruction) {
  context.kernels.add({
      .a = context.inputs[0].x,
      .a_stride = context.inputs[0].stride,
      .b = context.inputs[1].x,
      .b_stride = context.inputs[1].stride,
      .rows = context.rows,
      .columns = instruction.type.columns,
      .out = context.output.x,
      .out_stride = context.output.stride,
  });
}

}  // namespace

extern const Op add_op = {
    .id = 2,
    .name = "add",
    .min_inputs = 2,
    .max_inputs = 2,
    .tensor_roles = {},
    .attributes = {},
    .check = check,
    .row_wise = true,
    .run = run,
};

}  // namespace embedrt
