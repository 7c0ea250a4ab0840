#include "program/reader.h"

#include <algorithm>
#include <string_view>

#include "program/byte_reader.h"
#include "program/limits.h"

namespace embedrt {
namespace {

// An op of the directory: which attribute each word of its instructions is.
struct DirectoryEntry {
  const Op* op = nullptr;
  std::vector<size_t> attributes;
  bool used = false;
};

struct Counts {
  uint32_t op_kinds = 0, tensors = 0, instructions = 0, outputs = 0;
};

uint32_t bounded(ByteReader& reader, std::string_view what, uint32_t least, uint32_t most) {
  const size_t at = reader.at();
  const uint32_t value = reader.u32(what);
  if (value < least || value > most) {
    reader.fail(at, std::string(what) + " is " + std::to_string(value) + ", allowed are " + std::to_string(least) +
                        " to " + std::to_string(most));
  }
  return value;
}

Counts read_header(ByteReader& reader, ProgramLimits& limits) {
  Counts counts;
  counts.op_kinds = bounded(reader, "the number of op kinds", 1, kMaxOpKinds);
  counts.tensors = bounded(reader, "the number of tensors", 0, kMaxTensors);
  counts.instructions = bounded(reader, "the number of instructions", 1, kMaxInstructions);
  counts.outputs = bounded(reader, "the number of outputs", 1, kMaxOutputs);
  const size_t at = reader.at();
  limits.vocabulary = bounded(reader, "the vocabulary", 0, kMaxVocabulary);
  limits.max_tokens = bounded(reader, "max tokens", 0, kMaxTokens);
  limits.image_height = bounded(reader, "the image height", 0, kMaxImageExtent);
  limits.image_width = bounded(reader, "the image width", 0, kMaxImageExtent);
  if ((limits.vocabulary == 0) != (limits.max_tokens == 0))
    reader.fail(at, "of the vocabulary and max tokens one alone is 0");
  if ((limits.image_height == 0) != (limits.image_width == 0))
    reader.fail(at, "of the image height and width one alone is 0");
  if (limits.vocabulary == 0 && limits.image_height == 0) reader.fail(at, "the program takes neither texts nor images");
  return counts;
}

DirectoryEntry read_directory_entry(ByteReader& reader) {
  const size_t at = reader.at();
  const uint16_t id = reader.u16("an op's id");
  const size_t count = reader.u8("an op's number of attributes");
  const std::string name = reader.str8("an op's name");
  DirectoryEntry entry;
  entry.op = find_op(id);
  if (entry.op == nullptr || entry.op->name != name) {
    reader.fail(at, "op " + name + " (id " + std::to_string(id) +
                        ") is unknown to this runtime; reconvert the model or update embedrt");
  }
  const std::span<const Attribute> known = entry.op->attributes;
  for (size_t i = 0; i < count; ++i) {
    const size_t attribute_at = reader.at();
    const std::string attribute = reader.str8("an attribute's name");
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const Attribute& a) { return a.name == attribute; });
    if (found == known.end()) {
      reader.fail(attribute_at, "op " + name + " has an attribute " + attribute +
                                    " that is unknown to this runtime; reconvert the model or update embedrt");
    }
    const auto index = static_cast<size_t>(found - known.begin());
    if (std::find(entry.attributes.begin(), entry.attributes.end(), index) != entry.attributes.end()) {
      reader.fail(attribute_at, "op " + name + " has the attribute " + attribute + " twice");
    }
    entry.attributes.push_back(index);
  }
  return entry;
}

std::vector<DirectoryEntry> read_directory(ByteReader& reader, uint32_t count) {
  std::vector<DirectoryEntry> directory;
  for (uint32_t i = 0; i < count; ++i) {
    const size_t at = reader.at();
    DirectoryEntry entry = read_directory_entry(reader);
    for (const DirectoryEntry& other : directory) {
      if (other.op == entry.op) reader.fail(at, "op " + std::string(entry.op->name) + " stands twice in the directory");
    }
    directory.push_back(std::move(entry));
  }
  return directory;
}

TensorRecord read_tensor(ByteReader& reader) {
  TensorRecord tensor;
  tensor.layout = reader.u8("a tensor's layout");
  tensor.rows = reader.u32("a tensor's rows");
  tensor.columns = reader.u32("a tensor's columns");
  tensor.offset = reader.u64("a tensor's offset");
  tensor.size = reader.u64("a tensor's size");
  tensor.name = reader.str8("a tensor's name");
  return tensor;
}

InstructionRecord read_instruction(ByteReader& reader, uint32_t index, std::vector<DirectoryEntry>& directory) {
  const std::string where = "instruction " + std::to_string(index);
  const size_t at = reader.at();
  const uint16_t id = reader.u16(where);
  const auto entry =
      std::find_if(directory.begin(), directory.end(), [&](const DirectoryEntry& e) { return e.op->id == id; });
  if (entry == directory.end()) reader.fail(at, where + ": op " + std::to_string(id) + " is not in the directory");
  entry->used = true;
  const Op& op = *entry->op;
  const std::string named = where + " (" + std::string(op.name) + ")";

  InstructionRecord instruction{&op, {}, {}, {}};
  const size_t inputs = reader.u8(named), tensors = reader.u8(named);
  if (inputs < op.min_inputs || inputs > op.max_inputs)
    reader.fail(at, named + ": " + std::to_string(inputs) + " inputs");
  if (tensors != op.tensor_roles.size()) {
    reader.fail(at, named + ": " + std::to_string(tensors) + " tensors, the op takes " +
                        std::to_string(op.tensor_roles.size()));
  }
  for (size_t i = 0; i < inputs; ++i) instruction.inputs.push_back(reader.u16(named));
  for (size_t i = 0; i < tensors; ++i) instruction.tensors.push_back(reader.u16(named));
  for (const Attribute& attribute : op.attributes) instruction.words.push_back(attribute.default_word);
  for (const size_t attribute : entry->attributes) instruction.words[attribute] = reader.u32(named);
  return instruction;
}

}  // namespace

ProgramRecords read_program(std::span<const std::byte> section) {
  ByteReader reader(section, "program");
  ProgramRecords program;
  const Counts counts = read_header(reader, program.limits);
  std::vector<DirectoryEntry> directory = read_directory(reader, counts.op_kinds);
  for (uint32_t i = 0; i < counts.tensors; ++i) program.tensors.push_back(read_tensor(reader));
  for (uint32_t i = 0; i < counts.instructions; ++i) {
    program.instructions.push_back(read_instruction(reader, i, directory));
  }
  for (uint32_t i = 0; i < counts.outputs; ++i) {
    std::string name = reader.str8("an output's name");
    const uint16_t value = reader.u16("an output's value");
    program.outputs.push_back({std::move(name), value});
  }
  reader.end();
  for (const DirectoryEntry& entry : directory) {
    if (!entry.used) {
      throw FormatError("program: op " + std::string(entry.op->name) +
                        " is in the directory and no instruction uses it");
    }
  }
  return program;
}

}  // namespace embedrt
