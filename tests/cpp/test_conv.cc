// The scalar convolutions against plain loops over outputs, columns, taps and channels.
#include <algorithm>
#include <cmath>

#include "check.h"
#include "isa/dispatch.h"
#include "kernel_cases.h"
#include "kernels/linear.h"
#include "kernels/vec_scalar.h"

namespace embedrt::test {
namespace {

float activated(Activation activation, float x) {
  ScalarVec::F y{};
  with_activation(activation, [&]<Activation a>() { y = Math<ScalarVec>::activate<a>(ScalarVec::set1(x)); });
  return y.v[0];
}

// Columns (lines) of the window that lie before and past the image.
struct Lacking {
  size_t before = 0, after = 0;
};

Lacking lacking(size_t at, size_t extent, const Window& w, size_t pad) {
  Lacking result;
  for (size_t i = at * w.stride; i < at * w.stride + w.kernel; ++i) {
    result.before += i < pad;
    result.after += i >= extent + pad;
  }
  return result;
}

size_t class_of(const Window& w, size_t y, size_t x) {
  size_t most_before[2] = {0, 0}, most_after[2] = {0, 0};
  const auto look = [&](size_t axis, size_t outputs, size_t extent, size_t pad) {
    for (size_t i = 0; i < outputs; ++i) {
      const Lacking l = lacking(i, extent, w, pad);
      most_before[axis] = std::max(most_before[axis], l.before);
      most_after[axis] = std::max(most_after[axis], l.after);
    }
  };
  look(0, w.out_height, w.height, w.pad_top);
  look(1, w.out_width, w.width, w.pad_left);
  const auto number = [&](size_t axis, Lacking l) { return l.after ? most_before[axis] + l.after : l.before; };
  return number(0, lacking(y, w.height, w, w.pad_top)) * (1 + most_before[1] + most_after[1]) +
         number(1, lacking(x, w.width, w, w.pad_left));
}

void finish(const ConvArgs& args, size_t row, size_t column, float t) {
  const Finish& f = args.finish;
  if (f.residual) t = t + f.residual[row * f.residual_stride + column];
  if (f.residual_u8)
    t = std::fma(static_cast<float>(f.residual_u8[row * f.residual_stride + column]), f.residual_scale[column], t);
  t = activated(f.activation, t);
  if (f.out) {
    f.out[row * f.out_stride + column] = t;
    return;
  }
  if (f.output_scale) t = std::fma(t, f.output_scale[column], f.output_zero);
  const double clamped = std::isnan(t) ? 255.0 : std::min(std::max(static_cast<double>(t), 0.0), 255.0);
  f.out_u8[row * f.out_stride + column] = static_cast<uint8_t>(std::nearbyint(clamped));
}

// Calls tap(k, pixel or -1 for padding, channel) in the order of k.
template <class Tap>
void for_taps(const ConvArgs& args, size_t y, size_t x, Tap tap) {
  const Window& w = args.window;
  size_t k = 0;
  for (size_t ky = 0; ky < w.kernel; ++ky)
    for (size_t kx = 0; kx < w.kernel; ++kx)
      for (size_t c = 0; c < args.channels; ++c, ++k) {
        const auto iy = static_cast<long>(y * w.stride + ky) - static_cast<long>(w.pad_top);
        const auto ix = static_cast<long>(x * w.stride + kx) - static_cast<long>(w.pad_left);
        const bool inside = iy >= 0 && iy < static_cast<long>(w.height) && ix >= 0 && ix < static_cast<long>(w.width);
        tap(k, inside ? iy * static_cast<long>(w.width) + ix : -1, c);
      }
}

// Calls output(row, y, x, column, bias), after the zeros that bytes have past the last column.
template <class Output>
void for_outputs(const ConvArgs& args, Output output) {
  const Finish& f = args.finish;
  for (size_t row = args.first; row < args.first + args.rows; ++row) {
    const size_t y = row / args.window.out_width, x = row % args.window.out_width;
    const float* bias = f.bias + (f.bias_stride ? class_of(args.window, y, x) * f.bias_stride : 0);
    if (f.out_u8) std::fill_n(f.out_u8 + row * f.out_stride, f.out_stride, uint8_t{0});
    for (size_t n = 0; n < args.n; ++n) output(row, y, x, n, bias[n]);
  }
}

void plain_conv_i8(const Dot&, const ConvI8Args& args) noexcept {
  const size_t k4 = round_up(args.window.kernel * args.window.kernel * args.channels, 4);
  for_outputs(args, [&](size_t row, size_t y, size_t x, size_t n, float bias) {
    int64_t sum = 0;
    for_taps(args, y, x, [&](size_t k, long pixel, size_t c) {
      const int byte = pixel < 0 ? args.pad : args.x[static_cast<size_t>(pixel) * args.x_stride + c];
      sum += byte * args.weight[(n / 16 * k4 + k / 4 * 4) * 16 + n % 16 * 4 + k % 4];
    });
    finish(args, row, n, std::fma(static_cast<float>(sum), args.finish.scale[n], bias));
  });
}

void plain_conv_f32(const ConvF32Args& args) noexcept {
  const size_t all_k = args.window.kernel * args.window.kernel * args.channels;
  for_outputs(args, [&](size_t row, size_t y, size_t x, size_t n, float bias) {
    float sum = 0.0f;
    for_taps(args, y, x, [&](size_t k, long pixel, size_t c) {
      const size_t at = static_cast<size_t>(pixel) * args.x_stride + c;
      const float value = pixel < 0 ? 0.0f : args.x ? args.x[at] : static_cast<float>(args.x_u8[at]);
      sum = std::fma(value, args.weight[n / 16 * 16 * all_k + k * 16 + n % 16], sum);
    });
    finish(args, row, n, sum + bias);
  });
}

}  // namespace

TEST(conv_scalar_is_the_plain_loops) {
  const Kernels scalar = *kernels_of("scalar");
  VectorKernels vectors = *scalar.vectors;
  vectors.conv_i8 = plain_conv_i8;
  vectors.conv_f32 = plain_conv_f32;
  Kernels plain = scalar;
  plain.vectors = &vectors;
  for (const KernelCase& one : conv_cases(Amount::quick)) {
    try {
      check(one.run(scalar) == one.run(plain), "differs from plain loops", __FILE__, __LINE__,
            one.kernel + ", " + one.what);
    } catch (const std::runtime_error& error) {
      check(false, error.what(), __FILE__, __LINE__, one.kernel + ", " + one.what);
    }
  }
}

}  // namespace embedrt::test
