// gate: every row of an image times one row of factors.
#include "base/thread_pool.h"
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kOutputZero };
enum : size_t { kScale };

constexpr std::string_view kRoles[] = {"scale"};
constexpr Attribute kAttributes[] = {{"output_zero", Attribute::Type::u32, 0}};

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  ValueType type = require_grid(instruction, 0);
  const ValueType gate = require_value(instruction, 1);
  require(gate.kind == ValueKind::segments && gate.image && gate.columns == type.columns,
          "the factors are not one row of " + std::to_string(type.columns) + " columns for each image");
  const uint8_t zero = require_byte(instruction, kOutputZero);
  if (type.element == Element::uint8) {
    require_tensor(instruction, kScale, Layout::vector_f32, 1, type.columns);
    type.zero = zero;
  } else {
    require_absent(instruction, kScale);
    require(zero == 0, "output_zero has no meaning for floats");
  }
  return type;
}

void run(const RunContext& context, const Instruction& instruction) {
  const ValueType& x = instruction.input_types[0];
  const View &input = context.inputs[0], &factors = context.inputs[1], &output = context.output;
  const bool bytes = x.element == Element::uint8;
  const Tensor* scale = instruction.tensors[kScale];
  const size_t parts = context.threads;
  parallel_for(context.threads, context.items * parts, [&](size_t task, unsigned) {
    const size_t item = task / parts, part = task % parts, rows = x.item_rows();
    const size_t from = rows * part / parts, to = rows * (part + 1) / parts, first = item * rows + from;
    context.kernels.gate({
        .x = bytes ? nullptr : input.x + first * input.stride,
        .x_u8 = bytes ? input.q.data + first * input.q.stride : nullptr,
        .x_stride = bytes ? input.q.stride : input.stride,
        .rows = to - from,
        .columns = x.columns,
        .gate = factors.x + item * factors.stride,
        .zero = static_cast<float>(x.zero),
        .scale = scale ? scale->as<float>() : nullptr,
        .output_zero = static_cast<float>(instruction.type.zero),
        .out = bytes ? nullptr : output.x + first * output.stride,
        .out_u8 = bytes ? output.q.data + first * output.q.stride : nullptr,
        .out_stride = bytes ? output.q.stride : output.stride,
    });
  });
}

}  // namespace

extern const Op gate_op = {
    .id = 12,
    .name = "gate",
    .min_inputs = 2,
    .max_inputs = 2,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .run = run,
};

}  // namespace embedrt
