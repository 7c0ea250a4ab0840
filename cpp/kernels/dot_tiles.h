// A product of bytes out of tiles that fit the registers.
#pragma once

#include <cstddef>
#include <cstdint>

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

// Walks rows × panels in tiles of R × P registers, and smaller ones at the edges. Tiles::tile<R, P>(a, a_stride, w,
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

}  // namespace
}  // namespace embedrt
