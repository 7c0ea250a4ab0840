// rope: q and k turned by the angles of their position, v as it is.
#include "ops/heads.h"
#include "ops/run.h"

namespace embedrt {
namespace {

enum : size_t { kHeads, kKvHeads };
enum : size_t { kCos, kSin };

constexpr std::string_view kRoles[] = {"cos", "sin"};
constexpr Attribute kAttributes[] = {
    {"heads", Attribute::Type::u32, 1}, {"kv_heads", Attribute::Type::u32, 0},  // of k and v; 0: heads
};

ValueType check(const Instruction& instruction, const ProgramLimits& limits) {
  const auto columns = static_cast<uint32_t>(require_heads(instruction, kHeads, kKvHeads, 2).columns);
  const ValueType& qkv = instruction.input_types[0];
  const size_t positions = qkv.image ? qkv.item_rows() : limits.max_tokens;
  require_tensor(instruction, kCos, Layout::matrix_f32, static_cast<uint32_t>(positions), columns);
  require_tensor(instruction, kSin, Layout::matrix_f32, static_cast<uint32_t>(positions), columns);
  return qkv;
}

void run(const RunContext& context, const Instruction& instruction) {
  const ValueType& type = instruction.type;
  const uint32_t* positions = context.positions;
  if (type.image) {
    auto* computed = reinterpret_cast<uint32_t*>(context.scratch);
    for (size_t row = 0; row < context.rows; ++row)
      computed[row] = static_cast<uint32_t>((context.first + row) % type.item_rows());
    positions = computed;
  }
  const Heads heads = heads_of(instruction, kHeads, kKvHeads);
  const Tensor& cos = *instruction.tensors[kCos];
  context.kernels.rope({
      .x = context.inputs[0].x,
      .x_stride = context.inputs[0].stride,
      .positions = positions,
      .rows = context.rows,
      .heads = heads.count,
      .kv_heads = heads.kv,
      .head_dim = heads.columns,
      .cos = cos.as<float>(),
      .sin = instruction.tensors[kSin]->as<float>(),
      .table_stride = round_up(cos.columns, 16),
      .out = context.output.x,
      .out_stride = context.output.stride,
  });
}

}  // namespace

extern const Op rope_op = {
    .id = 14,
    .name = "rope",
    .min_inputs = 1,
    .max_inputs = 1,
    .tensor_roles = kRoles,
    .attributes = kAttributes,
    .check = check,
    .row_wise = true,
    .scratch = [](const Kernels&, const Instruction&, const Instruction*, size_t rows,
                  size_t) { return rows * sizeof(uint32_t); },
    .run = run,
};

}  // namespace embedrt
