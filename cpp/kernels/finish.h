// What becomes of the sums of a convolution: `Finish` in kernels/args.h, and docs/numerics.md.
#pragma once

#include <array>
#include <cstring>
#include <utility>

#include "kernels/activate.h"

namespace embedrt {
namespace {

// Sixteen columns from `column` on, of n: what finishing needs of them stays in registers over the rows.
template <class V>
class FinishColumns {
 public:
  using F = typename V::F;
  using I = typename V::I;

  FinishColumns(const Finish& finish, size_t column, size_t n, size_t border_class)
      : finish_(finish),
        column_(column),
        columns_(static_cast<int>(n - column < 16 ? n - column : 16)),
        scale_(load(finish.scale)),
        bias_(V::load(finish.bias + border_class * finish.bias_stride + column)),
        residual_scale_(load(finish.residual_scale)),
        output_scale_(load(finish.output_scale)) {}

  // t of the sums, before the residual.
  F scaled(I sums) const { return V::fma(V::to_float(sums), scale_, bias_); }
  F scaled(F sums) const { return V::add(sums, bias_); }

  F with_residual(F t, size_t row) const {
    if (finish_.residual) return V::add(t, V::load(finish_.residual + row * finish_.residual_stride + column_));
    if (finish_.residual_u8) return with_byte_residual(t, row);
    return t;
  }
  F with_byte_residual(F t, size_t row) const {
    const uint8_t* residual = finish_.residual_u8 + row * finish_.residual_stride + column_;
    return V::fma(V::to_float(V::load_bytes(residual)), residual_scale_, t);
  }

  // t after the activation.
  void store(F t, size_t row) const {
    if (finish_.out) return V::store(finish_.out + row * finish_.out_stride + column_, t);
    if (finish_.output_scale) t = V::fma(t, output_scale_, V::set1(finish_.output_zero));
    t = V::max(V::min(without_padding(t), V::set1(255.0f)), V::set1(0.0f));
    V::store_bytes(finish_.out_u8 + row * finish_.out_stride + column_, V::round(t));
  }

  // Zeros past the last column.
  F without_padding(F t) const { return columns_ < 16 ? V::first(t, columns_, V::set1(0.0f)) : t; }

 private:
  F load(const float* vector) const { return vector ? V::load(vector + column_) : V::set1(0.0f); }

