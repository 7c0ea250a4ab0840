// The ops of images in a program: what they define, one test for each way in which they can be wrong, and what they
// cost.
#include <algorithm>
#include <string>

#include "base/error.h"
#include "check.h"
#include "image_maker.h"
#include "ops/window.h"
#include "program/limits.h"
#include "program/listing.h"
#include "program/program.h"

using namespace embedrt;
using namespace embedrt::test;

namespace {

constexpr uint16_t kNone = format::kNoTensor;
constexpr uint32_t kColumns = 20;

Program load(const ProgramMaker& maker) {
  return load_program(maker.section(), maker.bulk);
}

// A grid of bytes, of 5 × 3 and with a zero point of 7, or of floats; further ops come behind it.
struct Base : ImageMaker {
  explicit Base(bool bytes) : ImageMaker(10, 6) {
    x = conv(pixels(), kColumns, {.kernel = 2, .stride = 2}, {.bytes = bytes, .zero = bytes ? 7u : 0u});
  }
  Grid x;
};

using M = Base&;

// A base whose last instruction, the one that `op` makes, is checked, and for which nothing comes after.
struct Tried {
  template <class Make>
  Tried(bool bytes, Make make) : base(bytes) {
    make(base);
    const std::string found = problem(base);  // but for values that nothing reads
    CHECK(found.find("instruction") == found.npos || found.ends_with("nothing reads its value"));
  }

  // Loading fails with this message after `change`.
  template <class Change>
  void refused(const char* message, Change change) const {
    Base changed = base;
    change(changed);
    const std::string found = problem(changed);
    check(found.find(message) != std::string::npos, message, __FILE__, __LINE__, found);
  }
  void refused_word(const char* message, size_t index, uint32_t word) const {
    refused(message, [&](M m) { m.program.instructions.back().words[index] = word; });
  }
  void refused_tensor(const char* message, size_t role, uint16_t tensor) const {
    refused(message, [&](M m) { m.program.instructions.back().tensors[role] = tensor; });
  }
  // A role with a tensor of this layout and shape.
  void refused_shape(const char* message, size_t role, Layout layout, uint32_t rows, uint32_t columns) const {
    refused(message,
            [&](M m) { m.program.instructions.back().tensors[role] = m.program.tensor(layout, rows, columns); });
  }
  void refused_input(const char* message, size_t index, uint16_t value) const {
    refused(message, [&](M m) { m.program.instructions.back().inputs[index] = value; });
  }

  Base base;

 private:
  static std::string problem(const Base& base) {
    ProgramMaker maker = base.program;
    maker.outputs = {{"patch_embeddings", static_cast<uint16_t>(maker.instructions.size())}};
    try {
      load(maker);
    } catch (const FormatError& error) {
      return error.what();
    }
    return {};
  }
};

// What every op refuses that slides a window; `role` tensors do not depend on stride and paddings.
void refuses_windows(const Tried& tried) {
  tried.refused_word("kernel is 0, allowed are 1 to 64", kKernel, 0);
  tried.refused_word("kernel is 65, allowed are 1 to 64", kKernel, 65);
  tried.refused_word("stride is 0, allowed are 1 to 64", kStride, 0);
  tried.refused_word("stride is 65, allowed are 1 to 64", kStride, 65);
  for (const size_t pad : {kPadTop, kPadLeft, kPadBottom, kPadRight})
    tried.refused_word("a padding of 3 for a kernel of 3: some windows would see padding only", pad, 3);
  tried.refused_word("a kernel of 6 is larger than the image of [5, 3]", kKernel, 6);
}

void refuses_finishes(const Tried& tried, size_t output_scale) {
  const auto bytes = [](M m) -> InstructionText& {
    InstructionText& last = m.program.instructions.back();
    last.words[kOutput] = 1;
    return last;
  };
  tried.refused_word("activation is 12, the choices are none|relu|", kActivation, 12);
  tried.refused_word("output is 2, the choices are float32|uint8", kOutput, 2);
  tried.refused_word("output_zero is 256, expected a byte", kOutputZero, 256);
  tried.refused_word("output_zero has no meaning for floats", kOutputZero, 1);
  tried.refused_tensor("output_scale has no meaning here", output_scale, 1);
  tried.refused("bytes after an activation need output_scale", [&](M m) { bytes(m).words[kActivation] = 1; });
  tried.refused("output_scale is [1, 19], expected [1, 20]", [&](M m) {
    const uint16_t scale = m.program.tensor(Layout::vector_f32, 1, 19);
    bytes(m).tensors[output_scale] = scale;
  });
}

}  // namespace

