// Turns the records of a file into a program that can be trusted. Everything that later code relies on is established
// here.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "ops/attention.h"
#include "ops/lookup.h"
#include "program/format.h"
#include "program/limits.h"
#include "program/model_file.h"
#include "program/program.h"
#include "program/reader.h"

namespace embedrt {
namespace {

// The outputs that a program may have, and what each is made of. A name may be for both texts and images.
struct OutputRule {
  std::string_view name;
  ValueKind kind;
  bool image;
};

constexpr OutputRule kOutputRules[] = {
    {"token_embeddings", ValueKind::rows, false},
    {"sentence_embedding", ValueKind::segments, false},
    {"image_embedding", ValueKind::segments, true},
    {"class_token", ValueKind::segments, true},
    {"patch_mean", ValueKind::segments, true},
    {"patch_embeddings", ValueKind::grid, true},
    {"logits", ValueKind::segments, true},
    {"logits", ValueKind::segments, false},
    {"sparse_embedding", ValueKind::segments, false},
    {"token_weights", ValueKind::rows, false},
    {"multi_vector_embedding", ValueKind::rows, false},
};

[[noreturn]] void fail(const std::string& problem) {
  throw FormatError("program: " + problem);
}

std::string label(const char* what, size_t index, std::string_view name) {
  return std::string(what) + " " + std::to_string(index) + " (" + std::string(name) + ")";
}

bool finite(uint32_t word) {
  return (word & 0x7F800000) != 0x7F800000;
}

Tensor verify_tensor(const TensorRecord& record, std::span<const std::byte> bulk) {
  if (record.layout < static_cast<uint8_t>(Layout::vector_f32) ||
      record.layout > static_cast<uint8_t>(Layout::panel_f32)) {
    fail("layout " + std::to_string(record.layout) + " is unknown");
  }
  const auto layout = static_cast<Layout>(record.layout);
  if (record.rows == 0 || record.columns == 0 || record.rows > kMaxTensorExtent || record.columns > kMaxTensorExtent) {
    fail("a shape of [" + std::to_string(record.rows) + ", " + std::to_string(record.columns) + "]");
  }
  if ((layout == Layout::vector_f32 || layout == Layout::vector_i32) && record.rows != 1)
    fail("a vector of several rows");
  const uint64_t size = layout_bytes(layout, record.rows, record.columns);
  if (record.size != size) {
    fail("the size is " + std::to_string(record.size) + ", its layout needs " + std::to_string(size));
  }
  if (record.offset % format::kAlignment != 0) fail("the offset is not a multiple of 64");
  if (record.offset > bulk.size() || size > bulk.size() - record.offset)
    fail("runs past the end of the tensors section");
  return {layout, record.rows, record.columns, bulk.data() + record.offset, size, record.name};
}

// Adds where the problem is to what a check of one record says.
template <class Check>
auto located(const char* what, size_t index, std::string_view name, Check check) {
  try {
    return check();
  } catch (const FormatError& error) {
    std::string problem = error.what();
    if (problem.starts_with("program: ")) problem.erase(0, 9);
    fail(label(what, index, name) + ": " + problem);
  }
}

// Tensors may share bytes, so the bytes are looked at once, in order, rather than once for each tensor.
void verify_finite(const std::vector<Tensor>& tensors) {
  std::vector<const Tensor*> vectors;
  for (const Tensor& tensor : tensors) {
    if (tensor.layout == Layout::vector_f32) vectors.push_back(&tensor);
  }
  std::sort(vectors.begin(), vectors.end(), [](const Tensor* a, const Tensor* b) { return a->data < b->data; });
  const std::byte* checked = nullptr;
  for (const Tensor* tensor : vectors) {
    const std::byte* end = tensor->data + tensor->size;
    const std::byte* begin = std::max(tensor->data, checked);
    if (begin >= end) continue;
    const auto* words = reinterpret_cast<const uint32_t*>(begin);
    if (!std::all_of(words, reinterpret_cast<const uint32_t*>(end), finite)) {
      fail(label("tensor", static_cast<size_t>(tensor - tensors.data()), tensor->name) + ": a value is not finite");
    }
    checked = end;
  }
}

void verify_words(const Op& op, const std::vector<uint32_t>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    const Attribute& attribute = op.attributes[i];
    const std::string name(attribute.name);
    if (attribute.type == Attribute::Type::f32 && !finite(words[i])) fail(name + " is not finite");
    if (attribute.type != Attribute::Type::choice) continue;
    const auto choices = 1 + std::count(attribute.choices.begin(), attribute.choices.end(), '|');
    if (words[i] >= static_cast<uint64_t>(choices)) {
      fail(name + " is " + std::to_string(words[i]) + ", the choices are " + std::string(attribute.choices));
    }
  }
}

Instruction verify_instruction(const InstructionRecord& record, const Program& program) {
  const size_t defined = program.instructions.size() + 1;  // values, with the ids
  Instruction instruction;
  instruction.op = record.op;
  for (const uint16_t input : record.inputs) {
    if (input >= defined) fail("input " + std::to_string(input) + " is not defined yet");
    instruction.inputs.push_back(input);
    instruction.input_types.push_back(program.type(input));
  }
  for (const uint16_t tensor : record.tensors) {
    if (tensor != format::kNoTensor && tensor >= program.tensors.size()) {
      fail("there is no tensor " + std::to_string(tensor));
    }
    instruction.tensors.push_back(tensor == format::kNoTensor ? nullptr : &program.tensors[tensor]);
  }
  verify_words(*record.op, record.words);
  instruction.words = record.words;
  instruction.type = record.op->check(instruction, program.limits);
  if (instruction.type.kind == ValueKind::input || instruction.type.columns == 0 ||
      instruction.type.columns > kMaxColumns) {
    fail("defines " + std::to_string(instruction.type.columns) + " columns, allowed are 1 to " +
         std::to_string(kMaxColumns));
  }
  return instruction;
}

void verify_output(const Output& output, const Program& program) {
  if (output.value == 0 || output.value > program.instructions.size()) {
    fail("there is no value " + std::to_string(output.value));
  }
  const ValueType type = program.type(output.value);
  const auto named = [&](const OutputRule& rule) { return rule.name == output.name; };
  const auto fits = [&](const OutputRule& rule) {
    return named(rule) && type.kind == rule.kind && type.image == rule.image;
  };
  const auto* rule = std::ranges::find_if(kOutputRules, named);
  if (rule == std::end(kOutputRules)) fail("the name is unknown");
  if (std::ranges::none_of(kOutputRules, fits)) {
    const bool both = std::ranges::count_if(kOutputRules, named) > 1;
    fail(rule->kind == ValueKind::rows   ? "the value has no row for each token"
         : rule->kind == ValueKind::grid ? "the value has no rows for the places of an image"
         : both                          ? "the value has no row for each text or image"
         : rule->image                   ? "the value has no row for each image"
                                         : "the value has no row for each text");
  }
  if (output.name == "token_weights" && type.columns != 1) fail("the value has several columns");
  if (type.element != Element::float32) fail("the value is not of floats");
  const auto same = [&](const Output& other) { return other.name == output.name; };
  if (std::any_of(program.outputs.begin(), program.outputs.end(), same)) fail("the name is there twice");
}

// How the instructions and outputs use each value.
struct Use {
  size_t last_read = 0;   // by this instruction; their number for an output; 0 when nothing reads it
  bool absorbed = false;  // its reader computes it piece by piece, whichever output is asked for
};

std::vector<Use> uses(const Program& program) {
  std::vector<Use> found(program.instructions.size() + 1);
  std::vector<size_t> readers(found.size(), 0);
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    for (const uint16_t input : program.instructions[i].inputs) {
      found[input].last_read = i;
      ++readers[input];
    }
  }
  for (const Output& output : program.outputs) {
    found[output.value].last_read = program.instructions.size();
    ++readers[output.value];
  }
  // A reader of an absorbed value reads what that is made of.
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& reader = program.instructions[i];
    const uint16_t input = reader.inputs[0];
    if (input == 0 || readers[input] != 1) continue;
    const Instruction& producer = program.instructions[input - 1];
    found[input].absorbed = reader.op->absorbs(reader, producer);
    if (!found[input].absorbed) continue;
    for (const uint16_t source : producer.inputs) found[source].last_read = std::max(found[source].last_read, i);
  }
  return found;
}

