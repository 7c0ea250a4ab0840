#include "image_maker.h"

#include <utility>

#include "kernels/kernels.h"
#include "ops/window.h"

namespace embedrt::test {
namespace {

constexpr uint16_t kNone = format::kNoTensor;
constexpr uint32_t kQuarter = 0x3e800000;

// Sums of products of bytes times such a scale spread over the bytes.
constexpr float kSmallScale = 0x1p-10f;

uint32_t extent(uint32_t size, uint32_t before, uint32_t after, const WindowText& window) {
  return (size + before + after - window.kernel) / window.stride + 1;
}

std::map<size_t, uint32_t> words_of(const WindowText& window) {
  std::map<size_t, uint32_t> words = {{kKernel, window.kernel}, {kStride, window.stride}};
  for (size_t i = 0; i < 4; ++i) words[kPadTop + i] = window.pads[i];
  return words;
}

std::map<size_t, uint32_t> words_of(const WindowText& window, const FinishText& finish) {
  auto words = words_of(window);
  words[kActivation] = finish.activation;
  words[kOutput] = finish.bytes;
  words[kOutputZero] = finish.zero;
  return words;
}

uint32_t border_classes(const Grid& x, const WindowText& window) {
  return static_cast<uint32_t>(borders({.height = x.height,
                                        .width = x.width,
                                        .kernel = window.kernel,
                                        .stride = window.stride,
                                        .pad_top = window.pads[0],
                                        .pad_left = window.pads[1],
                                        .out_height = extent(x.height, window.pads[0], window.pads[2], window),
                                        .out_width = extent(x.width, window.pads[1], window.pads[3], window)})
                                   .classes());
}

}  // namespace

ImageMaker::ImageMaker(uint32_t height, uint32_t width, ProgramMaker base) : program(std::move(base)) {
  program.image = {height, width};
}

Grid ImageMaker::finished(const Grid& x, uint32_t columns, const WindowText& window, const FinishText& finish) const {
  return {static_cast<uint16_t>(program.instructions.size()),
          extent(x.height, window.pads[0], window.pads[2], window),
          extent(x.width, window.pads[1], window.pads[3], window),
          columns,
          0,
          finish.bytes};
}

Grid ImageMaker::conv(const Grid& x, uint32_t columns, const WindowText& window, const FinishText& finish,
                      const Grid* residual, bool quantised) {
  const bool int8 = x.bytes && (x.value != 0 || quantised);
  const uint32_t k = window.kernel * window.kernel * x.columns;
  const uint32_t classes = x.value == 0 ? border_classes(x, window) : 1;
  std::vector<uint16_t> roles = {program.tensor(int8 ? Layout::panel_i8 : Layout::panel_f32, columns, k), kNone,
                                 program.tensor(Layout::matrix_f32, classes, columns, finish.bytes ? 128.0f : 1.0f),
                                 kNone, kNone};
  std::vector<uint16_t> inputs = {x.value};
  if (int8) roles[1] = vector(columns, kSmallScale);
  if (residual) inputs.push_back(residual->value);
  if (residual && residual->bytes) roles[3] = vector(columns, 0.5f);
  if (finish.output_scale) roles[4] = vector(columns, 2.0f);
  program.instruction("conv2d", std::move(inputs), std::move(roles), words_of(window, finish));
  return finished(x, columns, window, finish);
}

Grid ImageMaker::depthwise(const Grid& x, const WindowText& window, const FinishText& finish) {
  const uint32_t taps = window.kernel * window.kernel;
  std::vector<uint16_t> roles = {program.tensor(x.bytes ? Layout::table_i8 : Layout::matrix_f32, taps, x.columns),
                                 x.bytes ? vector(x.columns, kSmallScale) : kNone,
                                 vector(x.columns, finish.bytes ? 128.0f : 1.0f),
                                 finish.output_scale ? vector(x.columns, 2.0f) : kNone};
  program.instruction("depthwise", {x.value}, std::move(roles), words_of(window, finish));
  return finished(x, x.columns, window, finish);
}

Grid ImageMaker::max_pool(const Grid& x, const WindowText& window) {
  program.instruction("max_pool", {x.value}, {}, words_of(window));
  return finished(x, x.columns, window, {.bytes = x.bytes});
}

Grid ImageMaker::quantize(const Grid& x, uint32_t zero) {
  Grid y = x;
  y.value = program.instruction("quantize", {x.value}, {vector(x.columns, 64.0f)}, {{0, zero}});
  y.bytes = true;
  return y;
}

Grid ImageMaker::gate(const Grid& x, uint16_t factors, uint32_t zero) {
  Grid y = x;
  y.value = program.instruction("gate", {x.value, factors}, {x.bytes ? vector(x.columns, 2.0f) : kNone}, {{0, zero}});
  return y;
}

Grid ImageMaker::place(const Grid& x, uint32_t prefix, bool position) {
  Grid y = x;
  y.prefix = prefix;
  const uint16_t rows = prefix > 0 ? program.tensor(Layout::matrix_f32, prefix, x.columns) : kNone;
  const uint16_t positions = position ? program.tensor(Layout::matrix_f32, x.rows(), x.columns) : kNone;
  y.value = program.instruction("place", {x.value}, {rows, positions});
  return y;
}

Grid ImageMaker::rope(const Grid& x, uint32_t heads) {
  Grid y = x;
  const uint32_t dim = x.columns / 3 / heads;
  const uint16_t cos = program.tensor(Layout::matrix_f32, x.rows(), dim);
  y.value =
      program.instruction("rope", {x.value}, {cos, program.tensor(Layout::matrix_f32, x.rows(), dim)}, {{0, heads}});
  return y;
}

Grid ImageMaker::head_norm(const Grid& x, uint32_t heads, uint32_t kind) {
  Grid y = x;
  const uint32_t dim = x.columns / 3 / heads;
  y.value =
      program.instruction("head_norm", {x.value}, {vector(dim, 1.0f), vector(dim, 1.0f)}, {{0, heads}, {2, kind}});
  return y;
}

Grid ImageMaker::attention(const Grid& x, uint32_t heads, uint32_t precision, uint32_t mask, uint32_t window,
                           bool bias) {
  Grid y = x;
  y.columns /= 3;
  const uint16_t table = bias ? program.tensor(Layout::matrix_f32, heads, 2 * x.rows() - 1) : kNone;
  y.value = program.instruction("attention", {x.value}, {table},
                                {{0, heads}, {1, kQuarter}, {2, precision}, {3, mask}, {4, window}});
  return y;
}

Grid ImageMaker::glu(const Grid& x, uint32_t activation) {
  Grid y = x;
  y.columns /= 2;
  y.value = program.instruction("glu", {x.value}, {}, {{0, activation}});
  return y;
}

Grid ImageMaker::linear(const Grid& x, uint32_t columns, bool quantised, uint32_t activation, const Grid* residual) {
  Grid y = x;
  std::vector<uint16_t> inputs = {x.value};
  if (residual) inputs.push_back(residual->value);
  y.value = program.linear(quantised ? Layout::panel_i8 : Layout::panel_f32, std::move(inputs), columns, x.columns,
                           activation, true);
  y.columns = columns;
  return y;
}

Grid ImageMaker::norm(const Grid& x, uint32_t kind) {
  Grid y = x;
  y.value = program.norm(x.value, x.columns, kind, true);
  return y;
}

Grid ImageMaker::add(const Grid& a, const Grid& b) {
  Grid y = a;
  y.value = program.instruction("add", {a.value, b.value}, {});
  return y;
}

Grid ImageMaker::normalize(const Grid& x) {
  Grid y = x;
  y.value = program.instruction("normalize", {x.value}, {});
  return y;
}

uint16_t ImageMaker::pool(const Grid& x, uint32_t kind, uint32_t skip) {
  const uint16_t scale = x.bytes ? vector(x.columns, 0x1p-9f) : kNone;
  return program.instruction("pool", {x.value}, {scale}, {{0, kind}, {1, skip}});
}

uint16_t ImageMaker::attention_pool(const Grid& x, uint32_t heads) {
  return program.instruction("attention_pool", {x.value}, {vector(x.columns / 2, 1.0f)}, {{0, heads}, {1, kQuarter}});
}

ProgramMaker every_image_op(uint32_t columns, uint32_t height, uint32_t width) {
  ImageMaker m(height, width);
  const FinishText floats, bytes = {.bytes = true};
  const WindowText same3 = {.kernel = 3, .pads = {1, 1, 1, 1}};

  // Bytes: from pixels with borders on three sides, and everything that becomes of them.
  const Grid stem = m.conv(m.pixels(), columns, {.kernel = 3, .stride = 2, .pads = {0, 1, 1, 1}}, bytes);
  Grid b = m.depthwise(stem, {.kernel = 5, .pads = {2, 2, 2, 2}},
                       {.activation = 8, .bytes = true, .zero = 20, .output_scale = true});
  const uint16_t squeezed = m.program.linear(Layout::panel_f32, {m.pool(b, 0, 0)}, columns, columns, 9, true);
  b = m.gate(b, squeezed, 3);
  b = m.conv(b, columns, {}, {.activation = 4, .bytes = true, .zero = 77, .output_scale = true}, &stem);
  b = m.conv(b, columns, same3, {.activation = 1, .bytes = true, .output_scale = true});
  b = m.conv(b, columns, {}, bytes, &stem);
  b = m.max_pool(m.depthwise(b, same3, bytes), same3);
  const Grid narrow = m.depthwise(b, {.kernel = 2}, floats);
  const Grid from_bytes = m.conv(b, columns, {}, floats);

  // Floats: from the same pixels, of the same shape.
  Grid x =
      m.conv(m.pixels(), columns, {.kernel = 3, .stride = 2, .pads = {0, 1, 1, 1}}, {.activation = 10}, nullptr, false);
  x = m.conv(m.depthwise(m.max_pool(x, same3), same3, {.activation = 2}), columns, {}, floats, &x);
  x = m.conv(m.gate(x, squeezed, 0), columns, {.kernel = 2, .pads = {1, 0, 0, 1}}, {.activation = 7}, &from_bytes);
  const Grid quantised = m.quantize(x, 9);
  x = m.add(x, m.conv(quantised, columns, {}, floats, &x));
  b = m.conv(m.conv(quantised, columns, {}, bytes, &x), columns, {}, {.bytes = true, .zero = 5}, &quantised);
  x = m.add(x, m.depthwise(b, {}, {.activation = 3}));

  // A block of a transformer, twice.
  x = m.place(x, 2, true);
  constexpr uint32_t kHeads = 2, kDim = 6;
  for (uint32_t precision = 0; precision < 2; ++precision) {
    const Grid qkv = m.linear(m.norm(x, precision), 3 * kHeads * kDim, precision == 0, 0);
    const Grid turned = m.rope(m.head_norm(qkv, kHeads, precision), kHeads);
    const Grid mixed = m.attention(turned, kHeads, precision, precision, 3 + 9 * precision, precision == 0);
    x = m.linear(mixed, columns, precision == 0, 0, &x);
    x = m.linear(m.glu(m.linear(m.norm(x, 1), 2 * 23, precision == 0, 0), 4 - precision), columns, precision == 0, 0,
                 &x);
  }
  x.value = m.program.instruction("activate", {x.value}, {}, {{0, 11}});
  const uint16_t seen = m.attention_pool(m.linear(m.norm(x, 0), 2 * kHeads * kDim, true, 0), kHeads);
  const uint16_t means = m.pool(m.place(narrow, 3, false), 0, 3);
  m.program.outputs = {{"image_embedding", m.program.instruction("normalize", {seen}, {})},
                       {"class_token", m.pool(x, 1, 0)},
                       {"patch_mean", m.pool(x, 6, 2)},
                       {"logits", m.program.linear(Layout::panel_i8, {means}, 33, columns, 0, true)},
                       {"patch_embeddings", x.value}};
  return std::move(m.program);
}

ProgramMaker two_towers() {
  ImageMaker m(6, 5, tiny_encoder(true, 4));
  const Grid x = m.place(m.conv(m.pixels(), 16, {.kernel = 2, .stride = 2}, {}), 1, false);
  m.program.outputs.emplace_back("image_embedding", m.pool(m.norm(x, 0), 1, 0));
  return std::move(m.program);
}

ProgramMaker large_image_program() {
  constexpr uint32_t kWidth = 96, kInner = 100, kHeads = 3;
  ImageMaker m(37, 41);
  Grid b = m.conv(m.pixels(), 24, {.kernel = 3, .stride = 2, .pads = {1, 1, 1, 1}}, {.bytes = true});
  b = m.conv(b, kWidth, {.kernel = 3, .pads = {1, 1, 1, 1}},
             {.activation = 1, .bytes = true, .zero = 4, .output_scale = true});
  b = m.max_pool(m.depthwise(b, {.kernel = 13, .pads = {6, 6, 6, 6}}, {.bytes = true}),
                 {.kernel = 11, .pads = {5, 5, 5, 5}});
  b = m.gate(b, m.program.linear(Layout::panel_f32, {m.pool(b, 0, 0)}, kWidth, kWidth, 6, true), 1);
  Grid x = m.conv(b, kWidth, {.kernel = 3, .stride = 2}, {});
  x = m.place(m.conv(x, kWidth, {.kernel = 3, .pads = {1, 1, 1, 1}}, {.activation = 2}, &x), 1, true);
  for (uint32_t precision = 0; precision < 2; ++precision) {
    const Grid qkv = m.linear(m.norm(x, 0), 3 * kWidth, true, 0);
    const Grid mixed = m.attention(precision == 0 ? qkv : m.rope(qkv, kHeads), kHeads, precision, precision,
                                   40 * precision, precision == 0);
    x = m.linear(mixed, kWidth, precision == 0, 0, &x);
    x = m.linear(m.glu(m.linear(m.norm(x, 1), 2 * kInner, true, 0), 4), kWidth, true, 0, &x);
  }
  m.program.outputs = {{"patch_embeddings", m.norm(x, 0).value}};
  return std::move(m.program);
}

}  // namespace embedrt::test
