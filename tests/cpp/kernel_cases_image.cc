// The kernels of images that are not a product of matrices: depthwise convolutions, pools, bytes of a grid.
#include <limits>

#include "kernel_cases.h"

namespace embedrt::test {
namespace {

// Images as kernels take them: a row of bytes for each pixel, zero past the channels. As outputs: with room for a
// stride that is longer than need be.
class ByteRows {
 public:
  ByteRows(size_t rows, size_t columns)
      : rows_(rows), columns_(columns), stride_(quantized_stride(columns) + 64), data_(rows * stride_) {}
  ByteRows(size_t rows, size_t columns, Random& random) : ByteRows(rows, columns) {
    for (size_t i = 0; i < data_.size(); ++i)
      data_[i] = i % stride_ < columns ? static_cast<uint8_t>(random.next() >> 24) : 0;
  }

  uint8_t* data() { return data_.data(); }
  size_t stride() const { return stride_; }

  // Rows first … last − 1 are written and zero past their columns, the others are not. Appends those to `result`.
  void collect(std::vector<uint8_t>& result, size_t first, size_t last) {
    data_.expect_untouched(0, first * stride_, "bytes");
    for (size_t row = first; row < last; ++row) {
      append(result, static_cast<const void*>(&data_[row * stride_]), columns_);
      for (size_t c = columns_; c < stride_; ++c)
        if (data_[row * stride_ + c] != 0) throw std::runtime_error("bytes: not zero past the last column");
    }
    data_.expect_untouched(last * stride_, (rows_ - last) * stride_, "bytes");
    data_.expect_guards("bytes");
  }

 private:
  size_t rows_, columns_, stride_;
  Guarded<uint8_t> data_;
};

// Floats of an image's output of which only some lines are written.
struct Lines {
  size_t first, count;
};

void collect(FloatRows& out, size_t width, size_t columns, Lines lines, std::vector<uint8_t>& result) {
  std::vector<uint8_t> all;
  out.collect(all, "floats");
  const size_t line = width * columns * sizeof(float);
  result.insert(result.end(), all.begin() + static_cast<ptrdiff_t>(lines.first * line),
                all.begin() + static_cast<ptrdiff_t>((lines.first + lines.count) * line));
}

struct Pads {
  size_t top, left, bottom, right;
};

Window window_of(size_t height, size_t width, size_t kernel, size_t stride, Pads pads) {
  const auto outputs = [&](size_t extent, size_t padding) { return (extent + padding - kernel) / stride + 1; };
  return {height,
          width,
          kernel,
          stride,
          pads.top,
          pads.left,
          outputs(height, pads.top + pads.bottom),
          outputs(width, pads.left + pads.right)};
}

std::string describe(const Window& w, size_t channels, Lines lines) {
  const auto by = [](size_t a, size_t b) { return std::to_string(a) + " x " + std::to_string(b); };
  return by(w.height, w.width) + " x " + std::to_string(channels) + ", kernel " + std::to_string(w.kernel) +
         ", stride " + std::to_string(w.stride) + ", pads " + by(w.pad_top, w.pad_left) + ", out " +
         by(w.out_height, w.out_width) + ", lines " + by(lines.first, lines.count);
}

// What becomes of the sums.
struct Result {
  Activation activation = Activation::none;
  bool bytes = true;
  bool output_scale = false;
  Filling filling = Filling::plain;
};

std::string describe(Result result) {
  return ", activation " + std::to_string(static_cast<uint32_t>(result.activation)) +
         (result.bytes ? ", bytes" : ", floats") + (result.output_scale ? " with a scale" : "") +
         (result.filling == Filling::special ? ", special" : "");
}

// A float for each column around `middle`, zeros to the end of the last sixteen.
struct Columns {
  Guarded<float> values;

