// quantize: floats of an image → bytes, by scales that are fixed at conversion.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kZero };
enum : size_t { kScale };

constexpr std::string_view kRoles[] = {"scale"};
constexpr Attribute kAttributes[] = {{"zero", Attribute::Type::u32, 0}};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  require_grid(instruction, 0);
  ValueType type = require_value(instruction, 0);
  require_tensor(instruction, kScale, Layout::vector_f32, 1, type.columns);
  type.element = Element::uint8;
  type.zero = require_byte(instruction, kZero);
  return type;
}

void run(const RunContext& context, const Instruction& instruction) {
  context.kernels.quantize_static({
      .x = context.inputs[0].x,
      .x_stride = context.inputs[0].stride,
      .rows = context.rows,
      .columns = instruction.type.columns,
      .scale = instruction.tensors[kScale]->as<float>(),
      .zero = static_cast<float>(instruction.type.zero),
      .out = context.output.q.data,
      .out_stride = context.output.q.stride,
  });
}

}  // namespace

extern const Op quantize_op = {
    .id = 11,
    .name = "quantize",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .row_wise = true,
    .run = run,
};

}  // namespace embedrt
