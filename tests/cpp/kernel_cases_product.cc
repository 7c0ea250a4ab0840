// dot, quantize and the linear layers.
#include <limits>

#include "kernel_cases.h"

namespace embedrt::test {
namespace {

// Bytes of weights and activations: anything, or the ends of the range, where sums are largest.
enum class Bytes { random, lowest, highest, ends };

int8_t weight_byte(Bytes bytes, Random& random) {
  if (bytes == Bytes::lowest) return -128;
  if (bytes == Bytes::highest) return 127;
  if (bytes == Bytes::ends) return random.next() >> 31 ? 127 : -128;
  return static_cast<int8_t>(random.next() >> 24);
}

// A weight in panels, with the padding of a hostile file: what stands past the last column or past k must not matter.
struct Panels {
  size_t stride, count;
  Guarded<int8_t> data;

  Panels(size_t n, size_t k, Bytes bytes, Random& random)
      : stride(round_up(k, 4) * 16), count(round_up(n, 16) / 16), data(stride * count + 1024) {
    for (size_t i = 0; i < data.size(); ++i) data[i] = weight_byte(bytes, random);
  }
};

struct Activations {
  size_t plane, stride;
  Guarded<uint8_t> data;

  Activations(size_t rows, size_t k, Bytes bytes, Random& random, uint32_t planes = 1)
      : plane(round_up(k, 64)), stride(planes * plane), data(round_up(rows, 16) * stride) {
    for (size_t i = 0; i < data.size(); ++i) {
      const bool padding = i < rows * stride && i % plane >= k;
      data[i] = static_cast<uint8_t>(padding ? 0 : bytes == Bytes::random ? random.next() >> 24 : 255);
    }
  }
};

std::string shape(size_t rows, size_t k, size_t n, uint32_t planes = 1) {
  return std::string(planes == 2 ? "two planes, " : "") + std::to_string(rows) + " rows, k " + std::to_string(k) +
         ", n " + std::to_string(n);
}

KernelCase dot_case(size_t rows, size_t k, size_t n, Bytes bytes) {
  return {"dot", shape(rows, k, n), [=](const Kernels& kernels) {
            Random random(rows * 1000003 + k * 1009 + n);
            const size_t padded = round_up(rows, 16);
            Activations a(rows, k, bytes, random);
            Panels w(n, k, bytes, random);
            const size_t stride = w.count * 16 + 16;
            Guarded<int32_t> acc(padded * stride);
            kernels.dot(a.data.data(), a.stride, rows, w.data.data(), w.stride, k, w.count, acc.data(), stride);
            std::vector<uint8_t> result;
            for (size_t r = 0; r < padded; ++r) {
              if (r < rows) append(result, static_cast<const void*>(&acc[r * stride]), w.count * 16 * sizeof(int32_t));
              acc.expect_untouched(r * stride + w.count * 16, 16, "sums");
            }
            acc.expect_guards("sums");
            return result;
          }};
}

KernelCase quantize_case(size_t rows, size_t columns, Filling filling, uint32_t planes) {
  return {"quantize", shape(rows, columns, 0, planes), [=](const Kernels& kernels) {
            Random random(rows * 1000003 + columns);
            FloatRows x(rows, columns, filling, random);
            const size_t plane = round_up(columns, 64), stride = planes * plane;
            Guarded<uint8_t> data(round_up(rows, 16) * stride);
            Guarded<float> scale(rows + 16), offset(rows + 16);
            kernels.quantize(
                {x.row(0), x.stride(), rows, columns, {data.data(), stride, scale.data(), offset.data(), planes}});
            std::vector<uint8_t> result;
            append(result, static_cast<const void*>(data.data()), rows * stride);
            append(result, scale.data(), rows);
            append(result, offset.data(), rows);
            for (size_t row = 0; row < rows * planes; ++row)
              for (size_t c = columns; c < plane; ++c)
                if (data[row * plane + c] != 0) throw std::runtime_error("bytes: not zero past the last column");
            data.expect_untouched(rows * stride, data.size() - rows * stride, "bytes");
            data.expect_guards("bytes");
            scale.expect_untouched(rows, 16, "scales");
            scale.expect_guards("scales");
            offset.expect_untouched(rows, 16, "offsets");
            offset.expect_guards("offsets");
            return result;
          }};
}

struct Epilogue {
  Activation activation = Activation::none;
  bool bias = true;
  bool residual = false;
  Filling filling = Filling::plain;
  uint32_t planes = 1;  // of the input
};

// Vectors of an output's columns: values, then NaN to the end of the panel.
void fill_columns(Guarded<float>& values, size_t n, Epilogue epilogue, Random& random) {
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = i < n ? random.spread() : std::numeric_limits<float>::quiet_NaN();
  if (epilogue.filling == Filling::plain) return;
  const float special[] = {0.0f,
                           -0.0f,
                           0x1p-140f,
                           0x1p127f,
                           std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN()};
  for (size_t i = 0; i < n; i += 3) values[i] = special[i / 3 % std::size(special)];
}

std::string describe(size_t rows, size_t k, size_t n, Epilogue epilogue) {
  return shape(rows, k, n, epilogue.planes) + ", activation " + std::to_string(static_cast<int>(epilogue.activation)) +
         (epilogue.bias ? ", bias" : "") + (epilogue.residual ? ", residual" : "") +
         (epilogue.filling == Filling::special ? ", special" : "");
}

KernelCase linear_i8_case(size_t rows, size_t k, size_t n, Epilogue epilogue, Bytes bytes = Bytes::random) {
  return {"linear_i8", describe(rows, k, n, epilogue), [=](const Kernels& kernels) {
            Random random(rows * 1000003 + k * 1009 + n);
            Activations a(rows, k, bytes, random, epilogue.planes);
            Panels w(n, k, bytes, random);
            Guarded<float> scale(w.count * 16), bias(w.count * 16), row_scale(rows), row_offset(rows);
            Guarded<int32_t> sums(w.count * 16);
            fill_columns(scale, n, epilogue, random);
            fill_columns(bias, n, epilogue, random);
            // Sums that no honest file holds are rounded alike everywhere.
            const uint32_t range = epilogue.filling == Filling::special ? 0xFFFFFFFFu : 1u << 17;
            for (size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<int32_t>(random.below(range) - range / 2);
            for (size_t r = 0; r < rows; ++r) {
              row_scale[r] = random.unit() * 0x1p-14f;
              row_offset[r] = -row_scale[r] * static_cast<float>(random.below(epilogue.planes == 2 ? 65536 : 256));
            }
            FloatRows residual(rows, n, epilogue.filling, random), out(rows, n);
            LinearI8Args args{};
            args.rows = rows;
            args.k = k;
            args.n = n;
            args.bias = epilogue.bias ? bias.data() : nullptr;
            args.activation = epilogue.activation;
            args.residual = epilogue.residual ? residual.row(0) : nullptr;
            args.residual_stride = residual.stride();
            args.out = out.row(0);
            args.out_stride = out.stride();
            args.x = {a.data.data(), a.stride, row_scale.data(), row_offset.data(), epilogue.planes};
            args.weight = w.data.data();
            args.scale = scale.data();
            args.column_sums = sums.data();
            kernels.linear_i8(args);
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

KernelCase linear_f32_case(size_t rows, size_t k, size_t n, Epilogue epilogue) {
  return {"linear_f32", describe(rows, k, n, epilogue), [=](const Kernels& kernels) {
            Random random(rows * 1000003 + k * 1009 + n);
            const size_t panels = round_up(n, 16) / 16;
            FloatRows x(rows, k, epilogue.filling, random), residual(rows, n, epilogue.filling, random), out(rows, n);
            Guarded<float> weight(panels * 16 * k), bias(panels * 16);
            for (size_t i = 0; i < weight.size(); ++i) weight[i] = random.spread() * 0x1p-4f;
            fill_columns(bias, n, epilogue, random);
            LinearF32Args args{};
            args.rows = rows;
            args.k = k;
            args.n = n;
            args.bias = epilogue.bias ? bias.data() : nullptr;
            args.activation = epilogue.activation;
            args.residual = epilogue.residual ? residual.row(0) : nullptr;
            args.residual_stride = residual.stride();
            args.out = out.row(0);
            args.out_stride = out.stride();
            args.x = x.row(0);
            args.x_stride = x.stride();
            args.weight = weight.data();
            kernels.linear_f32(args);
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

}  // namespace

std::vector<KernelCase> product_cases(Amount amount) {
  const bool full = amount == Amount::full;
  const std::vector<size_t> rows =
      full ? std::vector<size_t>{1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 31, 32, 33, 47, 48, 49, 50}
           : std::vector<size_t>{1, 2, 5, 16, 17, 33, 50};
  const std::vector<size_t> sizes =
      full ? std::vector<size_t>{1, 3, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 100, 384}
           : std::vector<size_t>{1, 17, 48, 65, 100};
  std::vector<KernelCase> cases;
  for (const size_t r : rows)
    for (const size_t k : sizes) {
      for (const Filling filling : {Filling::plain, Filling::special})
        for (const uint32_t planes : {1u, 2u}) cases.push_back(quantize_case(r, k, filling, planes));
      for (const size_t n : sizes) {
        cases.push_back(dot_case(r, k, n, Bytes::random));
        cases.push_back(linear_i8_case(r, k, n, {}));
        cases.push_back(linear_i8_case(r, k, n, {.planes = 2}));
        if (k * n <= 65 * 65) cases.push_back(linear_f32_case(r, k, n, {}));
      }
    }
  for (const Bytes bytes : {Bytes::lowest, Bytes::highest, Bytes::ends})
    for (const size_t r : {size_t{1}, size_t{5}, size_t{33}}) {
      cases.push_back(dot_case(r, 130, 50, bytes));
      cases.push_back(dot_case(r, 600, 50, bytes));
      for (const uint32_t planes : {1u, 2u}) cases.push_back(linear_i8_case(r, 130, 50, {.planes = planes}, bytes));
      if (full) cases.push_back(dot_case(r, 65536, 17, bytes));  // the longest dot: sums just below 2^31
    }
  // Around the numbers of rows, of k and of panels at which a dot changes its way or its block.
  for (const size_t r : {size_t{8}, size_t{9}, size_t{13}, size_t{64}, size_t{65}, size_t{130}})
    for (const size_t k : {size_t{32}, size_t{255}, size_t{257}, size_t{513}})
      for (const size_t n : {size_t{16}, size_t{97}, size_t{200}}) cases.push_back(dot_case(r, k, n, Bytes::random));
  for (uint32_t activation = 0; activation < kActivations; ++activation)
    for (const bool bias : {false, true})
      for (const bool residual : {false, true})
        for (const Filling filling : {Filling::plain, Filling::special}) {
          Epilogue epilogue = {static_cast<Activation>(activation), bias, residual, filling};
          cases.push_back(linear_f32_case(33, 17, 49, epilogue));
          for (epilogue.planes = 1; epilogue.planes <= 2; ++epilogue.planes) {
            cases.push_back(linear_i8_case(33, 65, 100, epilogue));
            if (full) cases.push_back(linear_i8_case(3, 384, 49, epilogue));
          }
        }
  cases.push_back(linear_f32_case(17, 384, 100, {}));
  return cases;
}

}  // namespace embedrt::test