  Columns(size_t n, float size, float middle, Filling filling, Random& random) : values(round_up(n, 16)) {
    const float special[] = {0.0f,
                             0x1p-140f,
                             -0x1p120f,
                             0x1p127f,
                             std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity(),
                             std::numeric_limits<float>::quiet_NaN()};
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = i < n ? middle + random.unit() * size : 0.0f;
      if (filling == Filling::special && i < n && i % 3 == 1) values[i] = special[i / 3 % std::size(special)];
    }
  }
};

KernelCase depthwise_case(bool integer, Window window, size_t channels, Lines lines, Result result) {
  return {integer ? "depthwise_i8" : "depthwise_f32", describe(window, channels, lines) + describe(result),
          [=](const Kernels& kernels) {
            Random random(window.height * 1000003 + window.width * 1009 + channels * 31 + window.kernel);
            const size_t pixels = window.height * window.width, taps = window.kernel * window.kernel;
            const size_t outputs = window.out_height * window.out_width;
            const Filling filling = result.filling;
            ByteRows bytes(pixels, channels, random), out_bytes(outputs, channels);
            FloatRows floats(pixels, channels, filling, random), out_floats(outputs, channels);
            // What stands past the columns of a table must not matter.
            const size_t stride = round_up(channels, 64);
            Guarded<int8_t> weight_i8(taps * stride);
            for (size_t i = 0; i < weight_i8.size(); ++i) weight_i8[i] = static_cast<int8_t>(random.next() >> 24);
            FloatRows weight_f32(taps, channels, Filling::plain, random);
            const float size = 0x1p-7f / static_cast<float>(window.kernel);
            Columns scale(channels, size, 0.0f, filling, random), bias(channels, 200.0f, 100.0f, filling, random);
            Columns output_scale(channels, 0.5f, 1.0f, filling, random);
            Guarded<uint8_t> scratch((kernels.*(integer ? &Kernels::depthwise_i8_scratch
                                                        : &Kernels::depthwise_f32_scratch))(window, channels));
            DepthwiseArgs args{};
            args.window = window;
            args.channels = channels;
            args.first_line = lines.first;
            args.lines = lines.count;
            args.finish.scale = integer ? scale.values.data() : nullptr;
            args.finish.bias = bias.values.data();
            args.finish.activation = result.activation;
            if (result.bytes) {
              args.finish.out_u8 = out_bytes.data();
              args.finish.out_stride = out_bytes.stride();
              args.finish.output_scale = result.output_scale ? output_scale.values.data() : nullptr;
              args.finish.output_zero = 17.0f;
            } else {
              args.finish.out = out_floats.row(0);
              args.finish.out_stride = out_floats.stride();
            }
            args.scratch = scratch.data();
            if (integer) {
              args.x_stride = bytes.stride();
              args.weight_stride = stride;
              kernels.depthwise_i8({args, bytes.data(), 113, weight_i8.data()});
            } else {
              args.x_stride = floats.stride();
              args.weight_stride = weight_f32.stride();
              kernels.depthwise_f32({args, floats.row(0), weight_f32.row(0)});
            }
            scratch.expect_guards("scratch");
            std::vector<uint8_t> found;
            const size_t width = window.out_width;
            if (result.bytes)
              out_bytes.collect(found, lines.first * width, (lines.first + lines.count) * width);
            else
              collect(out_floats, width, channels, lines, found);
            return found;
          }};
}

KernelCase max_pool_case(Window window, size_t channels, Lines lines, bool bytes, Filling filling) {
  const Result result = {.bytes = bytes, .filling = filling};
  return {"max_pool", describe(window, channels, lines) + describe(result), [=](const Kernels& kernels) {
            Random random(window.height * 1000003 + window.width * 1009 + channels * 31 + window.kernel);
            const size_t pixels = window.height * window.width, outputs = window.out_height * window.out_width;
            ByteRows x_bytes(pixels, channels, random), out_bytes(outputs, channels);
            FloatRows x_floats(pixels, channels, filling, random), out_floats(outputs, channels);
            MaxPoolArgs args{};
            args.window = window;
            args.channels = channels;
            args.first_line = lines.first;
            args.lines = lines.count;
            if (bytes) {
              args.x_u8 = x_bytes.data();
              args.x_stride = x_bytes.stride();
              args.out_u8 = out_bytes.data();
              args.out_stride = out_bytes.stride();
            } else {
              args.x = x_floats.row(0);
              args.x_stride = x_floats.stride();
              args.out = out_floats.row(0);
              args.out_stride = out_floats.stride();
            }
            kernels.max_pool(args);
            std::vector<uint8_t> found;
            const size_t width = window.out_width;
            if (bytes)
              out_bytes.collect(found, lines.first * width, (lines.first + lines.count) * width);
            else
              collect(out_floats, width, channels, lines, found);
            return found;
          }};
}

std::string describe(size_t rows, size_t columns, Filling filling) {
  return std::to_string(rows) + " rows of " + std::to_string(columns) +
         (filling == Filling::special ? ", special" : ", plain");
}

KernelCase quantize_static_case(size_t rows, size_t columns, Filling filling) {
  return {"quantize_static", describe(rows, columns, filling), [=](const Kernels& kernels) {
            Random random(rows * 1009 + columns);
            FloatRows x(rows, columns, filling, random);
            Columns scale(columns, 30.0f, 40.0f, filling, random);
            ByteRows out(rows, columns);
            kernels.quantize_static(
                {x.row(0), x.stride(), rows, columns, scale.values.data(), 121.0f, out.data(), out.stride()});
            std::vector<uint8_t> found;
            out.collect(found, 0, rows);
            return found;
          }};
}

KernelCase gate_case(size_t rows, size_t columns, bool bytes, Filling filling) {
  return {"gate", describe(rows, columns, filling) + (bytes ? ", bytes" : ", floats"), [=](const Kernels& kernels) {
            Random random(rows * 1009 + columns);
            FloatRows x(rows, columns, filling, random), out(rows, columns);
            ByteRows x_bytes(rows, columns, random), out_bytes(rows, columns);
            Columns gate(columns, 1.0f, 0.5f, filling, random), scale(columns, 1.0f, 1.5f, filling, random);
            GateArgs args{};
            args.rows = rows;
            args.columns = columns;
            args.gate = gate.values.data();
            if (bytes) {
              args.x_u8 = x_bytes.data();
              args.x_stride = x_bytes.stride();
              args.zero = 97.0f;
              args.scale = scale.values.data();
              args.output_zero = 31.0f;
              args.out_u8 = out_bytes.data();
              args.out_stride = out_bytes.stride();
            } else {
              args.x = x.row(0);
              args.x_stride = x.stride();
              args.out = out.row(0);
              args.out_stride = out.stride();
            }
            kernels.gate(args);
            std::vector<uint8_t> found;
            if (bytes)
              out_bytes.collect(found, 0, rows);
            else
              out.collect(found, "output");
            return found;
          }};
}

KernelCase pool_u8_case(size_t rows, size_t columns, Filling filling) {
  return {"pool_u8", describe(rows, columns, filling), [=](const Kernels& kernels) {
            Random random(rows * 1009 + columns);
            ByteRows x(rows, columns, random);
            Columns scale(columns, 0.1f, 0.2f, filling, random);
            FloatRows out(1, columns);
            kernels.pool_u8({x.data(), x.stride(), rows, columns, 200, scale.values.data(), out.row(0)});
            std::vector<uint8_t> found;
            out.collect(found, "output");
            return found;
          }};
}

// Calls add(window, lines) for images and paddings of every kind, also images that are smaller than the kernel.
template <class Add>
void each_window(size_t kernel, size_t stride, bool full, Add add) {
  const size_t half = kernel / 2, most = kernel - 1;
  const Pads kinds[] = {{0, 0, 0, 0}, {half, half, half, half}, {0, most, most, 0}, {most, 0, half, most}};
  struct Size {
    size_t height, width;
  };
  const Size sizes[] = {{1, 1}, {2, 4}, {7, 5}, {9, 14}, {6, 61}};
  for (const Size& size : sizes)
    for (const Pads& pads : kinds) {
      if (size.height + pads.top + pads.bottom < kernel || size.width + pads.left + pads.right < kernel) continue;
      if (!full && (size.width == 14 || pads.bottom == most)) continue;
      const Window window = window_of(size.height, size.width, kernel, stride, pads);
      add(window, Lines{0, window.out_height});
      if (window.out_height >= 4) add(window, Lines{1, window.out_height - 2});
    }
}

}  // namespace

