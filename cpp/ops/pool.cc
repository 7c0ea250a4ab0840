// pool: the rows of a segment → one row.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kKind };

constexpr Attribute kAttributes[] = {
    {"kind", Attribute::Type::choice, 0, "mean|first|last|max|sum|weighted_mean|mean_sqrt"},
};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  const ValueType x = require_value(instruction, 0);
  require(x.kind == ValueKind::rows, "the input must have a row for each token");
  return {ValueKind::segments, x.columns};
}

void run(const RunContext& context, const Instruction& instruction) {
  for (size_t segment = 0; segment + 1 < context.starts.size(); ++segment) {
    const size_t first = context.starts[segment];
    context.kernels.pool({
        .x = context.inputs[0].x + first * context.inputs[0].stride,
        .x_stride = context.inputs[0].stride,
        .tokens = context.starts[segment + 1] - first,
        .columns = instruction.type.columns,
        .kind = static_cast<PoolKind>(instruction.words[kKind]),
        .out = context.output.x + segment * context.output.stride,
    });
  }
}

}  // namespace

extern const Op pool_op = {
    .id = 6,
    .name = "pool",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = {},
    .attributes = kAttributes,
    .check = check,
    .run = run,
};

}  // namespace embedrt
