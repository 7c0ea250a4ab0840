// The table of one instruction set, from its `Isa`.
#pragma once

#include "kernels/activate.h"
#include "kernels/attention_f32.h"
#include "kernels/attention_i8.h"
#include "kernels/attention_pool.h"
#include "kernels/bytes.h"
#include "kernels/conv.h"
#include "kernels/depthwise_f32.h"
#include "kernels/depthwise_i8.h"
#include "kernels/glu.h"
#include "kernels/head_norm.h"
#include "kernels/linear.h"
#include "kernels/max_pool.h"
#include "kernels/pool.h"
#include "kernels/probe.h"
#include "kernels/quantize.h"
#include "kernels/rope.h"
#include "kernels/rows.h"

namespace embedrt {
namespace {

// One tile of `rows` rows, 1 to R.
template <class Tiles, int R, int P>
void dot_tile(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
              int32_t* acc, size_t acc_stride) {
  if constexpr (R > 1) {
    if (rows <= R / 2) return dot_tile<Tiles, R / 2, P>(a, a_stride, rows, w, panel_stride, k, acc, acc_stride);
    if (rows < R) return dot_tile<Tiles, R - 1, P>(a, a_stride, rows, w, panel_stride, k, acc, acc_stride);
  }
  Tiles::template tile<R, P>(a, a_stride, w, panel_stride, k, acc, acc_stride);
}

// Walks rows × panels in tiles of R × P registers, and smaller ones at the edges. Isa::tile<R, P>(a, a_stride, w,
// panel_stride, k, acc, acc_stride). The last R + 1 to 2R − 1 rows are halved: a tile of one or two rows has too few
// sums to hide the latency of a product.
template <class Tiles, int R, int P>
void dot_rows(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
              int32_t* acc, size_t acc_stride) {
  size_t row = 0;
  for (; row + 2 * R <= rows || row + R == rows; row += R)
    Tiles::template tile<R, P>(a + row * a_stride, a_stride, w, panel_stride, k, acc + row * acc_stride, acc_stride);
  while (row < rows) {
    const size_t left = rows - row, count = left > R ? (left + 1) / 2 : left;
    dot_tile<Tiles, R, P>(a + row * a_stride, a_stride, count, w, panel_stride, k, acc + row * acc_stride, acc_stride);
    row += count;
  }
}

template <class Tiles, int P>
void dot_panels(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                size_t panels, int32_t* acc, size_t acc_stride) {
  size_t panel = 0;
  for (; panel + P <= panels; panel += P)
    dot_rows<Tiles, Tiles::template rows_for<P>(), P>(a, a_stride, rows, w + panel * panel_stride, panel_stride, k,
                                                      acc + panel * 16, acc_stride);
  if constexpr (P > 1) {
    if (panel < panels)
      dot_panels<Tiles, P - 1>(a, a_stride, rows, w + panel * panel_stride, panel_stride, k, panels - panel,
                               acc + panel * 16, acc_stride);
  }
}

template <class Isa>
constexpr Kernels make_kernels(const char* name) {
  using V = typename Isa::V;
  return Kernels{
      .name = name,
      .quantize = quantize_rows<V>,
      .linear_i8 = linear_i8<Isa>,
      .linear_f32 = linear_f32<Isa>,
      .norm = norm_rows<V>,
      .lookup = lookup_rows<V>,
      .add = add_rows<V>,
      .attention_i8_scratch = attention_i8_scratch<Isa>,
      .attention_i8 = attention_i8<Isa>,
      .attention_f32_scratch = attention_f32_scratch<V>,
      .attention_f32 = attention_f32<V>,
      .pool = pool_segment<V>,
      .normalize = normalize_rows<V>,
      .rope = rope_rows<V>,
      .head_norm = head_norm_rows<V>,
      .glu = glu_rows<V>,
      .activate = activate_rows<V>,
      .attention_pool = attention_pool<V>,
      .conv_i8_scratch = conv_i8_scratch<Isa>,
      .conv_i8 = conv_i8<Isa>,
      .conv_f32_scratch = conv_f32_scratch<Isa>,
      .conv_f32 = conv_f32<Isa>,
      .depthwise_i8_scratch = depthwise_i8_scratch<Isa>,
      .depthwise_i8 = depthwise_i8<Isa>,
      .depthwise_f32_scratch = depthwise_f32_scratch<V>,
      .depthwise_f32 = depthwise_f32<V>,
      .max_pool = max_pool<V>,
      .quantize_static = quantize_static<V>,
      .gate = gate_rows<V>,
      .pool_u8 = pool_u8<V>,
      .dot =
          [](const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
             size_t panels, int32_t* acc, size_t acc_stride) noexcept {
            Isa::begin();
            Isa::dot(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
            Isa::end();
          },
      .probe = probe<Isa>,
  };
}

}  // namespace
}  // namespace embedrt