// The rows that every lookup of a token type has.
uint32_t count_types(const Program& program) {
  uint32_t least = 0;
  for (const Instruction& instruction : program.instructions) {
    const uint32_t types = lookup_types(instruction);
    if (types > 0) least = least == 0 ? types : std::min(least, types);
  }
  return least;
}

uint32_t least_window(const Program& program) {
  uint32_t least = 0;
  for (const Instruction& instruction : program.instructions) {
    const uint32_t window = attention_window(instruction);
    if (window > 0) least = least == 0 ? window : std::min(least, window);
  }
  return least;
}

void verify_costs(const Program& program) {
  const std::vector<Use> used = uses(program);
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    if (used[i + 1].last_read == 0)
      fail(label("instruction", i, program.instructions[i].op->name) + ": nothing reads its value");
  }
  if (work_per_token(program) > kMaxWorkPerToken) {
    fail("more than " + std::to_string(kMaxWorkPerToken) + " multiply-adds for one token");
  }
  if (work_per_image(program) > kMaxWorkPerImage) {
    fail("more than " + std::to_string(kMaxWorkPerImage) + " multiply-adds for one image");
  }
  const uint64_t tokens = std::max(program.limits.max_tokens, kMaxSharedRows);
  if (value_bytes(program, tokens, kMaxSharedRows) > kMaxArenaBytes) {
    fail("values of more than " + std::to_string(kMaxArenaBytes) + " bytes for " + std::to_string(tokens) +
         " tokens or one image");
  }
}

