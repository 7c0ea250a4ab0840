// The sums of a depthwise convolution of bytes out of unpacked pixels (kernels/depthwise_i8.h), register by register of
// a group. `Taps` is explained there.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedrt {
namespace {

// What the sums of a register begin with. `start` has kLanes of them.
template <class Taps>
typename Taps::Sums start_of([[maybe_unused]] const int32_t* start) {
  if constexpr (requires { Taps::kLess; })
    return Taps::load_sums(start);
  else
    return Taps::none();
}

// N outputs, the pixels of each `step` elements after those of the one before: `groups` groups side by side.
template <class Taps, int N>
void sum_outputs(const typename Taps::Pixel* x, size_t step, const typename Taps::Weight* w, size_t groups,
                 const int32_t* start, int32_t* sums) {
  for (size_t at = 0; at < Taps::kGroup; at += Taps::kRegister) {
    typename Taps::Sums sum[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sum[n] = start_of<Taps>(start + at / Taps::kLines);
    for (size_t element = at; element < groups * Taps::kGroup; element += Taps::kGroup) {
      const auto weights = Taps::load(w + element);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n)
        sum[n] = Taps::add(sum[n], Taps::load(x + static_cast<size_t>(n) * step + element), weights);
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) Taps::store(sums + static_cast<size_t>(n) * Taps::kLanes + at / Taps::kLines, sum[n]);
  }
}

// Taps::kOutputs outputs of a window that the compiler knows: each register of pixels is loaded once for all outputs
// that see it.
template <class Taps, int kernel, int stride>
void sum_known_outputs(const typename Taps::Pixel* x, const typename Taps::Weight* w, const int32_t* start,
                       int32_t* sums) {
  constexpr int N = Taps::kOutputs,
                kGroups = (kernel + static_cast<int>(Taps::kLines) - 1) / static_cast<int>(Taps::kLines);
  const auto register_of = [](const auto* from, int group) {
    return Taps::load(from + static_cast<size_t>(group) * Taps::kGroup);
  };
#pragma GCC unroll 1
  for (size_t at = 0; at < Taps::kGroup; at += Taps::kRegister, x += Taps::kRegister, w += Taps::kRegister) {
    typename Taps::Sums sum[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sum[n] = start_of<Taps>(start + at / Taps::kLines);
#pragma GCC unroll 32
    for (int column = 0; column < (N - 1) * stride + kernel; ++column)
#pragma GCC unroll 4
      for (int group = 0; group < kGroups; ++group) {
        const auto pixels = register_of(x, column * kGroups + group);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
          const int kx = column - n * stride;
          if (kx >= 0 && kx < kernel) sum[n] = Taps::add(sum[n], pixels, register_of(w, kx * kGroups + group));
        }
      }
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) Taps::store(sums + static_cast<size_t>(n) * Taps::kLanes + at / Taps::kLines, sum[n]);
  }
}

template <class Taps, int N>
void sum_remaining_outputs(const typename Taps::Pixel* x, size_t step, const typename Taps::Weight* w, size_t groups,
                           size_t outputs, const int32_t* start, int32_t* sums) {
  for (; outputs >= N; outputs -= N, x += N * step, sums += N * Taps::kLanes)
    sum_outputs<Taps, N>(x, step, w, groups, start, sums);
  if constexpr (N > 1)
    if (outputs > 0) sum_remaining_outputs<Taps, N - 1>(x, step, w, groups, outputs, start, sums);
}

// The sums of `outputs` outputs, kLanes each, from `start` on. `step`: elements from one output's pixels to the next
// one's.
template <class Taps>
void sum_line(const typename Taps::Pixel* x, size_t step, const typename Taps::Weight* w, size_t kernel, size_t stride,
              size_t outputs, const int32_t* start, int32_t* sums) {
  const size_t groups = kernel * ((kernel + Taps::kLines - 1) / Taps::kLines);
  if constexpr (requires { Taps::sum(x, w, groups, sums); }) {
    for (; outputs > 0; --outputs, x += step, sums += Taps::kLanes) Taps::sum(x, w, groups, sums);
  } else {
    constexpr size_t N = Taps::kOutputs;
    const auto known = [&]<int known_kernel, int known_stride>() {
      if (kernel != known_kernel || stride != known_stride) return;
      for (; outputs >= N; outputs -= N, x += N * step, sums += N * Taps::kLanes)
        sum_known_outputs<Taps, known_kernel, known_stride>(x, w, start, sums);
    };
    known.template operator()<3, 1>();
    known.template operator()<3, 2>();
    known.template operator()<5, 1>();
    known.template operator()<5, 2>();
    known.template operator()<7, 1>();
    sum_remaining_outputs<Taps, Taps::kOutputs>(x, step, w, groups, outputs, start, sums);
  }
}

}  // namespace
}  // namespace embedrt
