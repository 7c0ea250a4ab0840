#include "ops/window.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "program/limits.h"

namespace embedrt {
namespace {

// Wide enough for the patches of vision transformers.
constexpr uint32_t kMostKernel = 64;

// Tasks for each of several threads, so that they end at about the same time.
constexpr size_t kTasksEach = 4;

}  // namespace

Window window_of(const Instruction& instruction, uint32_t height, uint32_t width) {
  const auto& words = instruction.words;
  const size_t kernel = words[kKernel], stride = words[kStride];
  return {
      .height = height,
      .width = width,
      .kernel = kernel,
      .stride = stride,
      .pad_top = words[kPadTop],
      .pad_left = words[kPadLeft],
      .out_height = (size_t{height} + words[kPadTop] + words[kPadBottom] - kernel) / stride + 1,
      .out_width = (size_t{width} + words[kPadLeft] + words[kPadRight] - kernel) / stride + 1,
  };
}

Window check_window(const Instruction& instruction, uint32_t height, uint32_t width) {
  const auto& words = instruction.words;
  const uint32_t kernel = words[kKernel];
  require(kernel >= 1 && kernel <= kMostKernel,
          "kernel is " + std::to_string(kernel) + ", allowed are 1 to " + std::to_string(kMostKernel));
  require(words[kStride] >= 1 && words[kStride] <= kMostKernel,
          "stride is " + std::to_string(words[kStride]) + ", allowed are 1 to " + std::to_string(kMostKernel));
  for (size_t pad = kPadTop; pad <= kPadRight; ++pad)
    require(words[pad] < kernel, "a padding of " + std::to_string(words[pad]) + " for a kernel of " +
                                     std::to_string(kernel) + ": some windows would see padding only");
  require(uint64_t{height} + words[kPadTop] + words[kPadBottom] >= kernel &&
              uint64_t{width} + words[kPadLeft] + words[kPadRight] >= kernel,
          "a kernel of " + std::to_string(kernel) + " is larger than the image of " + shape(height, width));
  const Window window = window_of(instruction, height, width);
  require(window.out_height <= kMaxImageExtent && window.out_width <= kMaxImageExtent,
          "defines an image of " + std::to_string(window.out_height) + " lines of " + std::to_string(window.out_width) +
              " pixels, at most " + std::to_string(kMaxImageExtent) + " each way");
  return window;
}

ValueType check_finish(const Instruction& instruction, const Window& window, uint32_t columns, size_t output_scale) {
  ValueType type{.kind = ValueKind::grid, .columns = columns, .image = true};
  type.height = static_cast<uint32_t>(window.out_height);
  type.width = static_cast<uint32_t>(window.out_width);
  const uint8_t zero = require_byte(instruction, kOutputZero);
  if (static_cast<Element>(instruction.words[kOutput]) == Element::uint8) {
    type.element = Element::uint8;
    type.zero = zero;
    if (instruction.tensors[output_scale]) {
      require_tensor(instruction, output_scale, Layout::vector_f32, 1, columns);
    } else {
      require(instruction.words[kActivation] == 0, "bytes after an activation need output_scale");
    }
  } else {
    require_absent(instruction, output_scale);
    require(zero == 0, "output_zero has no meaning for floats");
  }
  return type;
}

Finish finish_of(const RunContext& context, const Instruction& instruction, size_t item, size_t output_scale) {
  const size_t first = item * instruction.type.item_rows();
  const bool bytes = instruction.type.element == Element::uint8;
  const Tensor* scale = instruction.tensors[output_scale];
  Finish finish{};
  finish.activation = static_cast<Activation>(instruction.words[kActivation]);
  finish.out = bytes ? nullptr : context.output.x + first * context.output.stride;
  finish.out_u8 = bytes ? context.output.q.data + first * context.output.q.stride : nullptr;
  finish.out_stride = bytes ? context.output.q.stride : context.output.stride;
  finish.output_scale = scale ? scale->as<float>() : nullptr;
  finish.output_zero = static_cast<float>(instruction.type.zero);
  return finish;
}

void for_lines(const RunContext& context, const Instruction& instruction,
               FunctionRef<void(size_t item, size_t first, size_t count, std::byte* scratch)> body) {
  const size_t lines = instruction.type.height;
  const size_t parts =
      context.threads == 1 ? 1 : std::clamp<size_t>(kTasksEach * context.threads / context.items, 1, lines);
  parallel_for(context.threads, context.items * parts, [&](size_t task, unsigned worker) {
    const size_t part = task % parts, first = lines * part / parts;
    body(task / parts, first, lines * (part + 1) / parts - first, context.scratch + worker * context.scratch_stride);
  });
}

}  // namespace embedrt
