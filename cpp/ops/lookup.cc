// lookup: rows of a table by token id, by position in the segment, by token type, or one constant row.
#include "ops/lookup.h"

#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {

extern const Op lookup_op;

namespace {

enum : size_t { kIndex, kOffset };
enum : size_t { kTable, kScale };
enum : uint32_t { kToken, kPosition, kConstant, kType };

constexpr std::string_view kRoles[] = {"table", "scale"};
constexpr Attribute kAttributes[] = {
    {"index", Attribute::Type::choice, kToken, "token|position|constant|type"},
    {"offset", Attribute::Type::u32, 0},
};

ValueType check(const Instruction& instruction, const ProgramLimits& limits) {
  require(instruction.input_types[0].kind == ValueKind::input, "the input must be the token ids");
  require(limits.vocabulary > 0, "the program takes no texts");
  const Tensor* table = instruction.tensors[kTable];
  require(table != nullptr, "table is missing");
  if (table->layout == Layout::table_i8) {
    require_tensor(instruction, kScale, Layout::vector_f32, 1, table->rows);
  } else {
    require(table->layout == Layout::matrix_f32, "table has the wrong layout");
    require_absent(instruction, kScale);
  }
  const uint32_t index = instruction.words[kIndex];
  const uint64_t span = index == kToken ? limits.vocabulary : index == kPosition ? limits.max_tokens : 1;
  require(span + instruction.words[kOffset] <= table->rows, "table has " + std::to_string(table->rows) +
                                                                " rows, the index reaches " +
                                                                std::to_string(span + instruction.words[kOffset]));
  return {ValueKind::rows, table->columns};
}

void run(const RunContext& context, const Instruction& instruction) {
  const Tensor& table = *instruction.tensors[kTable];
  const bool quantised = table.layout == Layout::table_i8;
  const uint32_t index = instruction.words[kIndex], offset = instruction.words[kOffset];
  uint32_t* rows = reinterpret_cast<uint32_t*>(context.scratch);
  const uint32_t* indices = index == kToken      ? context.ids
                            : index == kPosition ? context.positions
                            : index == kType     ? context.types
                                                 : nullptr;
  for (size_t i = 0; i < context.rows; ++i) rows[i] = offset + (indices ? indices[i] : 0);
  context.kernels.lookup({
      .index = rows,
      .rows = context.rows,
      .columns = table.columns,
      .table_f32 = quantised ? nullptr : table.as<float>(),
      .table_i8 = quantised ? table.as<int8_t>() : nullptr,
      .table_stride = round_up(table.columns, quantised ? 64 : 16),
      .scale = quantised ? instruction.tensors[kScale]->as<float>() : nullptr,
      .out = context.output.x,
      .out_stride = context.output.stride,
  });
}

}  // namespace

uint32_t lookup_types(const Instruction& instruction) {
  if (instruction.op != &lookup_op || instruction.words[kIndex] != kType) return 0;
  return instruction.tensors[kTable]->rows - instruction.words[kOffset];
}

extern const Op lookup_op = {
    .id = 1,
    .name = "lookup",
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
