// Words shared by the ops' checks: each throws FormatError when its condition does not hold.
#pragma once

#include <string>

#include "base/error.h"
#include "ops/op.h"

namespace embedrt {

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

// Input i is a float value (not the token ids).
inline ValueType require_value(const Instruction& instruction, size_t i) {
  const ValueType type = instruction.input_types[i];
  require(type.kind != ValueKind::ids, "input " + std::to_string(i) + " is the token ids, expected a value");
  return type;
}

}  // namespace embedrt
