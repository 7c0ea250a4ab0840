// conv_i8 and conv_f32.
#include <limits>

#include "kernel_cases.h"

namespace embedrt::test {
namespace {

struct Shape {
  size_t height, width, channels, n;
  size_t kernel = 1, stride = 1;
  size_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  bool pixels = false;     // of x: dense channels, bytes
  bool classes = false;    // of the bias: one row for each border class
  size_t first = 0;        // output
  size_t left_out = 0;     // outputs at the end
  size_t more_stride = 0;  // of the output, beyond the least

  Window window() const {
    return {height,
            width,
            kernel,
            stride,
            pad_top,
            pad_left,
            (height + pad_top + pad_bottom - kernel) / stride + 1,
            (width + pad_left + pad_right - kernel) / stride + 1};
  }
  size_t k() const { return kernel * kernel * channels; }
};

enum class Residual { none, floats, bytes };

struct Ending {
  bool bytes = true;
  Residual residual = Residual::none;
  Activation activation = Activation::none;
  bool output_scale = false;
  Filling filling = Filling::plain;
};

std::string describe(const Shape& s, const Ending& e) {
  const auto text = [](const char* name, size_t value) { return std::string(name) + std::to_string(value); };
  return std::to_string(s.height) + " x " + std::to_string(s.width) + text(" x ", s.channels) + text(" to ", s.n) +
         text(", kernel ", s.kernel) + text(", stride ", s.stride) + text(", padded ", s.pad_top) +
         text(" ", s.pad_left) + text(" ", s.pad_bottom) + text(" ", s.pad_right) + (s.pixels ? ", pixels" : "") +
         (s.classes ? ", border classes" : "") + text(", from ", s.first) + text(" to the last but ", s.left_out) +
         text(", longer rows by ", s.more_stride) + (e.bytes ? ", to bytes" : ", to floats") +
         text(", residual ", static_cast<size_t>(e.residual)) +
         text(", activation ", static_cast<size_t>(e.activation)) + (e.output_scale ? ", output scale" : "") +
         (e.filling == Filling::special ? ", special" : "");
}

// What a case needs beside its input and its weights.
class Outputs {
 public:
  Outputs(const Shape& shape, const Ending& ending, bool integer, Random& random)
      : shape_(shape),
        ending_(ending),
        window_(shape.window()),
        rows_(window_.out_height * window_.out_width),
        padded_(round_up(shape.n, 16)),
        stride_((ending.bytes ? round_up(shape.n, 64) : padded_) + shape.more_stride),
        classes_(shape.classes ? borders(window_).classes() : 1),
        scale_(padded_),
        bias_(padded_ * classes_),
        residual_scale_(padded_),
        output_scale_(padded_),
        residual_(rows_, shape.n, ending.filling, random),
        residual_bytes_(rows_ * round_up(shape.n, 64)),
        floats_(ending.bytes ? 0 : rows_ * stride_),
        bytes_(ending.bytes ? rows_ * stride_ : 0) {
    // Sums to about the range of a byte.
    const float least = integer ? 0x1p-12f / static_cast<float>(shape.k()) : 1.0f;
    for (size_t i = 0; i < padded_; ++i) {
      scale_[i] = random.spread() * least * 64.0f;
      residual_scale_[i] = random.spread() * 0.25f;
      output_scale_[i] = random.spread() * 4.0f;
    }
    for (size_t i = 0; i < bias_.size(); ++i) bias_[i] = random.spread() * 32.0f;
    const float special[] = {std::numeric_limits<float>::quiet_NaN(),
                             std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity(),
                             3e38f,
                             -3e38f,
                             0x1p40f,
                             -0x1p40f,
                             -0.0f,
                             254.5f,
                             255.5f,
                             0.5f,
                             -0.5f};
    if (ending.filling == Filling::special)
      for (size_t i = 0; i < bias_.size(); ++i) bias_[i] = special[i % std::size(special)];
    // What stands past the last column must not matter.
    for (size_t i = shape.n; i < padded_; ++i) {
      scale_[i] = residual_scale_[i] = output_scale_[i] = std::numeric_limits<float>::quiet_NaN();
      for (size_t c = 0; c < classes_; ++c) bias_[c * padded_ + i] = std::numeric_limits<float>::quiet_NaN();
    }
    const size_t residual_stride = round_up(shape.n, 64);
    for (size_t i = 0; i < residual_bytes_.size(); ++i)
      residual_bytes_[i] = i % residual_stride < shape.n ? static_cast<uint8_t>(random.next() >> 24) : 0;
  }