  Finish finish_;
  size_t column_;
  int columns_;
  F scale_, bias_, residual_scale_, output_scale_;
};

template <class V>
typename V::I load_sums(const int32_t* p) {
  return V::load_int(p);
}
template <class V>
typename V::F load_sums(const float* p) {
  return V::load(p);
}

// Any finish, panel by panel. `fused`: an activation in the same loop; of `none`, any other one follows in a loop of
// its own.
template <class V, Activation fused, class Sum>
void finish_panels(const Finish& finish, const FinishBlock& block, const Sum* sums, size_t stride) {
  for (size_t panel = 0; panel < block.panels(); ++panel) {
    const FinishColumns<V> columns(finish, block.column + 16 * panel, block.n, block.border_class);
    const auto before_activation = [&](size_t r) {
      return columns.with_residual(columns.scaled(load_sums<V>(sums + r * stride + 16 * panel)), block.row + r);
    };
    size_t r = 0;
    if (fused == Activation::none && finish.activation != fused) {
      constexpr size_t kRows = 64;
      alignas(64) float t[kRows * 16];
      while (r < block.rows) {
        const size_t first = r, rows = block.rows - r < kRows ? block.rows - r : kRows;
        for (size_t i = 0; i < rows; ++i) V::store(t + 16 * i, before_activation(first + i));
        activate_floats<V>(finish.activation, t, t, 16 * rows);
        for (size_t i = 0; i < rows; ++i) columns.store(V::load(t + 16 * i), block.row + first + i);
        r += rows;
      }
    }
    // N rows at a time, side by side through the activation.
    const auto finish_rows = [&]<int N>() {
      using W = Wide<V, N>;
      auto t = W::make([&](int i) { return before_activation(r + static_cast<size_t>(i)); });
      t = Math<W>::template activate<fused>(t);
      for (int i = 0; i < N; ++i) columns.store(t.v[i], block.row + r + static_cast<size_t>(i));
      r += N;
    };
    while (r + V::kSideBySide <= block.rows) finish_rows.template operator()<V::kSideBySide>();
    while (r < block.rows) finish_rows.template operator()<1>();
  }
}

template <class V>
void finish_panels_of(const Finish& finish, const FinishBlock& block, const int32_t* sums, size_t stride) {
  // The activations of most networks whose steps are bytes.
  if (finish.activation == Activation::silu) return finish_panels<V, Activation::silu>(finish, block, sums, stride);
  if (finish.activation == Activation::hard_swish)
    return finish_panels<V, Activation::hard_swish>(finish, block, sums, stride);
  finish_panels<V, Activation::none>(finish, block, sums, stride);
}
template <class V>
void finish_panels_of(const Finish& finish, const FinishBlock& block, const float* sums, size_t stride) {
  finish_panels<V, Activation::none>(finish, block, sums, stride);
}

// Zeros from the last panel to the end of the row's stride.
inline void finish_padding(const Finish& finish, const FinishBlock& block, size_t from) {
  if (from >= finish.out_stride) return;
  for (size_t r = block.row; r < block.row + block.rows; ++r)
    std::memset(finish.out_u8 + r * finish.out_stride + from, 0, finish.out_stride - from);
}

// The common way to bytes: saturation is the activation. P panels of a row are stored as one cache line.
template <class V, int P, bool residual, class Sum>
void finish_bytes(const Finish& finish, const FinishBlock& block, const Sum* sums, size_t stride) {
  const auto columns_of = [&]<size_t... p>(std::index_sequence<p...>) {
    return std::array<FinishColumns<V>, P>{
        FinishColumns<V>(finish, block.column + 16 * p, block.n, block.border_class)...};
  };
  const auto columns = columns_of(std::make_index_sequence<P>());
  typename V::I bytes[4];
  for (int p = P; p < 4; ++p) bytes[p] = V::set1_int(0);
  for (size_t r = 0; r < block.rows; ++r) {
#pragma GCC unroll 4
    for (size_t p = 0; p < P; ++p) {
      auto t = columns[p].scaled(load_sums<V>(sums + r * stride + 16 * p));
      if constexpr (residual) t = columns[p].with_byte_residual(t, block.row + r);
      bytes[p] = V::round_to_byte(p + 1 == P ? columns[p].without_padding(t) : t);
    }
    V::store_clamped_bytes(finish.out_u8 + (block.row + r) * finish.out_stride + block.column, bytes);
  }
}

template <class V, int P, class Sum>
void finish_bytes_of(const Finish& finish, const FinishBlock& block, const Sum* sums, size_t stride) {
  if constexpr (P > 1)
    if (block.panels() < P) return finish_bytes_of<V, P - 1>(finish, block, sums, stride);
  if (finish.residual_u8) return finish_bytes<V, P, true>(finish, block, sums, stride);
  finish_bytes<V, P, false>(finish, block, sums, stride);
}

// Sums, int32_t or float, are [rows, up to 64] at `sums`, rows `stride` apart, whole panels of sixteen.
template <class V, class Sum>
void finish_block(const Finish& finish, const FinishBlock& block, const Sum* sums, size_t stride) noexcept {
  size_t written = block.column;
  if (finish.out_u8 && finish.activation == Activation::none && !finish.residual && !finish.output_scale) {
    finish_bytes_of<V, 4>(finish, block, sums, stride);
    written += 64;
  } else {
    finish_panels_of<V>(finish, block, sums, stride);
    written += 16 * block.panels();
  }
  if (finish.out_u8 && written >= block.n) finish_padding(finish, block, written);
}

}  // namespace
}  // namespace embedrt
