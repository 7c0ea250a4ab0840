// Activations of floats that lie in memory: by themselves, and for the kernels, which so have no loop for each of them.
#pragma once

#include "kernels/math.h"
#include "kernels/wide.h"

namespace embedrt {
namespace {

// out = act(x), which may be the same floats; `count` is a multiple of 16.
template <class V>
[[gnu::noinline]] void activate_floats(Activation activation, const float* x, float* out, size_t count) {
  with_activation(activation, [&]<Activation known>() {
    const auto some = [&]<int N>(size_t at) {
      using W = Wide<V, N>;
      const auto y = Math<W>::template activate<known>(
          W::make([&](int i) { return V::load(x + at + 16 * static_cast<size_t>(i)); }));
      for (int i = 0; i < N; ++i) V::store(out + at + 16 * static_cast<size_t>(i), y.v[i]);
    };
    constexpr int N = V::kSideBySide;
    size_t at = 0;
    for (; at + 16 * N <= count; at += 16 * N) some.template operator()<N>(at);
    if constexpr (N > 1)
      for (; at < count; at += 16) some.template operator()<1>(at);
  });
}

template <class V>
void activate_rows(const ActivateArgs& args) noexcept {
  const size_t columns = round_up(args.columns, 16);
  for (size_t row = 0; row < args.rows; ++row)
    activate_floats<V>(args.activation, args.x + row * args.x_stride, args.out + row * args.out_stride, columns);
}

}  // namespace
}  // namespace embedrt
