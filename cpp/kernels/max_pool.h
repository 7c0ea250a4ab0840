// The greatest of each window of an image.
#pragma once

#include <cstring>

#include "kernels/args.h"

namespace embedrt {
namespace {

// Calls body(row of the output, first line, last line, first column, last column of its window within the image); the
// last ones are not in it.
template <class Body>
void each_window(const MaxPoolArgs& args, Body body) {
  const Window& window = args.window;
  const auto first = [&](size_t at, size_t pad) { return at * window.stride < pad ? 0 : at * window.stride - pad; };
  const auto last = [&](size_t at, size_t pad, size_t extent) {
    const size_t end = at * window.stride + window.kernel - pad;
    return end < extent ? end : extent;
  };
  for (size_t y = args.first_line; y < args.first_line + args.lines; ++y)
    for (size_t x = 0; x < window.out_width; ++x)
      body(y * window.out_width + x, first(y, window.pad_top), last(y, window.pad_top, window.height),
           first(x, window.pad_left), last(x, window.pad_left, window.width));
}

template <class V>
void max_pool_f32(const MaxPoolArgs& args) {
  each_window(args, [&](size_t row, size_t top, size_t bottom, size_t left, size_t right) {
    for (size_t c = 0; c < args.channels; c += 16) {
      const auto at = [&](size_t y, size_t x) {
        return V::load(args.x + (y * args.window.width + x) * args.x_stride + c);
      };
      auto most = at(top, left);
      auto bad = V::set1(0.0f);  // NaN as soon as one value is not finite: max alone would pass it over
      for (size_t y = top; y < bottom; ++y)
        for (size_t x = left; x < right; ++x) {
          const auto value = at(y, x);
          most = V::max(most, value);
          bad = V::fma(value, V::set1(0.0f), bad);
        }
      V::store(args.out + row * args.out_stride + c, V::add(most, bad));
    }
  });
}

// The greatest bytes of `count` pixels, 64 channels, and those of `most`.
inline void max_bytes(const uint8_t* x, size_t stride, size_t count, uint8_t* most) {
  for (; count > 0; --count, x += stride)
    for (size_t c = 0; c < 64; ++c) most[c] = x[c] > most[c] ? x[c] : most[c];
}

inline void max_pool_u8(const MaxPoolArgs& args) {
  each_window(args, [&](size_t row, size_t top, size_t bottom, size_t left, size_t right) {
    uint8_t* out = args.out_u8 + row * args.out_stride;
    size_t c = 0;
    for (; c < args.channels; c += 64) {
      uint8_t most[64] = {};
      for (size_t y = top; y < bottom; ++y)
        max_bytes(args.x_u8 + (y * args.window.width + left) * args.x_stride + c, args.x_stride, right - left, most);
      std::memcpy(out + c, most, 64);
    }
    if (c < args.out_stride) std::memset(out + c, 0, args.out_stride - c);
  });
}

template <class V>
void max_pool(const MaxPoolArgs& args) noexcept {
  if (args.out_u8)
    max_pool_u8(args);
  else
    max_pool_f32<V>(args);
}

}  // namespace
}  // namespace embedrt
