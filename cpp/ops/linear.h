// What the int8 linear op shows to an op that absorbs it.
#pragma once

#include "ops/run.h"

namespace embedrt {

// True when the instruction is an int8 linear without a residual: any of its columns can be computed by itself.
bool is_linear_i8(const Instruction& instruction);

// Columns `first` … `first + count` of act(x · Wᵀ + bias); both are multiples of 16. The caller sets `out`.
LinearI8Args linear_i8_columns(const Instruction& instruction, const View& x, size_t rows, size_t first, size_t count);

}  // namespace embedrt
