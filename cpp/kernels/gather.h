// The windows of a convolution, one row for each output ("im2col"), so that sums are a product of matrices.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/args.h"

namespace embedrt {
namespace {

// Copies of `count` elements for one count: kBytes at the start and kBytes at the end, which may overlap. 64: as many
// as it takes. 0: bytes become floats.
template <class V, size_t kBytes>
struct Copy {
  template <class T>
  [[gnu::always_inline]] static void run(T* to, const T* from, size_t count) {
    auto* out = reinterpret_cast<uint8_t*>(to);
    const auto* in = reinterpret_cast<const uint8_t*>(from);
    count *= sizeof(T);
    if constexpr (kBytes == 64) {
      for (size_t at = 0; at + 64 <= count; at += 64) V::copy_64_bytes(out + at, in + at);
      if (count % 64) V::copy_64_bytes(out + count - 64, in + count - 64);
    } else {
      uint8_t start[kBytes], end[kBytes];
      std::memcpy(start, in, kBytes);
      std::memcpy(end, in + count - kBytes, kBytes);
      std::memcpy(out, start, kBytes);
      std::memcpy(out + count - kBytes, end, kBytes);
    }
  }
};

template <class V>
struct Copy<V, 0> {
  [[gnu::always_inline]] static void run(float* to, const uint8_t* from, size_t count) {
    for (size_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
  }
};

// Calls body.operator()<Copy>().
template <class V, class To, class From, class Body>
void with_copy(size_t count, Body body) {
  if constexpr (sizeof(To) != sizeof(From)) {
    body.template operator()<Copy<V, 0>>();
  } else {
    const size_t bytes = count * sizeof(To);
    if (bytes >= 64) return body.template operator()<Copy<V, 64>>();
    if (bytes >= 32) return body.template operator()<Copy<V, 32>>();
    if (bytes >= 16) return body.template operator()<Copy<V, 16>>();
    if (bytes >= 8) return body.template operator()<Copy<V, 8>>();
    if (bytes >= 4) return body.template operator()<Copy<V, 4>>();
    if (bytes >= 2) return body.template operator()<Copy<V, 2>>();
    if (bytes >= 1) return body.template operator()<Copy<V, 1>>();
  }
}

// Rows of k elements at `to`; what lies between k and the stride is left alone.
template <class V, class To, class From>
class Gather {
 public:
  Gather(const ConvArgs& args, const From* x, To pad)
      : window_(args.window),
        x_(x),
        pad_(pad),
        pixel_(args.x_stride),
        line_(args.window.width * args.x_stride),
        // Pixels that lie side by side without a gap are one run.
        runs_(args.x_stride == args.channels ? 1 : args.window.kernel),
        run_(args.window.kernel * args.channels / runs_),
        channels_(args.channels) {}

  // Outputs first … first + rows − 1. The members in locals: a byte that is written might be one of theirs.
  void rows(size_t first, size_t rows, To* to, size_t stride) const {
    with_copy<V, To, From>(run_, [&]<class Copy>() {
      const Window w = window_;
      const From* const image = x_;
      const size_t pixel = pixel_, line = line_, runs = runs_, run = run_;
      size_t out_y = first / w.out_width, out_x = first % w.out_width;
      for (size_t r = 0; r < rows; ++r, to += stride) {
        // Below 0, as unsigned numbers, they are above every size.
        const size_t y = out_y * w.stride - w.pad_top, x = out_x * w.stride - w.pad_left;
        if (y < w.height && y + w.kernel <= w.height && x < w.width && x + w.kernel <= w.width) {
          const From* from = image + y * line + x * pixel;
          To* at = to;
          for (size_t ky = 0; ky < w.kernel; ++ky, from += line)
            for (size_t i = 0; i < runs; ++i, at += run) Copy::run(at, from + i * pixel, run);
        } else {
          border(y, x, to);
        }
        if (++out_x == w.out_width) {
          out_x = 0;
          ++out_y;
        }
      }
    });
  }

 private:
  [[gnu::noinline]]
  void border(size_t y, size_t x, To* to) const {
    // The columns of the window that lie inside.
    size_t begin = 0, end = 0;
    while (begin < window_.kernel && x + begin >= window_.width) ++begin;
    for (end = begin; end < window_.kernel && x + end < window_.width;) ++end;
    const size_t dense = runs_ == 1 ? end - begin : 1;  // pixels of a run
    for (size_t ky = 0; ky < window_.kernel; ++ky, to += window_.kernel * channels_) {
      if (y + ky >= window_.height || begin == end) {
        fill(to, 0, window_.kernel);
        continue;
      }
      fill(to, 0, begin);
      const From* from = x_ + (y + ky) * line_ + (x + begin) * pixel_;
      with_copy<V, To, From>(dense * channels_, [&]<class Copy>() {
        for (size_t kx = begin; kx < end; kx += dense, from += dense * pixel_)
          Copy::run(to + kx * channels_, from, dense * channels_);
      });
      fill(to, end, window_.kernel);
    }
  }

  // Padding in pixels begin … end − 1 of a line of the window.
  void fill(To* to, size_t begin, size_t end) const {
    std::fill_n(to + begin * channels_, (end - begin) * channels_, To{pad_});
  }

  Window window_;
  const From* x_;
  To pad_;
  size_t pixel_, line_;  // elements from one to the next
  size_t runs_, run_;    // of a line of a window, and elements of each
  size_t channels_;
};

// Each output sees one pixel, the one at its own place.
inline bool sees_own_pixel(const Window& w) {
  return w.kernel == 1 && w.stride == 1 && w.pad_top == 0 && w.pad_left == 0 && w.out_width == w.width &&
         w.out_height == w.height;
}

}  // namespace
}  // namespace embedrt
