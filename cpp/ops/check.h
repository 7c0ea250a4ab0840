// Words shared by the ops' checks: each throws FormatError when its condition does not hold.
#pragma once

#include <string>

#include "base/error.h"
#include "ops/op.h"

namespace embedrt {

// The attribute `activation`, in the order of the kernels' enum.
constexpr std::string_view kActivationNames =
    "none|relu|gelu|gelu_tanh|silu|tanh|sigmoid|relu6|hard_swish|hard_sigmoid|quick_gelu|log1p_relu";

inline void require(bool condition, const std::string& otherwise) {
  if (!condition) throw FormatError(otherwise);
}

inline std::string shape(uint32_t rows, uint32_t columns) {
  return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
}

// The tensor of a role, of the layout and shape that the op needs.
inline void require_tensor(const Instruction& instruction, size_t role, Layout layout, uint32_t rows,
                           uint32_t columns) {
  const Tensor* tensor = instruction.tensors[role];
  const std::string what(instruction.op->tensor_roles[role]);
  require(tensor != nullptr, what + " is missing");
  require(tensor->layout == layout, what + " has the wrong layout");
  require(tensor->rows == rows && tensor->columns == columns,
          what + " is " + shape(tensor->rows, tensor->columns) + ", expected " + shape(rows, columns));
}

inline void require_absent(const Instruction& instruction, size_t role) {
  require(instruction.tensors[role] == nullptr,
          std::string(instruction.op->tensor_roles[role]) + " has no meaning here");
}

// Input i is a value (not the program's input) of one element.
inline ValueType require_value(const Instruction& instruction, size_t i, Element element = Element::float32) {
  const ValueType type = instruction.input_types[i];
  const std::string which = "input " + std::to_string(i);
  require(type.kind != ValueKind::input, which + " is the program's input, expected a value");
  require(type.element == element, which + (element == Element::uint8 ? " is not of bytes" : " is not of floats"));
  return type;
}

// Input i is a grid, of either element.
inline ValueType require_grid(const Instruction& instruction, size_t i) {
  const ValueType type = instruction.input_types[i];
  require(type.kind == ValueKind::grid, "input " + std::to_string(i) + " is not a grid");
  return type;
}

inline uint8_t require_byte(const Instruction& instruction, size_t attribute) {
  const uint32_t word = instruction.words[attribute];
  require(word <= 255, std::string(instruction.op->attributes[attribute].name) + " is " + std::to_string(word) +
                           ", expected a byte");
  return static_cast<uint8_t>(word);
}

}  // namespace embedrt