  void set(ConvArgs& args, bool integer) {
    args.window = window_;
    args.channels = shape_.channels;
    args.n = shape_.n;
    args.first = shape_.first;
    args.rows = rows_ - shape_.first - shape_.left_out;
    args.finish = {
        .scale = integer ? scale_.data() : nullptr,
        .bias = bias_.data(),
        .bias_stride = shape_.classes ? padded_ : 0,
        .residual = ending_.residual == Residual::floats ? residual_.row(0) : nullptr,
        .residual_u8 = ending_.residual == Residual::bytes ? residual_bytes_.data() : nullptr,
        .residual_stride = ending_.residual == Residual::floats ? residual_.stride() : round_up(shape_.n, 64),
        .residual_scale = ending_.residual == Residual::bytes ? residual_scale_.data() : nullptr,
        .activation = ending_.activation,
        .out = ending_.bytes ? nullptr : floats_.data(),
        .out_u8 = ending_.bytes ? bytes_.data() : nullptr,
        .out_stride = stride_,
        .output_scale = ending_.output_scale ? output_scale_.data() : nullptr,
        .output_zero = ending_.output_scale ? 100.0f : 0.0f};
  }

  std::vector<uint8_t> collect() {
    const size_t last = rows_ - shape_.left_out;
    std::vector<uint8_t> result;
    for (size_t r = shape_.first; r < last; ++r) {
      if (ending_.bytes) {
        append(result, static_cast<const void*>(&bytes_[r * stride_]), shape_.n);
        for (size_t c = shape_.n; c < stride_; ++c)
          if (bytes_[r * stride_ + c] != 0) throw std::runtime_error("output: not zero past the last column");
      } else {
        append(result, &floats_[r * stride_], shape_.n);
        floats_.expect_untouched(r * stride_ + padded_, stride_ - padded_, "output");
      }
    }
    expect_only(bytes_, last);
    expect_only(floats_, last);
    return result;
  }

 private:
  template <class T>
  void expect_only(Guarded<T>& out, size_t last) {
    if (out.size() > 0) {
      out.expect_untouched(0, shape_.first * stride_, "output");
      out.expect_untouched(last * stride_, shape_.left_out * stride_, "output");
    }
    out.expect_guards("output");
  }

