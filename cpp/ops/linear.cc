// linear: act(x · Wᵀ + bias) + residual. The layout of the weight decides the precision.
#include "ops/linear.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "ops/check.h"

namespace embedrt {

extern const Op linear_op;

namespace {

enum : size_t { kActivation, kInputScale, kInputBits, kStaticScale, kStaticZero };
enum : size_t { kWeight, kScale, kColumnSums, kBias };
enum : uint32_t { kRow, kSegment, kStatic };

// So that 255 · 127 · K stays below 2^31.
constexpr uint32_t kMostTerms = 65536;

constexpr std::string_view kRoles[] = {"weight", "scale", "column_sums", "bias"};
constexpr Attribute kAttributes[] = {
    {"activation", Attribute::Type::choice, 0, kActivationNames},
    {"input_scale", Attribute::Type::choice, kRow, "row|segment|static"},
    {"input_bits", Attribute::Type::u32, 8},
    {"static_scale", Attribute::Type::f32, 0},
    {"static_zero", Attribute::Type::u32, 0},
};

bool quantised(const Instruction& instruction) {
  return instruction.tensors[kWeight]->layout == Layout::panel_i8;
}

uint32_t quantised_bits(const Instruction& instruction) {
  return quantised(instruction) ? instruction.words[kInputBits] : 0;
}

ValueType check(const Instruction& instruction, const ProgramLimits&) {
  const ValueType x = require_value(instruction, 0);
  const Tensor* weight = instruction.tensors[kWeight];
  require(weight != nullptr, "weight is missing");
  require(weight->layout == Layout::panel_i8 || weight->layout == Layout::panel_f32, "weight has the wrong layout");
  require(weight->columns == x.columns, "weight " + shape(weight->rows, weight->columns) +
                                            " does not fit an input of " + std::to_string(x.columns) + " columns");
  require(x.columns <= kMostTerms,
          "dots of " + std::to_string(x.columns) + " products, at most " + std::to_string(kMostTerms));
  if (quantised(instruction)) {
    require_tensor(instruction, kScale, Layout::vector_f32, 1, weight->rows);
    require_tensor(instruction, kColumnSums, Layout::vector_i32, 1, weight->rows);
  } else {
    require_absent(instruction, kScale);
    require_absent(instruction, kColumnSums);
  }
  if (instruction.tensors[kBias]) require_tensor(instruction, kBias, Layout::vector_f32, 1, weight->rows);
  require(instruction.words[kInputScale] == kRow, "input_scale other than row is not known to this version");
  const uint32_t bits = instruction.words[kInputBits];
  require(bits == 8 || bits == 16, "input_bits is " + std::to_string(bits) + ", not 8 or 16");
  require(bits == 8 || quantised(instruction), "input_bits has no meaning with a float32 weight");
  require(instruction.words[kStaticScale] == 0 && instruction.words[kStaticZero] == 0,
          "static_scale and static_zero have no meaning with input_scale row");
  const ValueType type = x.with_columns(weight->rows);
  if (instruction.inputs.size() == 2) {
    const ValueType residual = require_value(instruction, 1);
    require(residual.same_rows(type) && residual.columns == type.columns,
            "the residual does not have the shape of the result");
  }
  return type;
}

LinearArgs common_args(const Instruction& instruction, size_t rows) {
  const Tensor& weight = *instruction.tensors[kWeight];
  const Tensor* bias = instruction.tensors[kBias];
  LinearArgs args{};
  args.rows = rows;
  args.k = weight.columns;
  args.n = weight.rows;
  args.bias = bias ? bias->as<float>() : nullptr;
  args.activation = static_cast<Activation>(instruction.words[kActivation]);
  return args;
}

LinearI8Args i8_args(const Instruction& instruction, const View& x, size_t rows) {
  LinearI8Args args{};
  static_cast<LinearArgs&>(args) = common_args(instruction, rows);
  args.x = x.q;
  args.weight = instruction.tensors[kWeight]->as<int8_t>();
  args.scale = instruction.tensors[kScale]->as<float>();
  args.column_sums = instruction.tensors[kColumnSums]->as<int32_t>();
  return args;
}

LinearF32Args f32_args(const Instruction& instruction, const View& x, size_t rows) {
  LinearF32Args args{};
  static_cast<LinearArgs&>(args) = common_args(instruction, rows);
  args.x = x.x;
  args.x_stride = x.stride;
  args.weight = instruction.tensors[kWeight]->as<float>();
  return args;
}

// Columns `first` … `first + count` of what `args` asks for; `first` is a multiple of 16.
template <class Args>
Args columns(Args args, size_t first, size_t count) {
  args.n = count;
  if constexpr (std::is_same_v<Args, LinearI8Args>) {
    args.weight += first * round_up(args.k, 4);
    args.scale += first;
    args.column_sums += first;
  } else {
    args.weight += first * args.k;
  }
  if (args.bias) args.bias += first;
  if (args.residual) args.residual += first;
  if (args.out) args.out += first;
  return args;
}

// Threads share the columns, so that each reads its part of the weights.
void run(const RunContext& context, const Instruction& instruction) {
  const auto call = [&](auto kernel, auto args) {
    if (context.inputs.size() == 2) {
      args.residual = context.inputs[1].x;
      args.residual_stride = context.inputs[1].stride;
    }
    args.out = context.output.x;
    args.out_stride = context.output.stride;
    if (context.threads == 1) return (context.kernels.*kernel)(args);
    const size_t panels = round_up(args.n, 16) / 16, shares = std::min<size_t>(panels, context.threads);
    parallel_for(context.threads, shares, [&](size_t share, unsigned) {
      const size_t first = panels * share / shares * 16, last = std::min(args.n, panels * (share + 1) / shares * 16);
      (context.kernels.*kernel)(columns(args, first, last - first));
    });
  };
  if (quantised(instruction)) {
    call(&Kernels::linear_i8, i8_args(instruction, context.inputs[0], context.rows));
  } else {
    call(&Kernels::linear_f32, f32_args(instruction, context.inputs[0], context.rows));
  }
}

}  // namespace

bool is_plain_linear(const Instruction& instruction) {
  return instruction.op == &linear_op && instruction.inputs.size() == 1;
}

bool is_linear_i8(const Instruction& instruction) {
  return is_plain_linear(instruction) && quantised(instruction);
}

void run_linear_columns(const Kernels& kernels, const Instruction& instruction, const View& x, size_t rows,
                        size_t first, size_t count, float* out, size_t out_stride) {
  const auto call = [&](auto kernel, auto args) {
    args = columns(args, first, count);
    args.out = out;
    args.out_stride = out_stride;
    (kernels.*kernel)(args);
  };
  if (quantised(instruction)) {
    call(&Kernels::linear_i8, i8_args(instruction, x, rows));
  } else {
    call(&Kernels::linear_f32, f32_args(instruction, x, rows));
  }
}

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
          const Tensor& weight = *instruction.tensors[kWeight];
          const uint64_t planes = quantised_bits(instruction) == 16 ? 2 : 1;
          return planes * weight.rows * weight.columns;
        },
    .row_wise = true,
    .quantised_bits = quantised_bits,
    .run = run,
};

}  // namespace embedrt
