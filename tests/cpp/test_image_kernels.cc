// The kernels of images against plain loops, exactly where the arithmetic is exact. The numbers are whole or have few
// bits, so that scaling them does not round.
#include <cmath>
#include <cstdlib>
#include <limits>

#include "check.h"
#include "isa/dispatch.h"
#include "kernel_cases.h"

namespace embedrt::test {
namespace {

struct Image {
  int height, width, channels;
};

// What a convolution does with an image; the output's size by the floor of the division.
struct Slide {
  int kernel, stride, top, left, bottom, right;
};

Window window_of(Image image, Slide slide) {
  const auto outputs = [&](int extent, int padding) { return (extent + padding - slide.kernel) / slide.stride + 1; };
  const auto size = [](int i) { return static_cast<size_t>(i); };
  return {size(image.height),
          size(image.width),
          size(slide.kernel),
          size(slide.stride),
          size(slide.top),
          size(slide.left),
          size(outputs(image.height, slide.top + slide.bottom)),
          size(outputs(image.width, slide.left + slide.right))};
}

constexpr Image kImages[] = {{8, 11, 37}, {5, 4, 70}, {3, 40, 130}};
constexpr Slide kSlides[] = {{1, 1, 0, 0, 0, 0}, {3, 1, 1, 1, 1, 1}, {3, 2, 0, 0, 1, 1},
                             {5, 2, 2, 2, 2, 2}, {7, 3, 6, 5, 3, 4}, {4, 1, 1, 2, 3, 0}};

// Calls body(oy, ox, c, visit) for each output, where visit(tap) calls tap(ky, kx, y, x) for every tap of its window,
// those outside of the image too.
template <class Body>
void each_output(Image image, Slide slide, Body body) {
  const Window window = window_of(image, slide);
  for (int oy = 0; oy < static_cast<int>(window.out_height); ++oy)
    for (int ox = 0; ox < static_cast<int>(window.out_width); ++ox)
      for (int c = 0; c < image.channels; ++c)
        body(static_cast<size_t>(oy) * window.out_width + static_cast<size_t>(ox), static_cast<size_t>(c),
             [&](auto tap) {
               for (int ky = 0; ky < slide.kernel; ++ky)
                 for (int kx = 0; kx < slide.kernel; ++kx)
                   tap(ky, kx, oy * slide.stride + ky - slide.top, ox * slide.stride + kx - slide.left);
             });
}

bool inside(Image image, int y, int x) {
  return y >= 0 && y < image.height && x >= 0 && x < image.width;
}

size_t pixel(Image image, int y, int x) {
  return static_cast<size_t>(y * image.width + x);
}

// round(max(min(t, 255), 0)), to nearest even, of an exact t.
int byte_of(double t) {
  return static_cast<int>(std::nearbyint(std::fmin(std::fmax(t, 0.0), 255.0)));
}

struct Bytes {
  size_t stride;
  Guarded<uint8_t> data;

  Bytes(size_t rows, int columns) : stride(quantized_stride(static_cast<size_t>(columns))), data(rows * stride) {}
  Bytes(size_t rows, int columns, Random& random) : Bytes(rows, columns) {
    for (size_t i = 0; i < data.size(); ++i)
      data[i] = i % stride < static_cast<size_t>(columns) ? static_cast<uint8_t>(random.next() >> 24) : 0;
  }
  int at(size_t row, size_t c) { return data[row * stride + c]; }
};

struct Vector {
  Guarded<float> data;