TEST(image_program_good) {
  const ProgramMaker maker = every_image_op();
  const Program program = load(maker);
  CHECK(program.limits.image_height == 11 && program.limits.image_width == 13);
  CHECK(program.limits.vocabulary == 0 && program.limits.max_tokens == 0);
  CHECK(program.outputs.size() == 5);
  for (const Output& output : program.outputs) {
    const ValueType type = program.type(output.value);
    CHECK(type.image && type.element == Element::float32);
    CHECK(type.item_rows() == (output.name == "patch_embeddings" ? 2 + 5 * 7 : 1));
  }
  for (const Op* op : all_ops()) {
    const bool of_texts = op->name == "lookup";
    const bool there = std::ranges::any_of(program.instructions, [&](const Instruction& i) { return i.op == op; });
    check(there != of_texts, "every op", __FILE__, __LINE__, std::string(op->name));
  }
  const Program towers = load(two_towers());
  CHECK(towers.type(towers.outputs[0].value).image == false && towers.type(towers.outputs[1].value).image);
}

TEST(image_program_types) {
  Base m(true);
  const Grid pooled = m.max_pool(m.x, {.kernel = 3, .stride = 2, .pads = {1, 0, 1, 0}});
  const Grid floats = m.depthwise(pooled, {}, {});
  m.place(floats, 4, false);
  m.program.outputs = {{"patch_embeddings", 4}};
  const Program program = load(m.program);
  const ValueType conv = program.type(1), pool = program.type(2), last = program.type(4);
  CHECK(conv.kind == ValueKind::grid && conv.image && conv.height == 5 && conv.width == 3 && conv.columns == kColumns);
  CHECK(conv.element == Element::uint8 && conv.zero == 7 && conv.prefix == 0 && conv.item_rows() == 15);
  CHECK(pool.height == 3 && pool.width == 1 && pool.element == Element::uint8 && pool.zero == 7);
  CHECK(last.prefix == 4 && last.item_rows() == 7 && last.rows(3) == 21 && last.element == Element::float32);
  CHECK(listing(program) ==
        "%1 = conv2d(input) weight=t0[20,12]:panel_i8 scale=t2 bias=t1 kernel=2 stride=2 output=uint8 output_zero=7"
        " -> grid 5x3 x 20 uint8\n"
        "%2 = max_pool(%1) kernel=3 stride=2 pad_top=1 pad_bottom=1 -> grid 3x1 x 20 uint8\n"
        "%3 = depthwise(%2) weight=t3 scale=t4 bias=t5 -> grid 3x1 x 20\n"
        "%4 = place(%3) prefix=t6[4,20]:matrix_f32 -> grid 4+3x1 x 20\n"
        "output patch_embeddings = %4\n");
}

TEST(image_program_conv2d) {
  const auto three = [](M m) { m.conv(m.x, 24, {.kernel = 3}, {}); };
  const Tried bytes(true, three), floats(false, three);
  refuses_windows(bytes);
  refuses_finishes(Tried(true, [](M m) { m.conv(m.x, kColumns, {}, {}); }), 4);
  bytes.refused_input("instruction 1 (conv2d): input 2 is not defined yet", 0, 2);
  bytes.refused("instruction 1 (conv2d): 3 inputs", [](M m) { m.program.instructions.back().inputs = {1, 1, 1}; });
  bytes.refused_tensor("weight is missing", 0, kNone);
  bytes.refused_tensor("weight has the wrong layout", 0, 1);
  bytes.refused_shape("weight [24, 179] does not fit a window of 180", 0, Layout::panel_i8, 24, 179);
  bytes.refused_word("weight [24, 180] does not fit a window of 80", kKernel, 2);
  bytes.refused("does not fit a window of 81920", [](M m) {
    auto& words = m.program.instructions.back().words;
    words = {64, 1, 63, 63, 63, 63, 0, 0, 0};
    m.program.instructions.back().tensors[0] = m.program.tensor(Layout::panel_i8, 1, 81920);
  });
  bytes.refused_shape("weights of floats need an input of floats", 0, Layout::panel_f32, 24, 180);
  floats.refused_shape("weights of bytes need an input of bytes", 0, Layout::panel_i8, 24, 180);
  bytes.refused_tensor("scale is missing", 1, kNone);
  bytes.refused_shape("scale has the wrong layout", 1, Layout::matrix_f32, 1, 24);
  floats.refused_shape("scale has no meaning here", 1, Layout::vector_f32, 1, 24);
  bytes.refused_tensor("bias is missing", 2, kNone);
  bytes.refused_shape("bias has the wrong layout", 2, Layout::vector_f32, 1, 24);
  bytes.refused_shape("bias is [2, 24], expected [1, 24]", 2, Layout::matrix_f32, 2, 24);
  bytes.refused_shape("residual_scale has no meaning here", 3, Layout::vector_f32, 1, 24);

  const Tried placed(false, [](M m) { m.conv(m.x, 24, {}, {}), m.place(m.x, 1, false), m.conv(m.x, 24, {}, {}); });
  placed.refused_input("input 0 has rows before those of the image", 0, 3);
  const Tried pooled(false, [](M m) { m.pool(m.x, 0, 0), m.conv(m.x, 24, {}, {}); });
  pooled.refused_input("input 0 is not a grid", 0, 2);
}