  Shape shape_;
  Ending ending_;
  Window window_;
  size_t rows_, padded_, stride_, classes_;
  Guarded<float> scale_, bias_, residual_scale_, output_scale_;
  FloatRows residual_;
  Guarded<uint8_t> residual_bytes_;
  Guarded<float> floats_;
  Guarded<uint8_t> bytes_;
};

uint64_t seed(const Shape& s) {
  return ((s.height * 31 + s.width) * 1009 + s.channels) * 1009 + s.n * 31 + s.kernel;
}

KernelCase conv_i8_case(Shape shape, Ending ending) {
  return {"conv_i8", describe(shape, ending), [=](const Kernels& kernels) {
            Random random(seed(shape));
            Outputs outputs(shape, ending, true, random);
            const size_t x_stride = shape.pixels ? shape.channels : round_up(shape.channels, 64);
            Guarded<uint8_t> x((shape.height * shape.width + (shape.pixels ? 0 : 15)) * x_stride);
            for (size_t i = 0; i < x.size(); ++i)
              x[i] = i % x_stride < shape.channels ? static_cast<uint8_t>(random.next() >> 24) : 0;
            // Whatever stands past the last column or past k must not matter.
            Guarded<int8_t> weight(round_up(shape.n, 16) * round_up(shape.k(), 4) + 1024);
            for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<int8_t>(random.next() >> 24);
            Guarded<uint8_t> scratch(kernels.conv_i8_scratch(shape.k()));
            ConvI8Args args{};
            outputs.set(args, true);
            args.x_stride = x_stride;
            args.scratch = scratch.data();
            args.x = x.data();
            args.pad = 77;
            args.weight = weight.data();
            kernels.conv_i8(args);
            scratch.expect_guards("scratch");
            return outputs.collect();
          }};
}

KernelCase conv_f32_case(Shape shape, Ending ending) {
  return {"conv_f32", describe(shape, ending), [=](const Kernels& kernels) {
            Random random(seed(shape));
            Outputs outputs(shape, ending, false, random);
            const size_t pixels = shape.height * shape.width;
            FloatRows x(pixels, shape.channels, ending.filling, random);
            Guarded<uint8_t> bytes(pixels * shape.channels);
            for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(random.next() >> 24);
            Guarded<float> weight(round_up(shape.n, 16) * shape.k());
            for (size_t i = 0; i < weight.size(); ++i) weight[i] = random.spread() * (shape.pixels ? 0x1p-4f : 4.0f);
            Guarded<uint8_t> scratch(kernels.conv_f32_scratch(shape.k()));
            ConvF32Args args{};
            outputs.set(args, false);
            args.x_stride = shape.pixels ? shape.channels : x.stride();
            args.scratch = scratch.data();
            args.x = shape.pixels ? nullptr : x.row(0);
            args.x_u8 = shape.pixels ? bytes.data() : nullptr;
            args.weight = weight.data();
            kernels.conv_f32(args);
            scratch.expect_guards("scratch");
            return outputs.collect();
          }};
}

constexpr size_t kQuickProducts = 40'000;

}  // namespace

std::vector<KernelCase> conv_cases(Amount amount) {
  const bool full = amount == Amount::full;
  using Sizes = std::vector<size_t>;
  const Sizes channels = full ? Sizes{1, 3, 15, 16, 17, 63, 64, 65, 128} : Sizes{3, 17, 64};
  const Sizes columns = full ? Sizes{1, 15, 16, 17, 33, 48, 64, 65, 130, 192} : Sizes{1, 17, 64, 130};
  std::vector<KernelCase> cases;
  const auto both = [&](const Shape& shape, const Ending& ending = {}) {
    cases.push_back(conv_i8_case(shape, ending));
    // An emulated fma is slow: of the quick cases, floats have the smaller windows.
    if (full || shape.kernel * shape.kernel * shape.channels * shape.n <= kQuickProducts)
      cases.push_back(conv_f32_case(shape, ending));
  };
  const auto padded = [](Shape shape, size_t top, size_t left, size_t bottom, size_t right) {
    shape.pad_top = top;
    shape.pad_left = left;
    shape.pad_bottom = bottom;
    shape.pad_right = right;
    return shape;
  };
  for (const size_t c : channels)
    for (const size_t n : columns) {
      both({.height = 6, .width = 7, .channels = c, .n = n});
      both({.height = 17, .width = 3, .channels = c, .n = n, .first = 2, .left_out = 3});
    }
  size_t turn = 0;
  for (const size_t c : channels)
    for (const size_t kernel : Sizes{1, 2, 3, 5, 7})
      for (const size_t stride : Sizes{1, 2, kernel}) {
        const size_t n = columns[turn++ % columns.size()];
        const Shape shape = {.height = 9, .width = 11, .channels = c, .n = n, .kernel = kernel, .stride = stride};
        both(shape);
        if (kernel > 1) {
          both(padded(shape, kernel / 2, kernel / 2, kernel / 2, kernel / 2));
          both(padded(shape, 0, 1, kernel - 1, 0));
        }
        Shape pixels = padded(shape, 1 % kernel, 0, kernel / 2, (kernel - 1) / 2);
        pixels.pixels = true;
        both(pixels);
        pixels.classes = true;
        const Window window = pixels.window();
        pixels.first = window.out_width - 1;
        pixels.left_out = window.out_height > 2 ? 2 : 0;
        both(pixels);
      }
  // Padding as wide as the kernel, a window wider than the image, and outputs that see padding alone.
  both(padded({.height = 1, .width = 1, .channels = 64, .n = 20, .kernel = 7}, 3, 3, 3, 3));
  both(padded({.height = 2, .width = 3, .channels = 5, .n = 20, .kernel = 3}, 3, 3, 3, 3));
  both(padded({.height = 3, .width = 3, .channels = 64, .n = 20}, 0, 0, 1, 1));
  both(padded({.height = 3, .width = 3, .channels = 64, .n = 20}, 1, 1, 0, 0));
  // Every way of a copy, patches, and more rows than a chunk of windows holds.
  for (const size_t kernel : Sizes{4, 6, 9, 14, 16, 32})
    both({.height = 2 * kernel,
          .width = 3 * kernel + 1,
          .channels = 3,
          .n = 40,
          .kernel = kernel,
          .stride = kernel,
          .pixels = true});
  both({.height = 20, .width = 23, .channels = 64, .n = 24});
  both(padded({.height = 20, .width = 23, .channels = 24, .n = 24, .kernel = 3}, 1, 1, 1, 1));
  if (full) both(padded({.height = 14, .width = 14, .channels = 256, .n = 96, .kernel = 3}, 1, 1, 1, 1));
  for (size_t rows = 1; rows <= (full ? 70 : 5); ++rows)
    both({.height = 1, .width = rows, .channels = 70, .n = 40, .more_stride = 64});

  for (const bool bytes : {true, false})
    for (const Residual residual : {Residual::none, Residual::floats, Residual::bytes})
      for (uint32_t activation = 0; activation < kActivations; ++activation)
        for (const bool output_scale : {false, true})
          for (const Filling filling : {Filling::plain, Filling::special}) {
            if (output_scale && !bytes) continue;
            const Ending ending = {bytes, residual, static_cast<Activation>(activation), output_scale, filling};
            both({.height = 5, .width = 7, .channels = 17, .n = 83}, ending);
            if (full) {
              both({.height = 2, .width = 3, .channels = 17, .n = 128}, ending);
              both({.height = 3, .width = 3, .channels = 4, .n = 5, .more_stride = 128}, ending);
              both(padded({.height = 5,
                           .width = 7,
                           .channels = 3,
                           .n = 37,
                           .kernel = 3,
                           .stride = 2,
                           .pixels = true,
                           .classes = true,
                           .first = 1,
                           .left_out = 1},
                          1, 1, 1, 1),
                   ending);
            }
          }
  return cases;
}

}  // namespace embedrt::test