  // Multiples of `unit`, below `count` of them, zeros past the columns.
  Vector(int columns, uint32_t count, float unit, Random& random) : data(round_up(static_cast<size_t>(columns), 16)) {
    for (size_t i = 0; i < data.size(); ++i)
      data[i] = i < static_cast<size_t>(columns) ? static_cast<float>(random.below(count)) * unit : 0.0f;
  }
};

const Kernels& scalar() {
  return *kernels_of("scalar");
}

}  // namespace

TEST(image_depthwise_i8_is_the_sum) {
  constexpr int kPad = 201;
  for (const Image image : kImages)
    for (const Slide slide : kSlides) {
      const Window window = window_of(image, slide);
      const size_t channels = static_cast<size_t>(image.channels), outputs = window.out_height * window.out_width;
      Random random(channels + window.kernel);
      Bytes x(window.height * window.width, image.channels, random), out(outputs, image.channels);
      const size_t stride = round_up(channels, 64);
      Guarded<int8_t> weight(window.kernel * window.kernel * stride);
      for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<int8_t>(random.next() >> 24);
      Vector scale(image.channels, 8, 0x1p-10f, random), bias(image.channels, 200, 0.5f, random);
      FloatRows floats(outputs, channels);
      Guarded<uint8_t> scratch(scalar().depthwise_i8_scratch(window, channels));
      DepthwiseArgs args{};
      args.window = window;
      args.x_stride = x.stride;
      args.channels = channels;
      args.weight_stride = stride;
      args.lines = window.out_height;
      args.finish.scale = scale.data.data();
      args.finish.bias = bias.data.data();
      args.scratch = scratch.data();
      args.finish.out_u8 = out.data.data();
      args.finish.out_stride = out.stride;
      scalar().depthwise_i8({args, x.data.data(), kPad, weight.data()});
      args.finish.out_u8 = nullptr;
      args.finish.out = floats.row(0);
      args.finish.out_stride = floats.stride();
      args.finish.activation = Activation::relu;
      scalar().depthwise_i8({args, x.data.data(), kPad, weight.data()});
      each_output(image, slide, [&](size_t row, size_t c, auto visit) {
        int64_t sum = 0;
        visit([&](int ky, int kx, int y, int px) {
          const int value = inside(image, y, px) ? x.at(pixel(image, y, px), c) : kPad;
          sum += value * weight[static_cast<size_t>(ky * slide.kernel + kx) * stride + c];
        });
        const double t =
            static_cast<double>(sum) * static_cast<double>(scale.data[c]) + static_cast<double>(bias.data[c]);
        CHECK(out.at(row, c) == byte_of(t));
        CHECK(static_cast<double>(floats.row(row)[c]) == std::fmax(t, 0.0));
      });
    }
}

TEST(image_depthwise_f32_is_the_sum) {
  for (const Image image : kImages)
    for (const Slide slide : kSlides) {
      const Window window = window_of(image, slide);
      const size_t channels = static_cast<size_t>(image.channels), outputs = window.out_height * window.out_width;
      Random random(channels + window.kernel);
      FloatRows x(window.height * window.width, channels, Filling::plain, random), out(outputs, channels);
      FloatRows weight(window.kernel * window.kernel, channels, Filling::plain, random);
      Vector bias(image.channels, 200, 0.5f, random);
      Guarded<uint8_t> scratch(scalar().depthwise_f32_scratch(window, channels));
      DepthwiseArgs args{};
      args.window = window;
      args.x_stride = x.stride();
      args.channels = channels;
      args.weight_stride = weight.stride();
      args.lines = window.out_height;
      args.finish.bias = bias.data.data();
      args.finish.out = out.row(0);
      args.finish.out_stride = out.stride();
      args.scratch = scratch.data();
      scalar().depthwise_f32({args, x.row(0), weight.row(0)});
      each_output(image, slide, [&](size_t row, size_t c, auto visit) {
        double sum = static_cast<double>(bias.data[c]), size = std::fabs(sum);
        visit([&](int ky, int kx, int y, int px) {
          if (!inside(image, y, px)) return;
          const double product = static_cast<double>(x.row(pixel(image, y, px))[c]) *
                                 static_cast<double>(weight.row(static_cast<size_t>(ky * slide.kernel + kx))[c]);
          sum += product;
          size += std::fabs(product);
        });
        // Each of the roundings is within half a unit in the last place of the sum so far.
        const double roundings = slide.kernel * slide.kernel + 1;
        CHECK(std::fabs(static_cast<double>(out.row(row)[c]) - sum) <= size * roundings * 0x1p-24);
      });
    }
}

TEST(image_max_pool_is_the_greatest) {
  for (const Image image : kImages)
    for (const Slide slide : kSlides) {
      const Window window = window_of(image, slide);
      const size_t channels = static_cast<size_t>(image.channels), outputs = window.out_height * window.out_width;
      Random random(channels + window.kernel);
      Bytes x(window.height * window.width, image.channels, random), out(outputs, image.channels);
      FloatRows x_floats(window.height * window.width, channels, Filling::plain, random), floats(outputs, channels);
      MaxPoolArgs args{};
      args.window = window;
      args.channels = channels;
      args.lines = window.out_height;
      args.x_u8 = x.data.data();
      args.x_stride = x.stride;
      args.out_u8 = out.data.data();
      args.out_stride = out.stride;
      scalar().max_pool(args);
      args.x_u8 = args.out_u8 = nullptr;
      args.x = x_floats.row(0);
      args.x_stride = x_floats.stride();
      args.out = floats.row(0);
      args.out_stride = floats.stride();
      scalar().max_pool(args);
      each_output(image, slide, [&](size_t row, size_t c, auto visit) {
        int most = -1;
        float most_float = -std::numeric_limits<float>::infinity();
        visit([&](int, int, int y, int px) {
          if (!inside(image, y, px)) return;
          most = std::max(most, x.at(pixel(image, y, px), c));
          most_float = std::fmax(most_float, x_floats.row(pixel(image, y, px))[c]);
        });
        CHECK(out.at(row, c) == most);
        CHECK(floats.row(row)[c] == most_float);
      });
    }
}

// A NaN anywhere in a window, the first tap and the last too, is seen.
TEST(image_max_pool_keeps_nan) {
  constexpr size_t kSide = 3;
  for (size_t at = 0; at < kSide * kSide; ++at) {
    Random random(at);
    FloatRows x(kSide * kSide, 16, Filling::plain, random), out(1, 16);
    x.row(at)[5] = std::numeric_limits<float>::quiet_NaN();
    MaxPoolArgs args{};
    args.window = {kSide, kSide, kSide, 1, 0, 0, 1, 1};
    args.x_stride = x.stride();
    args.channels = 16;
    args.lines = 1;
    args.x = x.row(0);
    args.out = out.row(0);
    args.out_stride = out.stride();
    scalar().max_pool(args);
    for (size_t c = 0; c < 16; ++c) CHECK(std::isnan(out.row(0)[c]) == (c == 5));
  }
}

TEST(image_bytes_of_floats) {
  for (const int columns : {1, 16, 70, 130}) {
    constexpr size_t kRows = 9;
    const size_t n = static_cast<size_t>(columns);
    Random random(n);
    FloatRows x(kRows, n);
    for (size_t row = 0; row < kRows; ++row)
      for (size_t c = 0; c < n; ++c) x.row(row)[c] = (static_cast<float>(random.below(4000)) - 2000.0f) * 0.25f;
    Vector scale(columns, 8, 0.25f, random);
    Bytes out(kRows, columns);
    scalar().quantize_static({x.row(0), x.stride(), kRows, n, scale.data.data(), 77.0f, out.data.data(), out.stride});
    for (size_t row = 0; row < kRows; ++row)
      for (size_t c = 0; c < n; ++c)
        CHECK(out.at(row, c) ==
              byte_of(static_cast<double>(x.row(row)[c]) * static_cast<double>(scale.data[c]) + 77.0));
  }
}

TEST(image_gate) {
  for (const int columns : {1, 16, 70, 130}) {
    constexpr size_t kRows = 9;
    const size_t n = static_cast<size_t>(columns);
    Random random(n);
    Bytes x(kRows, columns, random), out(kRows, columns);
    Vector gate(columns, 16, 0x1p-4f, random), scale(columns, 16, 0x1p-3f, random);
    FloatRows x_floats(kRows, n, Filling::plain, random), floats(kRows, n);
    GateArgs args{};
    args.rows = kRows;
    args.columns = n;
    args.gate = gate.data.data();
    args.x_u8 = x.data.data();
    args.x_stride = x.stride;
    args.zero = 90.0f;
    args.scale = scale.data.data();
    args.output_zero = 60.0f;
    args.out_u8 = out.data.data();
    args.out_stride = out.stride;
    scalar().gate(args);
    args = {};
    args.rows = kRows;
    args.columns = n;
    args.gate = gate.data.data();
    args.x = x_floats.row(0);
    args.x_stride = x_floats.stride();
    args.out = floats.row(0);
    args.out_stride = floats.stride();
    scalar().gate(args);
    for (size_t row = 0; row < kRows; ++row)
      for (size_t c = 0; c < n; ++c) {
        const double factor = static_cast<double>(gate.data[c]) * static_cast<double>(scale.data[c]);
        CHECK(out.at(row, c) == byte_of((x.at(row, c) - 90) * factor + 60.0));
        CHECK(floats.row(row)[c] == x_floats.row(row)[c] * gate.data[c]);
      }
  }
}

TEST(image_pool_of_bytes_is_exact) {
  for (const int columns : {1, 16, 70, 130})
    for (const size_t rows : {size_t{1}, size_t{49}, size_t{1000}}) {
      const size_t n = static_cast<size_t>(columns);
      Random random(n);
      Bytes x(rows, columns, random);
      Vector scale(columns, 8, 0x1p-5f, random);
      FloatRows out(1, n);
      scalar().pool_u8({x.data.data(), x.stride, rows, n, 99, scale.data.data(), out.row(0)});
      for (size_t c = 0; c < n; ++c) {
        int64_t sum = 0;
        for (size_t row = 0; row < rows; ++row) sum += x.at(row, c) - 99;
        CHECK(static_cast<double>(out.row(0)[c]) == static_cast<double>(sum) * static_cast<double>(scale.data[c]));
      }
    }
  // The longest: 2^20 rows of 255.
  constexpr size_t kMost = size_t{1} << 20;
  Guarded<uint8_t> x(kMost * 64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = i % 64 == 0 ? 255 : 0;
  Guarded<float> scale(16), out(16);
  for (size_t i = 0; i < 16; ++i) scale[i] = i == 0 ? 0.5f : 0.0f;
  for (const std::string& isa : available_isas()) {
    kernels_of(isa)->pool_u8({x.data(), 64, kMost, 1, 0, scale.data(), out.data()});
    CHECK(out[0] == 255.0f * 0x1p19f);
  }
}

}  // namespace embedrt::test
