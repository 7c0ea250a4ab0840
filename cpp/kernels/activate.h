// An activation by itself.
#pragma once

#include "kernels/math.h"

namespace embedrt {
namespace {

template <class V>
void activate_rows(const ActivateArgs& args) noexcept {
  with_activation(args.activation, [&]<Activation activation>() {
    for (size_t row = 0; row < args.rows; ++row)
      for (size_t c = 0; c < args.columns; c += 16)
        V::store(args.out + row * args.out_stride + c,
                 Math<V>::template activate<activation>(V::load(args.x + row * args.x_stride + c)));
  });
}

}  // namespace
}  // namespace embedrt
