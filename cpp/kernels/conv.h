// Convolutions: the windows of a chunk of outputs are gathered as rows, unless they lie so already, multiplied with the
// weights, and the sums finished while they are in the first-level cache.
#pragma once

#include "kernels/dot.h"
#include "kernels/finish.h"
#include "kernels/gather.h"
#include "kernels/linear.h"

namespace embedrt {
namespace {

// Gathered rows stay in the second-level cache while the weights pass by, which come from further away: so a chunk is
// never just a few rows.
constexpr size_t kChunkBytes = size_t{64} << 10, kFewestChunkRows = 64, kMostChunkRows = 256;

constexpr size_t conv_chunk_rows(size_t row_bytes, size_t multiple) {
  const size_t fit = kChunkBytes / row_bytes;
  const size_t rows = fit < kFewestChunkRows ? kFewestChunkRows : fit > kMostChunkRows ? kMostChunkRows : fit;
  return round_up(rows, multiple);
}

// A row for each output; one line more where rows would share their cache sets.
constexpr size_t gathered_stride(size_t k) {
  const size_t stride = quantized_stride(k);
  return stride % 1024 == 0 ? stride + 64 : stride;
}

// Calls body(row, rows, border class) for runs of outputs of the same class.
template <class Body>
void for_border_classes(const ConvArgs& args, size_t first, size_t rows, Body body) {
  if (args.finish.bias_stride == 0) return body(first, rows, size_t{0});
  const Window& w = args.window;
  const Borders lacking = borders(w);
  const size_t inner_begin = (w.pad_left + w.stride - 1) / w.stride;
  const size_t inner_end = (w.width + w.pad_left - w.kernel) / w.stride + 1;
  size_t y = first / w.out_width, x = first % w.out_width;
  for (const size_t end = first + rows; first < end;) {
    size_t until = x >= inner_begin && x < inner_end ? inner_end : x + 1;
    if (until > w.out_width) until = w.out_width;
    if (until - x > end - first) until = x + (end - first);
    body(first, until - x, border_class(w, lacking, y, x));
    first += until - x;
    x = until;
    if (x == w.out_width) {
      x = 0;
      ++y;
    }
  }
}

// Finishes sums [rows, 64] of outputs `first` on.
template <class V, class Sum>
void finish_outputs(const ConvArgs& args, size_t first, size_t rows, size_t column, const Sum* sums) {
  for_border_classes(args, first, rows, [&](size_t row, size_t count, size_t border_class) {
    finish_block<V>(args.finish, {row, count, column, args.n, border_class}, sums + (row - first) * 64, 64);
  });
}

template <class V>
void conv_i8_rows(const Dot& dot, const ConvI8Args& args, size_t first, size_t rows, const uint8_t* a,
                  size_t a_stride) {
  alignas(64) int32_t sums[kMostDotRows * 64];
  const size_t k = args.window.kernel * args.window.kernel * args.channels, panel_stride = round_up(k, 4) * 16;
  for (size_t column = 0; column < args.n; column += 64) {
    const size_t panels = args.n - column < 64 ? (args.n - column + 15) / 16 : 4;
    for (size_t row = 0; row < rows; row += dot.rows) {
      const size_t count = rows - row < dot.rows ? rows - row : dot.rows;
      dot.run(a + row * a_stride, a_stride, count, args.weight + column / 16 * panel_stride, panel_stride, k, panels,
              sums, 64);
      finish_outputs<V>(args, first + row, count, column, sums);
    }
  }
}

// A last chunk takes up to so many rows more: a few rows alone would pass all weights once more.
constexpr size_t kLastRows = 16;

inline size_t conv_i8_scratch(const Dot& dot, size_t k) noexcept {
  return round_up(conv_chunk_rows(quantized_stride(k), dot.rows) + kLastRows, 16) * gathered_stride(k);
}

template <class V>
void conv_i8(const Dot& dot, const ConvI8Args& args) noexcept {
  const size_t k = args.window.kernel * args.window.kernel * args.channels;
  const size_t chunk = conv_chunk_rows(quantized_stride(k), dot.rows), stride = gathered_stride(k);
  const bool in_place = sees_own_pixel(args.window) && args.x_stride % 64 == 0;
  const Gather<V, uint8_t, uint8_t> gather(args, args.x, args.pad);
  auto* gathered = static_cast<uint8_t*>(args.scratch);
  // A dot reads zeros past k, where no window is ever written.
  const size_t most = args.rows < chunk + kLastRows ? args.rows : chunk + kLastRows;
  if (k % 64 && !in_place)
    for (size_t r = 0; r < most; ++r) std::memset(gathered + r * stride + k, 0, quantized_stride(k) - k);
  const DotInUse in_use(dot);
  for (size_t done = 0; done < args.rows;) {
    const size_t first = args.first + done;
    const size_t left = args.rows - done, rows = left <= chunk + kLastRows ? left : chunk;
    if (in_place) {
      conv_i8_rows<V>(dot, args, first, rows, args.x + first * args.x_stride, args.x_stride);
    } else {
      gather.rows(first, rows, gathered, stride);
      conv_i8_rows<V>(dot, args, first, rows, gathered, stride);
    }
    done += rows;
  }
}

// Sums of rows × up to four panels → [rows, 64].
template <class V, int R, int P>
void conv_f32_tile(const float* x, size_t x_stride, const float* w, size_t k, float* sums) {
  typename V::F acc[R][P];
  float_sums<V, R, P>(x, x_stride, w, k, acc);
  for (int r = 0; r < R; ++r)
    for (int p = 0; p < P; ++p) V::store(sums + 64 * r + 16 * p, acc[r][p]);
}

template <class V, int R, int P>
void conv_f32_tiles(const float* x, size_t x_stride, size_t rows, const float* w, size_t k, float* sums) {
  size_t row = 0;
  for (; row + R <= rows; row += R) conv_f32_tile<V, R, P>(x + row * x_stride, x_stride, w, k, sums + 64 * row);
  for (; row < rows; ++row) conv_f32_tile<V, 1, P>(x + row * x_stride, x_stride, w, k, sums + 64 * row);
}

template <class V>
void conv_f32_rows(const ConvF32Args& args, size_t first, size_t rows, const float* x, size_t x_stride) {
  constexpr int kTileRows = V::kFloatRows, kTilePanels = V::kFloatPanels;
  constexpr size_t kRows = 4 * kTileRows;
  alignas(64) float sums[kRows * 64];
  const size_t k = args.window.kernel * args.window.kernel * args.channels;
  for (size_t column = 0; column < args.n; column += 64) {
    const size_t panels = args.n - column < 64 ? (args.n - column + 15) / 16 : 4;
    for (size_t row = 0; row < rows; row += kRows) {
      const size_t count = rows - row < kRows ? rows - row : kRows;
      const float* from = x + row * x_stride;
      size_t panel = 0;
      for (; panel + kTilePanels <= panels; panel += kTilePanels)
        conv_f32_tiles<V, kTileRows, kTilePanels>(from, x_stride, count, args.weight + (column + 16 * panel) * k, k,
                                                  sums + 16 * panel);
      for (; panel < panels; ++panel)
        conv_f32_tiles<V, kTileRows, 1>(from, x_stride, count, args.weight + (column + 16 * panel) * k, k,
                                        sums + 16 * panel);
      finish_outputs<V>(args, first + row, count, column, sums);
    }
  }
}

template <class V>
size_t conv_f32_scratch(size_t k) noexcept {
  return conv_chunk_rows(k * sizeof(float), 4 * V::kFloatRows) * float_stride(k) * sizeof(float);
}

template <class V>
void conv_f32(const ConvF32Args& args) noexcept {
  const size_t k = args.window.kernel * args.window.kernel * args.channels;
  const size_t chunk = conv_chunk_rows(k * sizeof(float), 4 * V::kFloatRows), stride = float_stride(k);
  auto* gathered = static_cast<float*>(args.scratch);
  for (size_t done = 0; done < args.rows; done += chunk) {
    const size_t first = args.first + done, rows = args.rows - done < chunk ? args.rows - done : chunk;
    if (args.x && sees_own_pixel(args.window)) {
      conv_f32_rows<V>(args, first, rows, args.x + first * args.x_stride, args.x_stride);
      continue;
    }
    if (args.x)
      Gather<V, float, float>(args, args.x, 0.0f).rows(first, rows, gathered, stride);
    else
      Gather<V, float, uint8_t>(args, args.x_u8, 0.0f).rows(first, rows, gathered, stride);
    conv_f32_rows<V>(args, first, rows, gathered, stride);
  }
}

}  // namespace
}  // namespace embedrt