TEST(image_program_conv2d_of_pixels) {
  const Tried padded(true, [](M m) { m.conv(m.pixels(), 4, {.kernel = 3, .pads = {1, 1, 0, 1}}, {}); });
  padded.refused_shape("bias is [1, 4], expected [6, 4]", 2, Layout::matrix_f32, 1, 4);
  padded.refused_word("bias is [6, 4], expected [4, 4]", kPadLeft, 0);
  padded.refused("a padded kernel larger than the image", [](M m) {
    auto& last = m.program.instructions.back();
    last.words = {7, 1, 0, 1, 0, 0, 0, 0, 0};
    last.tensors[0] = m.program.tensor(Layout::panel_i8, 4, 147);
  });
  Base none(true);
  none.program.image = {0, 0};
  none.program.vocabulary = none.program.max_tokens = 5;
  none.program.outputs = {{"patch_embeddings", 1}};
  CHECK_THROWS(FormatError, "instruction 0 (conv2d): the program takes no images", load(none.program));
  ProgramMaker texts(0, 0);
  texts.image = {4, 4};
  texts.vocabulary = 5;
  texts.max_tokens = 5;
  texts.outputs = {{"token_embeddings", texts.lookup(Layout::matrix_f32, 4, 0)}};
  texts.vocabulary = texts.max_tokens = 0;
  CHECK_THROWS(FormatError, "instruction 0 (lookup): the program takes no texts", load(texts));
}

TEST(image_program_conv2d_residuals) {
  const Tried bytes(true, [](M m) { m.conv(m.x, kColumns, {}, {}, &m.x); });
  bytes.refused_input("the residual does not have the shape of the result", 1, 0);
  bytes.refused_tensor("residual_scale is missing", 3, kNone);
  bytes.refused_shape("residual_scale is [1, 19], expected [1, 20]", 3, Layout::vector_f32, 1, 19);
  bytes.refused("the residual does not have the shape of the result", [](M m) {
    auto& last = m.program.instructions.back();
    last.tensors[0] = m.program.tensor(Layout::panel_i8, 21, kColumns);
    last.tensors[1] = m.program.tensor(Layout::vector_f32, 1, 21);
    last.tensors[2] = m.program.tensor(Layout::matrix_f32, 1, 21);
  });
  bytes.refused_word("the residual does not have the shape of the result", kStride, 2);
  const Tried floats(false, [](M m) { m.conv(m.x, kColumns, {}, {}, &m.x); });
  floats.refused_shape("residual_scale has no meaning here", 3, Layout::vector_f32, 1, kColumns);
}

TEST(image_program_depthwise) {
  const auto three = [](M m) { m.depthwise(m.x, {.kernel = 3}, {}); };
  const Tried bytes(true, three), floats(false, three);
  refuses_windows(bytes);
  refuses_finishes(floats, 3);
  bytes.refused_input("input 0 is not a grid", 0, 0);
  bytes.refused_tensor("weight is missing", 0, kNone);
  bytes.refused_shape("weight has the wrong layout", 0, Layout::matrix_f32, 9, kColumns);
  floats.refused_shape("weight has the wrong layout", 0, Layout::table_i8, 9, kColumns);
  bytes.refused_shape("weight is [8, 20], expected [9, 20]", 0, Layout::table_i8, 8, kColumns);
  bytes.refused_tensor("scale is missing", 1, kNone);
  floats.refused_shape("scale has no meaning here", 1, Layout::vector_f32, 1, kColumns);
  bytes.refused_tensor("bias is missing", 2, kNone);
  bytes.refused_shape("bias has the wrong layout", 2, Layout::matrix_f32, 1, kColumns);
  const Tried placed(false, [](M m) { m.place(m.x, 1, false), m.depthwise(m.x, {}, {}); });
  placed.refused_input("input 0 has rows before those of the image", 0, 2);
}

