// attention: softmax(q · kᵀ · scale) · v over the rows of each segment, for each head.
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kHeads, kScale, kPrecision };
enum : uint32_t { kInt8, kFloat32 };

constexpr Attribute kAttributes[] = {
    {"heads", Attribute::Type::u32, 1},
    {"scale", Attribute::Type::f32, 0x3f800000},  // 1
    {"precision", Attribute::Type::choice, kInt8, "int8|float32"},
};

size_t head_dim(const Instruction& instruction) {
  return instruction.input_types[0].columns / 3 / instruction.words[kHeads];
}

// Σp·v of 65,536 keys stays below 2^31 for a plane of bytes, and Σp below 2^32.
constexpr uint32_t kMostKeys = 65536;

ValueType check(const Instruction& instruction, const ProgramLimits& limits) {
  const ValueType qkv = require_value(instruction, 0);
  require(qkv.kind == ValueKind::rows, "the input must have a row for each token");
  const uint32_t heads = instruction.words[kHeads];
  require(heads >= 1 && heads <= qkv.columns && qkv.columns % (uint64_t{3} * heads) == 0,
          std::to_string(qkv.columns) + " columns are not q, k and v of " + std::to_string(heads) + " heads");
  require(head_dim(instruction) <= kMostHeadDim,
          "heads of " + std::to_string(head_dim(instruction)) + " columns, at most " + std::to_string(kMostHeadDim));
  require(limits.max_tokens <= kMostKeys, "segments of " + std::to_string(limits.max_tokens) +
                                              " tokens, attention takes at most " + std::to_string(kMostKeys));
  return {ValueKind::rows, qkv.columns / 3};
}

size_t scratch(const Kernels& kernels, const Instruction& instruction, size_t, size_t longest) {
  return instruction.words[kPrecision] == kFloat32 ? kernels.attention_f32_scratch(longest, head_dim(instruction))
                                                   : kernels.attention_i8_scratch(longest, head_dim(instruction));
}

void run(const RunContext& context, const Instruction& instruction) {
  const auto kernel =
      instruction.words[kPrecision] == kFloat32 ? context.kernels.attention_f32 : context.kernels.attention_i8;
  for (size_t segment = 0; segment + 1 < context.starts.size(); ++segment) {
    const size_t first = context.starts[segment];
    const size_t tokens = context.starts[segment + 1] - first;
    if (tokens == 0) continue;
    kernel({
        .qkv = context.inputs[0].x + first * context.inputs[0].stride,
        .qkv_stride = context.inputs[0].stride,
        .tokens = tokens,
        .heads = instruction.words[kHeads],
        .head_dim = head_dim(instruction),
        .scale = instruction.f32(kScale),
        .out = context.output.x + first * context.output.stride,
        .out_stride = context.output.stride,
        .scratch = context.scratch,
    });
  }
}

}  // namespace

extern const Op attention_op = {
    .id = 5,
    .name = "attention",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = {},
    .attributes = kAttributes,
    .check = check,
    .work =
        [](const Instruction& instruction, const ProgramLimits& limits) {
          return uint64_t{2} * limits.max_tokens * (instruction.input_types[0].columns / 3);
        },
    .row_wise = false,
    .reads_quantised = never_quantised,
    .scratch = scratch,
    .run = run,
};

}  // namespace embedrt