// At most 4,096 of them, each at most 2^43: no overflow.
uint64_t work_of(const Instruction& instruction, const ProgramLimits& limits) {
  const uint64_t row = std::max<uint64_t>(instruction.op->work(instruction, limits), instruction.type.columns);
  if (!instruction.type.image) return std::min(row, kMaxWorkPerToken + 1);
  // What it reads counts too: a row of the result may be of all of an image. 2^32 multiply-adds for a row at most, and
  // 2^25 rows; or 2^41 for the one row of an image.
  const ValueType& x = instruction.input_types[0];
  return std::min(std::max(row * instruction.type.item_rows(), uint64_t{x.columns} * x.item_rows()),
                  kMaxWorkPerImage + 1);
}

uint64_t work_of(const Program& program, bool image) {
  uint64_t sum = 0;
  for (const Instruction& instruction : program.instructions)
    if (instruction.type.image == image) sum += work_of(instruction, program.limits);
  return sum;
}

}  // namespace

uint64_t work_per_token(const Program& program) {
  return work_of(program, false);
}

uint64_t work_per_image(const Program& program) {
  return work_of(program, true);
}

uint64_t value_bytes(const Program& program, uint64_t tokens, uint64_t image_rows) {
  const std::vector<Use> used = uses(program);
  // Columns are padded to whole vectors. No product reaches 2^46, and no sum 2^58.
  const auto bytes = [&](size_t value) {
    const ValueType type = program.type(value);
    if (used[value].absorbed) return uint64_t{0};
    const uint64_t row = type.element == Element::uint8 ? uint64_t{(type.columns + 63) / 64} * 64
                                                        : uint64_t{(type.columns + 15) / 16} * 16 * sizeof(float);
    if (type.image) return row * std::max<uint64_t>(type.item_rows(), image_rows);
    // Texts that share a block have at least a token each.
    return row * (type.kind == ValueKind::segments ? std::min<uint64_t>(tokens, kMaxSharedRows) : tokens);
  };
  std::vector<uint64_t> ending(program.instructions.size() + 1, 0);  // bytes that are last read by each instruction
  uint64_t alive = 0, most = 0;
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    alive += bytes(i + 1);
    ending[used[i + 1].last_read] += bytes(i + 1);
    most = std::max(most, alive);
    alive -= ending[i];
  }
  return most;
}

Program load_program(std::span<const std::byte> section, std::span<const std::byte> bulk) {
  ProgramRecords records = read_program(section);
  Program program;
  program.limits = records.limits;
  program.tensors.reserve(records.tensors.size());  // instructions point into it
  for (size_t i = 0; i < records.tensors.size(); ++i) {
    program.tensors.push_back(
        located("tensor", i, records.tensors[i].name, [&] { return verify_tensor(records.tensors[i], bulk); }));
  }
  verify_finite(program.tensors);
  for (size_t i = 0; i < records.instructions.size(); ++i) {
    const InstructionRecord& record = records.instructions[i];
    program.instructions.push_back(
        located("instruction", i, record.op->name, [&] { return verify_instruction(record, program); }));
  }
  program.limits.types = count_types(program);
  program.limits.window = least_window(program);
  for (size_t i = 0; i < records.outputs.size(); ++i) {
    located("output", i, records.outputs[i].name, [&] { verify_output(records.outputs[i], program); });
    program.outputs.push_back(std::move(records.outputs[i]));
  }
  verify_costs(program);
  return program;
}

Program load_program(const ModelFile& file) {
  return load_program(file.section(format::SectionKind::program), file.section(format::SectionKind::tensors));
}

}  // namespace embedrt
