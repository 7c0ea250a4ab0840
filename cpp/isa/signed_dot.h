// The walk over rows and panels for products that want both operands signed. They multiply a row's bytes less 128, a
// byte with its top bit flipped, and a row of zeros, which becomes one of −128s, tells how much that takes off each
// column: its own sums, which are to be 0. It is multiplied once for a panel, in the tile of the first rows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedrt {
namespace {

// One tile of `rows` rows, 1 to R.
template <class Tiles, int R, int P, bool first>
void signed_tile(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                 int32_t* start, int32_t* acc, size_t acc_stride) {
  if constexpr (R > 1)
    if (rows < R)
      return signed_tile<Tiles, R - 1, P, first>(a, a_stride, rows, w, panel_stride, k, start, acc, acc_stride);
  Tiles::template tile<R, P, first>(a, a_stride, w, panel_stride, k, start, acc, acc_stride);
}

// Tiles: `kFirstRows<P>`, the rows of the first tile; `kRows<P>`, those of the others; tile<R, P, first>(…, start, …)
// sums R rows × P panels from start[16 · P] on. The first one finds that start: the sums of a row of zeros, negated.
template <class Tiles, int P>
void signed_dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                size_t panels, int32_t* acc, size_t acc_stride) {
  constexpr size_t kFirst = Tiles::template kFirstRows<P>, R = Tiles::template kRows<P>;
  size_t panel = 0;
  for (; panel + P <= panels; panel += P, w += P * panel_stride, acc += P * 16) {
    alignas(64) int32_t start[16 * P];
    size_t row = rows < kFirst ? rows : kFirst;
    signed_tile<Tiles, kFirst, P, true>(a, a_stride, row, w, panel_stride, k, start, acc, acc_stride);
    while (row < rows) {
      // The last R + 1 to 2R − 1 rows are halved: a tile of one row has few sums to hide the latency of a product.
      const size_t left = rows - row, count = left >= 2 * R || left == R ? R : left > R ? (left + 1) / 2 : left;
      signed_tile<Tiles, R, P, false>(a + row * a_stride, a_stride, count, w, panel_stride, k, start,
                                      acc + row * acc_stride, acc_stride);
      row += count;
    }
  }
  if constexpr (P > 1)
    if (panel < panels)
      signed_dot<Tiles, P - 1>(a, a_stride, rows, w, panel_stride, k, panels - panel, acc, acc_stride);
}

}  // namespace
}  // namespace embedrt
