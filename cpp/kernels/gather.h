// The windows of a convolution, one row for each output ("im2col"), so that sums are a product of matrices.
#pragma once

#include <cstring>

#include "kernels/kernels.h"

namespace embedrt {
namespace {

template <size_t n>
void copy_ends(uint8_t* to, const uint8_t* from, size_t count) {
  uint8_t head[n], tail[n];
  std::memcpy(head, from, n);
  std::memcpy(tail, from + count - n, n);
  std::memcpy(to, head, n);
  std::memcpy(to + count - n, tail, n);
}

// memcpy of a few bytes up to a few lines. What remains of a size overlaps what is copied already.
template <class V>
[[gnu::always_inline]] inline void copy_bytes(uint8_t* to, const uint8_t* from, size_t count) {
  if (count >= 64) {
    size_t at = 0;
    for (; at + 64 <= count; at += 64) V::copy_64_bytes(to + at, from + at);
    if (at < count) V::copy_64_bytes(to + count - 64, from + count - 64);
  } else if (count >= 32) {
    copy_ends<32>(to, from, count);
  } else if (count >= 16) {
    copy_ends<16>(to, from, count);
  } else if (count >= 8) {
    copy_ends<8>(to, from, count);
  } else if (count >= 4) {
    copy_ends<4>(to, from, count);
  } else {
    for (size_t i = 0; i < count; ++i) to[i] = from[i];
  }
}

template <class V>
[[gnu::always_inline]] inline void copy_elements(uint8_t* to, const uint8_t* from, size_t count) {
  copy_bytes<V>(to, from, count);
}
template <class V>
[[gnu::always_inline]] inline void copy_elements(float* to, const float* from, size_t count) {
  copy_bytes<V>(reinterpret_cast<uint8_t*>(to), reinterpret_cast<const uint8_t*>(from), count * sizeof(float));
}
template <class V>
[[gnu::always_inline]] inline void copy_elements(float* to, const uint8_t* from, size_t count) {
  for (size_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

template <class T>
void fill_elements(T* to, T value, size_t count) {
  for (size_t i = 0; i < count; ++i) to[i] = value;
}

// Outputs first … first + rows − 1. What stands between k and the stride of `to` becomes 0.
template <class V, class To, class From>
void gather_windows(const ConvArgs& args, const From* x, To pad, size_t first, size_t rows, To* to, size_t to_stride) {
  using Offset = ptrdiff_t;
  const Window& w = args.window;
  const auto kernel = static_cast<Offset>(w.kernel), height = static_cast<Offset>(w.height),
             width = static_cast<Offset>(w.width);
  const size_t channels = args.channels, line = w.kernel * channels, k = w.kernel * line;
  const bool dense = args.x_stride == channels;
  size_t out_y = first / w.out_width, out_x = first % w.out_width;
  for (size_t r = 0; r < rows; ++r, to += to_stride) {
    const Offset top = static_cast<Offset>(out_y * w.stride) - static_cast<Offset>(w.pad_top);
    const Offset left = static_cast<Offset>(out_x * w.stride) - static_cast<Offset>(w.pad_left);
    // The columns of the window that lie inside.
    const Offset begin = left < 0 ? (left + kernel < 0 ? kernel : -left) : 0;
    const Offset inside = left + kernel > width ? width - left : kernel;
    const Offset end = inside < begin ? begin : inside;
    To* at = to;
    for (Offset ky = 0; ky < kernel; ++ky, at += line) {
      const Offset y = top + ky;
      if (y < 0 || y >= height) {
        fill_elements(at, pad, line);
        continue;
      }
      const From* from = x + static_cast<size_t>(y * width + left + begin) * args.x_stride;
      To* tap = at + static_cast<size_t>(begin) * channels;
      if (begin > 0) fill_elements(at, pad, static_cast<size_t>(begin) * channels);
      if (dense) {
        copy_elements<V>(tap, from, static_cast<size_t>(end - begin) * channels);
      } else {
        for (Offset kx = begin; kx < end; ++kx, tap += channels, from += args.x_stride)
          copy_elements<V>(tap, from, channels);
      }
      if (end < kernel)
        fill_elements(at + static_cast<size_t>(end) * channels, pad, static_cast<size_t>(kernel - end) * channels);
    }
    fill_elements(to + k, To{0}, to_stride - k);
    if (++out_x == w.out_width) {
      out_x = 0;
      ++out_y;
    }
  }
}

// Each output sees one pixel, the one at its own place.
inline bool sees_own_pixel(const Window& w) {
  return w.kernel == 1 && w.stride == 1 && w.pad_top == 0 && w.pad_left == 0 && w.out_width == w.width &&
         w.out_height == w.height;
}

}  // namespace
}  // namespace embedrt
