// place: constant rows before those of each image, and a constant row added to each of its own.
#include <cstring>

#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kPrefix, kPosition };

constexpr std::string_view kRoles[] = {"prefix", "position"};
constexpr uint32_t kMostPrefix = 4096;

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  require_grid(instruction, 0);
  ValueType type = require_value(instruction, 0);
  require(type.prefix == 0, "input 0 has rows before those of the image already");
  const Tensor *prefix = instruction.tensors[kPrefix], *position = instruction.tensors[kPosition];
  require(prefix != nullptr || position != nullptr, "there is neither prefix nor position");
  if (position) require_tensor(instruction, kPosition, Layout::matrix_f32, type.height * type.width, type.columns);
  if (prefix) {
    require(prefix->rows <= kMostPrefix,
            std::to_string(prefix->rows) + " rows before those of the image, at most " + std::to_string(kMostPrefix));
    require_tensor(instruction, kPrefix, Layout::matrix_f32, prefix->rows, type.columns);
    type.prefix = prefix->rows;
  }
  return type;
}

void run(const RunContext& context, const Instruction& instruction) {
  const ValueType& type = instruction.type;
  const Tensor *prefix = instruction.tensors[kPrefix], *position = instruction.tensors[kPosition];
  const size_t rows = type.item_rows() - type.prefix, width = round_up(type.columns, 16);
  const View &x = context.inputs[0], &out = context.output;
  for (size_t item = 0; item < context.items; ++item) {
    float* to = out.x + item * type.item_rows() * out.stride;
    for (size_t row = 0; row < type.prefix; ++row, to += out.stride)
      std::memcpy(to, prefix->as<float>() + row * width, width * sizeof(float));
    const float* from = x.x + item * rows * x.stride;
    if (position) {
      context.kernels.add({
          .a = from,
          .a_stride = x.stride,
          .b = position->as<float>(),
          .b_stride = width,
          .rows = rows,
          .columns = type.columns,
          .out = to,
          .out_stride = out.stride,
      });
    } else {
      for (size_t row = 0; row < rows; ++row)
        std::memcpy(to + row * out.stride, from + row * x.stride, width * sizeof(float));
    }
  }
}

}  // namespace

extern const Op place_op = {
    .id = 13,
    .name = "place",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = {},
    .check = check,
    .run = run,
};

}  // namespace embedrt
