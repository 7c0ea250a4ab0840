// linear: act(x · Wᵀ + bias) + residual. The layout of the weight decides the precision.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kActivation, kInputScale, kInputBits, kStaticScale, kStaticZero };
enum : size_t { kWeight, kScale, kColumnSums, kBias };
enum : uint32_t { kRow, kSegment, kStatic };

constexpr std::string_view kRoles[] = {"weight", "scale", "column_sums", "bias"};
constexpr Attribute kAttributes[] = {
    {"activation", Attribute::Type::choice, 0, "none|relu|gelu|gelu_tanh|silu|tanh|sigmoid"},
    {"input_scale", Attribute::Type::choice, kRow, "row|segment|static"},
    {"input_bits", Attribute::Type::u32, 8},
    {"static_scale", Attribute::Type::f32, 0},
    {"static_zero", Attribute::Type::u32, 0},
};

bool quantised(const Instruction& instruction) {
  return instruction.tensors[kWeight]->layout == Layout::panel_i8;
}

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  const ValueType x = require_value(instruction, 0);
  const Tensor* weight = instruction.tensors[kWeight];
  require(weight != nullptr, "weight is missing");
  require(weight->layout == Layout::panel_i8 || weight->layout == Layout::panel_f32, "weight has the wrong layout");
  require(weight->columns == x.columns, "weight " + shape(weight->rows, weight->columns) +
                                            " does not fit an input of " + std::to_string(x.columns) + " columns");
  if (quantised(instruction)) {
    require_tensor(instruction, kScale, Layout::vector_f32, 1, weight->rows);
    require_tensor(instruction, kColumnSums, Layout::vector_i32, 1, weight->rows);
  } else {
    require_absent(instruction, kScale);
    require_absent(instruction, kColumnSums);
  }
  if (instruction.tensors[kBias]) require_tensor(instruction, kBias, Layout::vector_f32, 1, weight->rows);
  require(instruction.words[kInputScale] == kRow, "input_scale other than row is not known to this version");
  require(instruction.words[kInputBits] == 8, "input_bits other than 8 is not known to this version");
  require(instruction.words[kStaticScale] == 0 && instruction.words[kStaticZero] == 0,
          "static_scale and static_zero have no meaning with input_scale row");
  const ValueType type{x.kind, weight->rows};
  if (instruction.inputs.size() == 2) {
    const ValueType residual = require_value(instruction, 1);
    require(residual.kind == type.kind && residual.columns == type.columns,
            "the residual does not have the shape of the result");
  }
  return type;
}

void run(const RunContext& context, const Instruction& instruction) {
  const Tensor& weight = *instruction.tensors[kWeight];
  const Tensor* bias = instruction.tensors[kBias];
  const View& x = context.inputs[0];
  const LinearArgs common = {
      .rows = context.rows,
      .k = weight.columns,
      .n = weight.rows,
      .bias = bias ? bias->as<float>() : nullptr,
      .activation = static_cast<Activation>(instruction.words[kActivation]),
      .residual = context.inputs.size() == 2 ? context.inputs[1].x : nullptr,
      .residual_stride = context.inputs.size() == 2 ? context.inputs[1].stride : 0,
      .out = context.output.x,
      .out_stride = context.output.stride,
  };
  if (quantised(instruction)) {
    LinearI8Args args{};
    static_cast<LinearArgs&>(args) = common;
    args.x = x.q;
    args.weight = weight.as<int8_t>();
    args.scale = instruction.tensors[kScale]->as<float>();
    args.column_sums = instruction.tensors[kColumnSums]->as<int32_t>();
    context.kernels.linear_i8(args);
  } else {
    LinearF32Args args{};
    static_cast<LinearArgs&>(args) = common;
    args.x = x.x;
    args.x_stride = x.stride;
    args.weight = weight.as<float>();
    context.kernels.linear_f32(args);
  }
}

}  // namespace

extern const Op linear_op = {
    .id = 4,
    .name = "linear",
    .min_inputs = 1,
    .max_inputs = 2,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .work =
        [](const Instruction& instruction, const ProgramLimits&) {
          return uint64_t{instruction.tensors[kWeight]->rows} * instruction.tensors[kWeight]->columns;
        },
    .row_wise = true,
    .reads_quantised = quantised,
    .scratch = no_scratch,
    .run = run,
};

}  // namespace embedrt