std::vector<KernelCase> image_cases(Amount amount) {
  const bool full = amount == Amount::full;
  const std::vector<size_t> channels =
      full ? std::vector<size_t>{1, 15, 16, 17, 32, 33, 63, 64, 65, 130} : std::vector<size_t>{17, 64, 100};
  const Result results[] = {
      {}, {.bytes = false}, {Activation::relu6, false}, {Activation::silu, true, true}, {Activation::none, true, true}};
  std::vector<KernelCase> cases;
  for (const size_t kernel : {size_t{1}, size_t{2}, size_t{3}, size_t{5}, size_t{7}})
    for (size_t stride = 1; stride <= 3; ++stride)
      each_window(kernel, stride, full, [&](const Window& window, Lines lines) {
        for (const size_t c : channels) {
          // Bytes out of the sums alone, and one other way each.
          const Result& other = results[cases.size() / 3 % std::size(results)];
          cases.push_back(depthwise_case(true, window, c, lines, {}));
          cases.push_back(depthwise_case(true, window, c, lines, other));
          cases.push_back(depthwise_case(false, window, c, lines, other));
          if (c < 64) cases.push_back(max_pool_case(window, c, lines, false, Filling::special));
          cases.push_back(max_pool_case(window, c, lines, true, Filling::plain));
        }
      });
  const Window window = window_of(7, 9, 3, 1, {1, 1, 1, 1});
  for (uint32_t activation = 0; activation < kActivations; ++activation)
    for (const Filling filling : {Filling::plain, Filling::special})
      for (const size_t c : {size_t{20}, size_t{81}})
        for (const bool integer : {true, false}) {
          const auto act = static_cast<Activation>(activation);
          for (const bool bytes : {true, false})
            cases.push_back(depthwise_case(integer, window, c, {0, 7}, {act, bytes, false, filling}));
          cases.push_back(depthwise_case(integer, window, c, {0, 7}, {act, true, true, filling}));
        }
  // More taps than a group of lines or a register's worth; many more channels than a block.
  cases.push_back(depthwise_case(true, window_of(20, 40, 17, 2, {8, 8, 8, 8}), 70, {0, 10}, {}));
  cases.push_back(depthwise_case(true, window_of(5, 6, 3, 1, {1, 1, 1, 1}), 960, {0, 5}, {}));

  for (const size_t rows : {size_t{1}, size_t{30}})
    for (const size_t columns :
         {size_t{1}, size_t{15}, size_t{16}, size_t{17}, size_t{63}, size_t{64}, size_t{65}, size_t{130}})
      for (const Filling filling : {Filling::plain, Filling::special}) {
        cases.push_back(quantize_static_case(rows, columns, filling));
        cases.push_back(gate_case(rows, columns, true, filling));
        cases.push_back(gate_case(rows, columns, false, filling));
        cases.push_back(pool_u8_case(rows, columns, filling));
        cases.push_back(pool_u8_case(10 * rows + 3, columns, filling));
      }
  cases.push_back(pool_u8_case(70000, 3, Filling::plain));
  return cases;
}

}  // namespace embedrt::test
