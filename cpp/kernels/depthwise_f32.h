// Depthwise convolution of floats: each output accumulated over the taps in order, padding as zeros.
#pragma once

#include "kernels/finish.h"

namespace embedrt {
namespace {

// 16 columns of N outputs of a line, x … x + N − 1.
template <class V, int N>
void depthwise_f32_tile(const DepthwiseF32Args& args, size_t y, size_t x, size_t channel, float* sums, size_t stride) {
  static constexpr float kPadding[16] = {};
  const Window& window = args.window;
  typename V::F acc[N];
  for (int n = 0; n < N; ++n) acc[n] = V::set1(0.0f);
  const float* weight = args.weight + channel;
  for (size_t ky = 0; ky < window.kernel; ++ky) {
    // Image coordinates wrap below 0.
    const size_t line = y * window.stride + ky - window.pad_top;
    const float* pixels = args.x + (line < window.height ? line : 0) * window.width * args.x_stride + channel;
    for (size_t kx = 0; kx < window.kernel; ++kx, weight += args.weight_stride) {
      const auto w = V::load(weight);
#pragma GCC unroll 8
      for (size_t n = 0; n < N; ++n) {
        const size_t column = (x + n) * window.stride + kx - window.pad_left;
        const bool there = line < window.height && column < window.width;
        acc[n] = V::fma(V::load(there ? pixels + column * args.x_stride : kPadding), w, acc[n]);
      }
    }
  }
  for (size_t n = 0; n < N; ++n) V::store(sums + n * stride, acc[n]);
}

constexpr size_t kDepthwiseOutputs = 32;  // of a line at once
constexpr size_t kDepthwiseColumns = 64;

inline size_t depthwise_f32_scratch(const Window&, size_t) noexcept {
  return kDepthwiseOutputs * kDepthwiseColumns * sizeof(float);
}

template <class V>
void depthwise_f32(const DepthwiseF32Args& args) noexcept {
  constexpr int kTile = 4;
  const size_t width = args.window.out_width;
  auto* sums = static_cast<float*>(args.scratch);
  for (size_t y = args.first_line; y < args.first_line + args.lines; ++y)
    for (size_t channel = 0; channel < args.channels; channel += kDepthwiseColumns)
      for (size_t x = 0; x < width; x += kDepthwiseOutputs) {
        const FinishBlock block = {y * width + x, width - x < kDepthwiseOutputs ? width - x : kDepthwiseOutputs,
                                   channel, args.channels, 0};
        for (size_t panel = 0; panel < block.panels(); ++panel) {
          size_t n = 0;
          const auto tile = [&]<int N>() {
            depthwise_f32_tile<V, N>(args, y, x + n, channel + 16 * panel, sums + n * kDepthwiseColumns + 16 * panel,
                                     kDepthwiseColumns);
            n += N;
          };
          while (n + kTile <= block.rows) tile.template operator()<kTile>();
          while (n < block.rows) tile.template operator()<1>();
        }
        finish_block<V>(args.finish, block, sums, kDepthwiseColumns);
      }
}

}  // namespace
}  // namespace embedrt
