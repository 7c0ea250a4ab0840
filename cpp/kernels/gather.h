// The windows of a convolution, one row for each output ("im2col"), so that sums are a product of matrices.
#pragma once

#include <cstring>

#include "kernels/kernels.h"

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

  // Outputs first … first + rows − 1.
  void rows(size_t first, size_t rows, To* to, size_t stride) const {
    with_copy<V, To, From>(run_, [&]<class Copy>() {
      size_t out_y = first / window_.out_width, out_x = first % window_.out_width;
      for (size_t r = 0; r < rows; ++r, to += stride) {
        // Below 0, as unsigned numbers, they are above every size.
        const size_t y = out_y * window_.stride - window_.pad_top, x = out_x * window_.stride - window_.pad_left;
        if (y < window_.height && y + window_.kernel <= window_.height && x < window_.width &&
            x + window_.kernel <= window_.width)
          inner<Copy>(x_ + y * line_ + x * pixel_, to);
        else
          border(y, x, to);
        if (++out_x == window_.out_width) {
          out_x = 0;
          ++out_y;
        }
      }
    });
  }

 private:
  template <class Copy>
  [[gnu::always_inline]] void inner(const From* from, To* to) const {
    for (size_t ky = 0; ky < window_.kernel; ++ky, from += line_)
      for (size_t i = 0; i < runs_; ++i, to += run_) Copy::run(to, from + i * pixel_, run_);
  }

  void border(size_t y, size_t x, To* to) const {
    for (size_t ky = 0; ky < window_.kernel; ++ky)
      for (size_t kx = 0; kx < window_.kernel; ++kx, to += channels_) {
        if (y + ky < window_.height && x + kx < window_.width) {
          const From* from = x_ + (y + ky) * line_ + (x + kx) * pixel_;
          with_copy<V, To, From>(channels_, [&]<class Copy>() { Copy::run(to, from, channels_); });
        } else {
          for (size_t c = 0; c < channels_; ++c) to[c] = pad_;
        }
      }
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
