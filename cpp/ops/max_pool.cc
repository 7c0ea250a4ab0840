// max_pool: the greatest value of each channel in a window; padding is left out.
#include "ops/window.h"

namespace embedrt {
namespace {

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  ValueType type = require_grid(instruction, 0);
  require(type.prefix == 0, "input 0 has rows before those of the image");
  const Window window = check_window(instruction, type.height, type.width);
  type.height = static_cast<uint32_t>(window.out_height);
  type.width = static_cast<uint32_t>(window.out_width);
  return type;
}

void run(const RunContext& context, const Instruction& instruction) {
  const ValueType& x = instruction.input_types[0];
  const View &input = context.inputs[0], &output = context.output;
  const bool bytes = x.element == Element::uint8;
  for_lines(context, instruction, [&](size_t item, size_t line, size_t lines, std::byte*) {
    const size_t from = item * x.item_rows(), to = item * instruction.type.item_rows();
    context.kernels.max_pool({
        .window = window_of(instruction, x.height, x.width),
        .x_stride = bytes ? input.q.stride : input.stride,
        .channels = x.columns,
        .first_line = line,
        .lines = lines,
        .x = bytes ? nullptr : input.x + from * input.stride,
        .x_u8 = bytes ? input.q.data + from * input.q.stride : nullptr,
        .out = bytes ? nullptr : output.x + to * output.stride,
        .out_u8 = bytes ? output.q.data + to * output.q.stride : nullptr,
        .out_stride = bytes ? output.q.stride : output.stride,
    });
  });
}

}  // namespace

extern const Op max_pool_op = {
    .id = 10,
    .name = "max_pool",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = {},
    .attributes = kWindowTable,
    .check = check,
    .work =  // comparisons
    [](const Instruction& instruction, const ProgramLimits&) {
      return uint64_t{instruction.words[kKernel]} * instruction.words[kKernel] * instruction.type.columns;
    },
    .run = run,
};

}  // namespace embedrt
