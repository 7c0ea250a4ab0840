// conv2d: a square window's pixels · Wᵀ, then scale, bias, residual, activation, and bytes where the result is bytes.
#include <tuple>
#include <utility>

#include "ops/window.h"

namespace embedrt {
namespace {

enum : size_t { kWeight, kScale, kBias, kResidualScale, kOutputScale };

constexpr std::string_view kRoles[] = {"weight", "scale", "bias", "residual_scale", "output_scale"};
constexpr uint32_t kPixelChannels = 3;
constexpr uint64_t kMostWindow = 65536;  // so that 255 · 128 · k stays below 2^31

bool reads_pixels(const Instruction& instruction) {
  return instruction.input_types[0].kind == ValueKind::input;
}

bool quantised(const Instruction& instruction) {
  return instruction.tensors[kWeight]->layout == Layout::panel_i8;
}

// The image that is convolved: pixels are bytes whose zero point is of no use.
ValueType image_of(const Instruction& instruction) {
  ValueType x = instruction.input_types[0];
  if (!reads_pixels(instruction)) return x;
  x.kind = ValueKind::grid;
  x.columns = kPixelChannels;
  x.element = Element::uint8;
  return x;
}

ValueType check(const Instruction& instruction, const ProgramLimits& limits) {
  if (reads_pixels(instruction)) {
    require(limits.image_height > 0, "the program takes no images");
  } else {
    require(require_grid(instruction, 0).prefix == 0, "input 0 has rows before those of the image");
  }
  const ValueType x = image_of(instruction);
  const Window window = check_window(instruction, x.height, x.width);

  const Tensor* weight = instruction.tensors[kWeight];
  require(weight != nullptr, "weight is missing");
  require(weight->layout == Layout::panel_i8 || weight->layout == Layout::panel_f32, "weight has the wrong layout");
  const uint64_t k = uint64_t{window.kernel} * window.kernel * x.columns;
  require(k <= kMostWindow && weight->columns == k,
          "weight " + shape(weight->rows, weight->columns) + " does not fit a window of " + std::to_string(k));
  if (quantised(instruction)) {
    require(x.element == Element::uint8, "weights of bytes need an input of bytes");
    require_tensor(instruction, kScale, Layout::vector_f32, 1, weight->rows);
  } else {
    require(reads_pixels(instruction) || x.element == Element::float32, "weights of floats need an input of floats");
    require_absent(instruction, kScale);
  }
  const Borders border = reads_pixels(instruction) ? borders(window) : Borders{};
  if (border.classes() > 1)
    require(window.kernel <= x.height && window.kernel <= x.width, "a padded kernel larger than the image");
  require_tensor(instruction, kBias, Layout::matrix_f32, static_cast<uint32_t>(border.classes()), weight->rows);

  const ValueType type = check_finish(instruction, window, weight->rows, kOutputScale);
  if (instruction.inputs.size() == 2) {
    const ValueType residual = instruction.input_types[1];
    require(residual.same_rows(type) && residual.columns == type.columns,
            "the residual does not have the shape of the result");
    if (residual.element == Element::uint8) {
      require_tensor(instruction, kResidualScale, Layout::vector_f32, 1, weight->rows);
      return type;
    }
  }
  require_absent(instruction, kResidualScale);
  return type;
}

// All but x and the weights, for `item` of the block.
template <class Args>
Args conv_args(const RunContext& context, const Instruction& instruction, size_t item) {
  const ValueType x = image_of(instruction);
  const Tensor& bias = *instruction.tensors[kBias];
  Args args{};
  args.window = window_of(instruction, x.height, x.width);
  args.channels = x.columns;
  args.n = bias.columns;
  args.finish = finish_of(context, instruction, item, kOutputScale);
  args.finish.bias = bias.as<float>();
  args.finish.bias_stride = bias.rows == 1 ? 0 : round_up(bias.columns, 16);
  if (instruction.inputs.size() == 2) {
    const View& residual = context.inputs[1];
    const size_t first = item * instruction.type.item_rows();
    if (const Tensor* scale = instruction.tensors[kResidualScale]) {
      args.finish.residual_u8 = residual.q.data + first * residual.q.stride;
      args.finish.residual_stride = residual.q.stride;
      args.finish.residual_scale = scale->as<float>();
    } else {
      args.finish.residual = residual.x + first * residual.stride;
      args.finish.residual_stride = residual.stride;
    }
  }
  return args;
}

// The bytes of one image and from one of its pixels to the next.
std::pair<const uint8_t*, size_t> bytes_of(const RunContext& context, const Instruction& instruction, size_t item) {
  const ValueType& x = instruction.input_types[0];
  const size_t first = item * x.height * x.width;
  if (reads_pixels(instruction)) return {context.pixels + first * kPixelChannels, kPixelChannels};
  const QuantizedRows& q = context.inputs[0].q;
  return {q.data + first * q.stride, q.stride};
}

void run_i8(const RunContext& context, const Instruction& instruction) {
  const Tensor& weight = *instruction.tensors[kWeight];
  for_lines(context, instruction, [&](size_t item, size_t line, size_t lines, std::byte* scratch) {
    auto args = conv_args<ConvI8Args>(context, instruction, item);
    std::tie(args.x, args.x_stride) = bytes_of(context, instruction, item);
    args.pad = reads_pixels(instruction) ? 0 : instruction.input_types[0].zero;
    args.weight = weight.as<int8_t>();
    args.finish.scale = instruction.tensors[kScale]->as<float>();
    args.first = line * args.window.out_width;
    args.rows = lines * args.window.out_width;
    args.scratch = scratch;
    context.kernels.conv_i8(args);
  });
}

void run_f32(const RunContext& context, const Instruction& instruction) {
  const Tensor& weight = *instruction.tensors[kWeight];
  for_lines(context, instruction, [&](size_t item, size_t line, size_t lines, std::byte* scratch) {
    auto args = conv_args<ConvF32Args>(context, instruction, item);
    if (reads_pixels(instruction)) {
      std::tie(args.x_u8, args.x_stride) = bytes_of(context, instruction, item);
    } else {
      const ValueType& x = instruction.input_types[0];
      args.x = context.inputs[0].x + item * x.item_rows() * context.inputs[0].stride;
      args.x_stride = context.inputs[0].stride;
    }
    args.weight = weight.as<float>();
    args.first = line * args.window.out_width;
    args.rows = lines * args.window.out_width;
    args.scratch = scratch;
    context.kernels.conv_f32(args);
  });
}

}  // namespace

extern const Op conv2d_op = {
    .id = 8,
    .name = "conv2d",
    .min_inputs = 1,
    .max_inputs = 2,
    .tensor_roles = kRoles,
    .attributes = kFinishTable,
    .check = check,
    .work =
        [](const Instruction& instruction, const ProgramLimits&) {
          return uint64_t{instruction.tensors[kWeight]->rows} * instruction.tensors[kWeight]->columns;
        },
    .scratch =
        [](const Kernels& kernels, const Instruction& instruction, const Instruction*, size_t, size_t) {
          const size_t k = instruction.tensors[kWeight]->columns;
          return quantised(instruction) ? kernels.conv_i8_scratch(k) : kernels.conv_f32_scratch(k);
        },
    .run = [](const RunContext& context,
              const Instruction& instruction) { (quantised(instruction) ? run_i8 : run_f32)(context, instruction); },
};

}  // namespace embedrt