TEST(image_program_max_pool) {
  refuses_windows(Tried(true, [](M m) { m.max_pool(m.x, {.kernel = 3}); }));
  const Tried placed(false, [](M m) { m.place(m.x, 1, false), m.max_pool(m.x, {}); });
  placed.refused_input("input 0 has rows before those of the image", 0, 2);
  placed.refused_input("input 0 is not a grid", 0, 0);
  ImageMaker tall(kMaxImageExtent, 1);
  tall.max_pool(tall.conv(tall.pixels(), 1, {}, {}), {.kernel = 2, .pads = {1, 1, 1, 0}});
  tall.program.outputs = {{"patch_embeddings", 2}};
  CHECK_THROWS(FormatError, "defines an image of 4097 lines of 1 pixels, at most 4096 each way", load(tall.program));
}

TEST(image_program_quantize) {
  const Tried floats(false, [](M m) { m.quantize(m.x, 3); });
  floats.refused_input("input 0 is not a grid", 0, 0);
  floats.refused_word("zero is 256, expected a byte", 0, 256);
  floats.refused_tensor("scale is missing", 0, kNone);
  floats.refused_shape("scale is [1, 21], expected [1, 20]", 0, Layout::vector_f32, 1, 21);
  const Tried twice(false, [](M m) { m.quantize(m.x, 3), m.quantize(m.x, 4); });
  twice.refused_input("input 0 is not of floats", 0, 2);
}

TEST(image_program_gate) {
  const auto make = [](M m) { m.gate(m.x, m.pool(m.x, 0, 0), 0); };
  const Tried bytes(true, make), floats(false, make);
  bytes.refused_input("input 0 is not a grid", 0, 2);
  bytes.refused_input("input 1 is not of floats", 1, 1);
  floats.refused_input("the factors are not one row of 20 columns for each image", 1, 1);
  floats.refused_input("input 1 is the program's input, expected a value", 1, 0);
  bytes.refused_word("output_zero is 256, expected a byte", 0, 256);
  floats.refused_word("output_zero has no meaning for floats", 0, 1);
  bytes.refused_tensor("scale is missing", 0, kNone);
  floats.refused_shape("scale has no meaning here", 0, Layout::vector_f32, 1, kColumns);
  const Tried narrow(false, [](M m) {
    m.program.linear(Layout::panel_f32, {m.pool(m.x, 0, 0)}, 19, kColumns, 0, false);
    m.gate(m.x, 2, 0);
  });
  narrow.refused_input("the factors are not one row of 20 columns for each image", 1, 3);
}

TEST(image_program_place) {
  const Tried floats(false, [](M m) { m.place(m.x, 2, true); });
  floats.refused_input("input 0 is not a grid", 0, 0);
  floats.refused("there is neither prefix nor position",
                 [](M m) { m.program.instructions.back().tensors = {kNone, kNone}; });
  floats.refused_shape("prefix is [2, 19], expected [2, 20]", 0, Layout::matrix_f32, 2, 19);
  floats.refused_shape("prefix has the wrong layout", 0, Layout::vector_f32, 1, kColumns);
  floats.refused_shape("4097 rows before those of the image, at most 4096", 0, Layout::matrix_f32, 4097, kColumns);
  floats.refused_shape("position is [17, 20], expected [15, 20]", 1, Layout::matrix_f32, 17, kColumns);
  const Tried twice(false, [](M m) { m.place(m.x, 1, false), m.place(m.x, 1, false); });
  twice.refused_input("input 0 has rows before those of the image already", 0, 2);
  const Tried bytes(false, [](M m) { m.quantize(m.x, 0), m.place(m.x, 1, false); });
  bytes.refused_input("input 0 is not of floats", 0, 2);
}

