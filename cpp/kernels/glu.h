// Gated linear units: the first half of a row, through the activation, times the second half.
#pragma once

#include "kernels/activate.h"

namespace embedrt {
namespace {

template <class V>
void glu_rows(const GluArgs& args) noexcept {
  constexpr size_t kColumns = 1024;  // at once, so that they stay in the first-level cache
  const size_t columns = round_up(args.columns, 16);
  for (size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.out_stride;
    for (size_t first = 0; first < columns; first += kColumns) {
      const size_t last = columns - first < kColumns ? columns : first + kColumns;
      activate_floats<V>(args.activation, x + first, out + first, last - first);
      for (size_t c = first; c < last; c += 16)
        V::store(out + c, V::mul(V::load(out + c), V::load(x + args.columns + c)));
    }
  }
}

}  // namespace
}  // namespace embedrt
