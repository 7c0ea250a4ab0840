// What the linear op shows to an op that absorbs it.
#pragma once

#include "ops/run.h"

namespace embedrt {

// True when the instruction is a linear without a residual: any of its columns can be computed by itself.
bool is_plain_linear(const Instruction& instruction);

// True when it is an int8 one as well.
bool is_linear_i8(const Instruction& instruction);

// Columns `first` … `first + count` of act(x · Wᵀ + bias) for `rows` rows, in whole vectors at `out`; `first` is a
// multiple of 16.
void run_linear_columns(const Kernels& kernels, const Instruction& instruction, const View& x, size_t rows,
                        size_t first, size_t count, float* out, size_t out_stride);

}  // namespace embedrt