TEST(image_program_rows_of_grids) {
  const Tried rope(false, [](M m) { m.rope(m.linear(m.x, 24, false, 0), 2); });
  rope.refused_word("24 columns are not q, k and v of 0 heads of an even width", 0, 0);
  rope.refused_word("24 columns are not q, k and v of 8 heads of an even width", 0, 8);
  rope.refused_word("24 columns are not q, k and v of 4294967295 heads", 0, ~0u);
  rope.refused_tensor("cos is missing", 0, kNone);
  rope.refused_shape("cos is [14, 4], expected [15, 4]", 0, Layout::matrix_f32, 14, 4);
  rope.refused_shape("sin is [15, 5], expected [15, 4]", 1, Layout::matrix_f32, 15, 5);
  rope.refused_input("input 0 is the program's input, expected a value", 0, 0);
  const Tried pooled(false,
                     [](M m) { m.pool(m.linear(m.x, 24, false, 0), 0, 0), m.rope(m.linear(m.x, 24, false, 0), 2); });
  pooled.refused_input("the input has one row for each item", 0, 3);

  const Tried glu(false, [](M m) { m.linear(m.x, 21, false, 0), m.glu(m.x, 4); });
  glu.refused_input("21 columns have no halves", 0, 2);
  glu.refused_word("activation is 12, the choices are", 0, 12);

  const Tried seen(false, [](M m) { m.attention_pool(m.x, 2); });
  seen.refused_word("20 columns are not k and v of 0 heads", 0, 0);
  seen.refused_word("20 columns are not k and v of 3 heads", 0, 3);
  seen.refused_word("scale is not finite", 1, 0x7f800000);
  seen.refused_tensor("query is missing", 0, kNone);
  seen.refused_shape("query is [1, 20], expected [1, 10]", 0, Layout::vector_f32, 1, kColumns);
  seen.refused_input("input 0 is not a grid", 0, 0);

  const Tried attention(false, [](M m) { m.attention(m.linear(m.x, 24, false, 0), 2, 0, 1); });
  attention.refused_word("mask is 2, the choices are none|causal", 3, 2);
  attention.refused_input("input 0 is the program's input, expected a value", 0, 0);
  attention.refused_shape("bias is [2, 28], expected [2, 29]", 0, Layout::matrix_f32, 2, 28);
  attention.refused_shape("bias is [1, 29], expected [2, 29]", 0, Layout::matrix_f32, 1, 29);
  ImageMaker large(257, 256);
  large.attention(large.conv(large.pixels(), 3, {}, {}), 1, 0, 0);
  large.program.outputs = {{"patch_embeddings", 2}};
  CHECK_THROWS(FormatError, "items of 65792 rows, attention takes at most 65536", load(large.program));
}

TEST(image_program_pool) {
  const auto make = [](M m) { m.pool(m.x, 0, 14); };
  const Tried bytes(true, make), floats(false, make);
  bytes.refused_word("skips 15 rows of each item", 1, 15);
  floats.refused_word("skips 4294967295 rows of each item", 1, ~0u);
  bytes.refused_word("the kind of a pool of bytes is mean", 0, 3);
  bytes.refused_tensor("scale is missing", 0, kNone);
  floats.refused_shape("scale has no meaning here", 0, Layout::vector_f32, 1, kColumns);
  floats.refused_input("the input must have several rows for each item", 0, 0);
  ImageMaker large(kMaxImageExtent, kMaxImageExtent);
  large.pool(large.conv(large.pixels(), 1, {}, {.bytes = true}), 0, 0);
  large.program.outputs = {{"logits", 2}};
  CHECK_THROWS(FormatError, "images of 16777216 rows of bytes, at most 8388608", load(large.program));
  ProgramMaker texts = tiny_encoder(true);
  texts.instructions[11].words[1] = 1;
  CHECK_THROWS(FormatError, "instruction 11 (pool): skips 1 rows of each item", load(texts));
}

TEST(image_program_other_ops_take_floats) {
  const Tried sum(true, [](M m) {
    const Grid y = m.conv(m.x, kColumns, {}, {});
    m.add(y, y);
  });
  sum.refused_input("input 1 is not of floats", 1, 1);
  const Tried product(true, [](M m) { m.linear(m.conv(m.x, kColumns, {}, {}), 5, false, 0); });
  product.refused_input("input 0 is not of floats", 0, 1);
  const Tried norm(true, [](M m) { m.norm(m.conv(m.x, kColumns, {}, {}), 0); });
  norm.refused_input("input 0 is not of floats", 0, 1);
  const Tried shapes(false, [](M m) {
    const Grid y = m.max_pool(m.x, {.kernel = 2});
    m.add(y, y);
  });
  shapes.refused_input("20 and 20 columns, or not of the same rows", 1, 1);
}

