#include <bit>

#include "ops/op.h"

namespace embedrt {
namespace {

constexpr uint64_t pad(uint64_t n, uint64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace

uint64_t layout_bytes(Layout layout, uint32_t rows, uint32_t columns) {
  // Rows and columns are at most kMaxTensorExtent: no product reaches 2^60.
  switch (layout) {
    case Layout::vector_f32:
    case Layout::vector_i32:
      return 4 * pad(columns, 16);
    case Layout::matrix_f32:
      return uint64_t{4} * rows * pad(columns, 16);
    case Layout::table_i8:
      return rows * pad(columns, 64);
    case Layout::panel_i8:
      return pad(rows, 16) * pad(columns, 4);
    case Layout::panel_f32:
      return pad(rows, 16) * 4 * columns;
    case Layout::none:
      break;
  }
  return 0;
}

float Instruction::f32(size_t attribute) const {
  return std::bit_cast<float>(words[attribute]);
}

}  // namespace embedrt
