// Gated linear units: the first half of a row, through the activation, times the second half.
#pragma once

#include "kernels/math.h"

namespace embedrt {
namespace {

template <class V>
void glu_rows(const GluArgs& args) noexcept {
  with_activation(args.activation, [&]<Activation activation>() {
    for (size_t row = 0; row < args.rows; ++row) {
      const float* x = args.x + row * args.x_stride;
      float* out = args.out + row * args.out_stride;
      for (size_t c = 0; c < args.columns; c += 16)
        V::store(out + c,
                 V::mul(Math<V>::template activate<activation>(V::load(x + c)), V::load(x + args.columns + c)));
    }
  });
}

}  // namespace
}  // namespace embedrt
