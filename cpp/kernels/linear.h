// Linear layers. int8: an exact dot of bytes, or of two planes of bytes, then scale, offset, bias, activation and
// residual while the sums are in the first-level cache. float32: each output accumulated over k in order.
#pragma once

#include "kernels/activate.h"
#include "kernels/dot.h"

namespace embedrt {
namespace {

// int32 sums of one panel, [rows · planes, 16] at `acc` → its sixteen outputs. The constants of the columns stay in
// registers. `fused`: an activation in the same loop; of `none`, any other one follows in a loop of its own.
template <class V, size_t planes, Activation fused>
void finish_panel(const LinearI8Args& args, size_t row0, size_t rows, size_t n, const int32_t* acc, size_t acc_stride) {
  const auto scale = V::load(args.scale + n);
  const auto correction = V::mul(V::to_float(V::load_int(args.column_sums + n)), scale);
  const auto bias = args.bias ? V::load(args.bias + n) : V::set1(0.0f);
  const float* row_scale = args.x.scale + row0;
  const float* row_offset = args.x.offset + row0;
  float* out = args.out + row0 * args.out_stride + n;
  const float* residual = args.residual ? args.residual + row0 * args.residual_stride + n : nullptr;
  const auto sum = [&](size_t row) {
    const int32_t* sums = acc + planes * row * acc_stride;
    const auto high = V::to_float(V::load_int(sums));
    if constexpr (planes == 1) return high;
    return V::fma(high, V::set1(256.0f), V::to_float(V::load_int(sums + acc_stride)));
  };
  const auto scaled = [&](size_t row) {
    return V::fma(sum(row), V::mul(V::set1(row_scale[row]), scale), V::fma(V::set1(row_offset[row]), correction, bias));
  };
  const auto store = [&](size_t row, typename V::F y) {
    if (residual) y = V::add(y, V::load(residual + row * args.residual_stride));
    V::store(out + row * args.out_stride, y);
  };
  if constexpr (fused == Activation::none) {
    if (args.activation != fused) {
      alignas(64) float y[kMostDotRows * 16];
      for (size_t row = 0; row < rows; ++row) V::store(y + 16 * row, scaled(row));
      activate_floats<V>(args.activation, y, y, 16 * rows);
      for (size_t row = 0; row < rows; ++row) store(row, V::load(y + 16 * row));
      return;
    }
  }
  // N rows at a time, side by side through the activation.
  const auto finish = [&]<int N>(size_t row) {
    using W = Wide<V, N>;
    auto y = W::make([&](int i) { return scaled(row + static_cast<size_t>(i)); });
    y = Math<W>::template activate<fused>(y);
    for (int i = 0; i < N; ++i) store(row + static_cast<size_t>(i), y.v[i]);
  };
  size_t row = 0;
  for (; row + V::kSideBySide <= rows; row += V::kSideBySide) finish.template operator()<V::kSideBySide>(row);
  for (; row < rows; ++row) finish.template operator()<1>(row);
}

template <class V, size_t planes>
void linear_i8_with(const Dot& dot, const LinearI8Args& args) {
  alignas(64) int32_t acc[kMostDotSums];
  const size_t pass_rows = dot.rows / planes, acc_stride = 16 * dot.panels;
  const size_t panel_stride = round_up(args.k, 4) * 16;
  const size_t all_panels = round_up(args.n, 16) / 16;
  auto finish = finish_panel<V, planes, Activation::none>;
  // The activation of most models, of rows of bytes.
  if constexpr (planes == 1)
    if (args.activation == Activation::gelu) finish = finish_panel<V, planes, Activation::gelu>;
  const DotInUse in_use(dot);
  for (size_t panel = 0; panel < all_panels; panel += dot.panels) {
    const size_t panels = all_panels - panel < dot.panels ? all_panels - panel : dot.panels;
    for (size_t row = 0; row < args.rows; row += pass_rows) {
      const size_t rows = args.rows - row < pass_rows ? args.rows - row : pass_rows;
      dot.run(args.x.data + row * args.x.stride, args.x.stride / planes, rows * planes,
              args.weight + panel * panel_stride, panel_stride, args.k, panels, acc, acc_stride);
      for (size_t p = 0; p < panels; ++p) finish(args, row, rows, 16 * (panel + p), acc + 16 * p, acc_stride);
    }
  }
}

template <class V>
void linear_i8(const Dot& dot, const LinearI8Args& args) noexcept {
  if (args.x.planes == 2) return linear_i8_with<V, 2>(dot, args);
  linear_i8_with<V, 1>(dot, args);
}

// The sums of R rows × P panels, over k in order. They stay in registers until the end: GCC keeps an array whose
// indices it does not all know in memory.
template <class V, int R, int P>
[[gnu::always_inline]] inline void float_sums(const float* x, size_t x_stride, const float* w, size_t k,
                                              typename V::F (&acc)[R][P]) {
  using F = typename V::F;
  F sum[R][P];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) sum[r][p] = V::set1(0.0f);
  for (size_t i = 0; i < k; ++i) {
    F column[P];
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) column[p] = V::load(w + (static_cast<size_t>(p) * k + i) * 16);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const F value = V::set1(x[static_cast<size_t>(r) * x_stride + i]);
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) sum[r][p] = V::fma(value, column[p], sum[r][p]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) acc[r][p] = sum[r][p];
}

template <class V, int R, int P>
void linear_f32_tile(const LinearF32Args& args, size_t row, size_t panel) {
  typename V::F acc[R][P];
  float_sums<V, R, P>(args.x + row * args.x_stride, args.x_stride, args.weight + panel * args.k * 16, args.k, acc);
  alignas(64) float y[R][P][16];
  for (int r = 0; r < R; ++r)
    for (int p = 0; p < P; ++p) {
      const size_t n = (panel + static_cast<size_t>(p)) * 16;
      V::store(y[r][p], V::add(acc[r][p], args.bias ? V::load(args.bias + n) : V::set1(0.0f)));
    }
  if (args.activation != Activation::none) activate_floats<V>(args.activation, y[0][0], y[0][0], R * P * 16);
  for (size_t r = 0; r < R; ++r)
    for (size_t p = 0; p < P; ++p) {
      const size_t at = row + r, n = (panel + p) * 16;
      auto sum = V::load(y[r][p]);
      if (args.residual) sum = V::add(sum, V::load(args.residual + at * args.residual_stride + n));
      V::store(args.out + at * args.out_stride + n, sum);
    }
}

// All rows of P panels.
template <class V, int P>
void linear_f32_panels(const LinearF32Args& args, size_t panel) {
  size_t row = 0;
  for (; row + V::kFloatRows <= args.rows; row += V::kFloatRows) linear_f32_tile<V, V::kFloatRows, P>(args, row, panel);
  for (; row < args.rows; ++row) linear_f32_tile<V, 1, P>(args, row, panel);
}

template <class V>
void linear_f32(const LinearF32Args& args) noexcept {
  const size_t panels = round_up(args.n, 16) / 16;
  size_t panel = 0;
  for (; panel + V::kFloatPanels <= panels; panel += V::kFloatPanels)
    linear_f32_panels<V, V::kFloatPanels>(args, panel);
  for (; panel < panels; ++panel) linear_f32_panels<V, 1>(args, panel);
}

}  // namespace
}  // namespace embedrt
