#include "program/listing.h"

#include <cstdio>

namespace embedrt {
namespace {

std::string choice(std::string_view choices, uint32_t index) {
  size_t from = 0;
  for (; index > 0; --index) from = choices.find('|', from) + 1;
  return std::string(choices.substr(from, choices.find('|', from) - from));
}

std::string value_name(uint16_t value) {
  return value == 0 ? "input" : "%" + std::to_string(value);
}

std::string attribute_text(const Instruction& instruction, size_t i) {
  const Attribute& attribute = instruction.op->attributes[i];
  switch (attribute.type) {
    case Attribute::Type::choice:
      return choice(attribute.choices, instruction.words[i]);
    case Attribute::Type::u32:
      return std::to_string(instruction.words[i]);
    case Attribute::Type::f32:
      break;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(instruction.f32(i)));
  return text;
}

std::string_view kind_name(ValueKind kind) {
  constexpr std::string_view names[] = {"input", "rows", "grid", "segments"};
  return names[static_cast<size_t>(kind)];
}

std::string type_text(const ValueType& type) {
  std::string text(kind_name(type.kind));
  if (type.kind == ValueKind::grid) {
    text += " ";
    if (type.prefix > 0) text += std::to_string(type.prefix) + "+";
    text += std::to_string(type.height) + "x" + std::to_string(type.width);
  }
  text += " x " + std::to_string(type.columns);
  if (type.element == Element::uint8) text += " uint8";
  return text;
}

}  // namespace

std::string_view layout_name(Layout layout) {
  constexpr std::string_view names[] = {"none",     "vector_f32", "vector_i32", "matrix_f32",
                                        "table_i8", "panel_i8",   "panel_f32"};
  return names[static_cast<size_t>(layout)];
}

std::string listing(const Program& program) {
  std::string text;
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& instruction = program.instructions[i];
    text += value_name(static_cast<uint16_t>(i + 1)) + " = " + std::string(instruction.op->name) + "(";
    for (size_t input = 0; input < instruction.inputs.size(); ++input)
      text += (input ? ", " : "") + value_name(instruction.inputs[input]);
    text += ")";
    for (size_t role = 0; role < instruction.tensors.size(); ++role) {
      const Tensor* tensor = instruction.tensors[role];
      if (tensor == nullptr) continue;
      text += " " + std::string(instruction.op->tensor_roles[role]) + "=" + tensor->name;
      if (tensor->rows > 1)
        text += "[" + std::to_string(tensor->rows) + "," + std::to_string(tensor->columns) +
                "]:" + std::string(layout_name(tensor->layout));
    }
    for (size_t a = 0; a < instruction.words.size(); ++a)
      if (instruction.words[a] != instruction.op->attributes[a].default_word)
        text += " " + std::string(instruction.op->attributes[a].name) + "=" + attribute_text(instruction, a);
    text += " -> " + type_text(instruction.type) + "\n";
  }
  for (const Output& output : program.outputs)
    text += "output " + output.name + " = " + value_name(output.value) + "\n";
  return text;
}

}  // namespace embedrt