TEST(image_program_outputs) {
  Base m(false);
  m.quantize(m.x, 0);
  m.pool(m.x, 0, 0);
  const auto refused = [&](const char* message, const char* name, uint16_t value) {
    m.program.outputs = {{"patch_embeddings", 1}, {name, value}};
    CHECK_THROWS(FormatError, message, load(m.program));
  };
  refused("output 1 (logits): the value has no row for each text or image", "logits", 1);
  refused("output 1 (class_token): the value has no row for each image", "class_token", 2);
  refused("output 1 (sentence_embedding): the value has no row for each text", "sentence_embedding", 3);
  refused("output 1 (token_embeddings): the value has no row for each token", "token_embeddings", 1);
  refused("output 1 (patch_embeddings): the name is there twice", "patch_embeddings", 1);
  m.program.outputs = {{"patch_embeddings", 2}};
  CHECK_THROWS(FormatError, "output 0 (patch_embeddings): the value is not of floats", load(m.program));
  m.program.outputs = {{"patch_embeddings", 3}};
  CHECK_THROWS(FormatError, "the value has no rows for the places of an image", load(m.program));
}

TEST(image_program_costs) {
  Base m(true);
  const Grid floats = m.depthwise(m.max_pool(m.x, {.kernel = 3, .pads = {1, 1, 1, 1}}), {.kernel = 2}, {});
  m.program.outputs = {{"logits", m.pool(floats, 0, 0)}, {"image_embedding", m.attention_pool(floats, 2)}};
  const Program program = load(m.program);
  // The convolution, nine comparisons, four taps for each of [4, 2], what the pool reads, twice the rows · columns.
  CHECK(work_per_image(program) == 15 * 20 * (12 + 9) + 8 * 20 * 4 + 8 * 20 + 2 * 8 * 10);
  CHECK(work_per_token(program) == 0);
  // Bytes in lines of 64, floats in vectors of 16: a grid of each; or a grid of floats and both segments.
  CHECK(value_bytes(program, 0, 0) == 15 * 64 + 8 * 128);
  CHECK(value_bytes(program, 0, 15) == 15 * (128 + 128 + 64));

  ImageMaker heavy(kMaxImageExtent, kMaxImageExtent);
  const auto patches = [&](uint32_t columns) {
    heavy.program = ProgramMaker(0, 0);
    heavy.program.image = {kMaxImageExtent, kMaxImageExtent};
    const Grid x = heavy.conv(heavy.pixels(), columns, {.kernel = 37, .pads = {18, 18, 18, 18}}, {.bytes = true});
    heavy.program.outputs = {{"patch_embeddings", heavy.depthwise(x, {.kernel = 64, .stride = 64}, {}).value}};
    return heavy.program;
  };
  CHECK(work_per_image(load(patches(63))) > kMaxWorkPerImage / 64 * 63);
  CHECK_THROWS(FormatError, "more than 4398046511104 multiply-adds for one image", load(patches(64)));
}

TEST(image_program_memory) {
  const auto wide = [](uint32_t columns) {
    ImageMaker m(kMaxImageExtent, kMaxImageExtent);
    m.program.outputs = {{"patch_embeddings", m.conv(m.pixels(), columns, {}, {}).value}};
    return m.program;
  };
  CHECK(value_bytes(load(wide(128)), 0, 0) == kMaxArenaBytes);
  CHECK_THROWS(FormatError, "values of more than 8589934592 bytes for 1152 tokens or one image", load(wide(129)));

  // Small images share a block: 1,152 rows of 262,144 columns are 1,152 MiB.
  const auto together = [](size_t alive) {
    ImageMaker m(1, 1);
    Grid sum = m.conv(m.pixels(), kMaxColumns, {}, {});
    const InstructionText same = m.program.instructions.back();
    m.program.instructions.resize(alive - 1, same);
    for (uint16_t value = 2; value < alive; ++value) sum.value = m.program.instruction("add", {sum.value, value}, {});
    m.program.outputs = {{"patch_embeddings", sum.value}};
    return m.program;
  };
  CHECK(value_bytes(load(together(7)), 0, kMaxSharedRows) == uint64_t{7} * 1152 << 20);
  CHECK_THROWS(FormatError, "values of more than 8589934592 bytes", load(together(8)));
}
