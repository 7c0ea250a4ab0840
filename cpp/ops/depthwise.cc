// depthwise: a convolution in which each channel sees only itself.
#include "ops/window.h"

namespace embedrt {
namespace {

enum : size_t { kWeight, kScale, kBias, kOutputScale };

constexpr std::string_view kRoles[] = {"weight", "scale", "bias", "output_scale"};

bool quantised(const Instruction& instruction) {
  return instruction.input_types[0].element == Element::uint8;
}

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  const ValueType x = require_grid(instruction, 0);
  require(x.prefix == 0, "input 0 has rows before those of the image");
  const Window window = check_window(instruction, x.height, x.width);
  const uint32_t taps = instruction.words[kKernel] * instruction.words[kKernel];
  if (quantised(instruction)) {
    require_tensor(instruction, kWeight, Layout::table_i8, taps, x.columns);
    require_tensor(instruction, kScale, Layout::vector_f32, 1, x.columns);
  } else {
    require_tensor(instruction, kWeight, Layout::matrix_f32, taps, x.columns);
    require_absent(instruction, kScale);
  }
  require_tensor(instruction, kBias, Layout::vector_f32, 1, x.columns);
  return check_finish(instruction, window, x.columns, kOutputScale);
}

// All but x and the weights.
template <class Args>
Args depthwise_args(const RunContext& context, const Instruction& instruction, size_t item, size_t line, size_t lines,
                    std::byte* scratch) {
  const ValueType& x = instruction.input_types[0];
  Args args{};
  args.window = window_of(instruction, x.height, x.width);
  args.channels = x.columns;
  args.first_line = line;
  args.lines = lines;
  args.finish = finish_of(context, instruction, item, kOutputScale);
  args.finish.bias = instruction.tensors[kBias]->as<float>();
  args.scratch = scratch;
  return args;
}

void run(const RunContext& context, const Instruction& instruction) {
  const ValueType& x = instruction.input_types[0];
  const Tensor& weight = *instruction.tensors[kWeight];
  const View& input = context.inputs[0];
  for_lines(context, instruction, [&](size_t item, size_t line, size_t lines, std::byte* scratch) {
    const size_t first = item * x.item_rows();
    if (quantised(instruction)) {
      auto args = depthwise_args<DepthwiseI8Args>(context, instruction, item, line, lines, scratch);
      args.x = input.q.data + first * input.q.stride;
      args.x_stride = input.q.stride;
      args.pad = x.zero;
      args.weight = weight.as<int8_t>();
      args.weight_stride = round_up(weight.columns, 64);
      args.finish.scale = instruction.tensors[kScale]->as<float>();
      context.kernels.depthwise_i8(args);
    } else {
      auto args = depthwise_args<DepthwiseF32Args>(context, instruction, item, line, lines, scratch);
      args.x = input.x + first * input.stride;
      args.x_stride = input.stride;
      args.weight = weight.as<float>();
      args.weight_stride = round_up(weight.columns, 16);
      context.kernels.depthwise_f32(args);
    }
  });
}

}  // namespace

extern const Op depthwise_op = {
    .id = 9,
    .name = "depthwise",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = kFinishTable,
    .check = check,
    .work =
        [](const Instruction& instruction, const ProgramLimits&) {
          return uint64_t{instruction.tensors[kWeight]->rows} * instruction.type.columns;
        },
    .scratch =
        [](const Kernels& kernels, const Instruction& instruction, const Instruction*, size_t, size_t) {
          const ValueType& x = instruction.input_types[0];
          const auto kernel = quantised(instruction) ? &Kernels::depthwise_i8_scratch : &Kernels::depthwise_f32_scratch;
          return (kernels.*kernel)(window_of(instruction, x.height, x.width), x.columns);
        },
    .run = run,
};

}  // namespace embedrt
