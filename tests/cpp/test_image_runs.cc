// Programs of images that run: the same bits on any threads, in any blocks and frames, and on every instruction set;
// and what a file may hold that no sensible one does.
#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "check.h"
#include "guarded.h"
#include "image_maker.h"
#include "isa/dispatch.h"
#include "ops/window.h"
#include "program/model.h"

using namespace embedrt;
using namespace embedrt::test;

namespace {

using Pixels = std::vector<uint8_t>;

// The first image is white and the second one black.
Pixels pictures(const ProgramLimits& limits, size_t count) {
  const size_t size = size_t{limits.image_height} * limits.image_width * 3;
  Pixels pixels(count * size);
  for (size_t i = 0; i < count; ++i) {
    Random random(i);
    for (size_t at = 0; at < size; ++at)
      pixels[i * size + at] = i < 2 ? uint8_t(255 * (1 - i)) : static_cast<uint8_t>(random.below(256));
  }
  return pixels;
}

std::vector<float> run(const Model& model, const Pixels& pixels, const std::string& output) {
  const ValueType type = model.output_type(output);
  const ProgramLimits& limits = model.program().limits;
  const size_t count = pixels.size() / 3 / limits.image_height / limits.image_width;
  std::vector<float> out(count * type.item_rows() * type.columns);
  CHECK(model.run_images(pixels.data(), count, output, out.data(), [] { return false; }));
  return out;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(std::as_bytes(a), std::as_bytes(b));
}

Model model_of(const ProgramMaker& maker, unsigned threads) {
  return Model(MappedFile::copy(make_file(maker)), threads);
}

// An image's mean of a convolution without borders.
ImageMaker mean_of_conv(const FinishText& finish) {
  ImageMaker m(4, 5);
  const Grid x = m.conv(m.pixels(), 20, {.kernel = 2}, finish);
  m.program.outputs = {{"image_embedding", m.pool(x, 0, 0)}};
  return m;
}

// All floats of a tensor.
void fill(ProgramMaker& p, uint16_t tensor, float value) {
  const TensorText& t = p.tensors[tensor];
  for (uint64_t at = 0; at < t.size; at += 4) put(p.bulk, t.offset + at, std::bit_cast<uint32_t>(value));
}
void fill_bytes(ProgramMaker& p, uint16_t tensor, uint8_t value) {
  const TensorText& t = p.tensors[tensor];
  std::fill_n(p.bulk.begin() + static_cast<std::ptrdiff_t>(t.offset), t.size, std::byte{value});
}

}  // namespace

namespace {

// Calls of these numbers of images, the largest first: smaller ones follow in its frames; all outputs in turn.
void compare(const ProgramMaker& maker, const std::vector<size_t>& calls) {
  const size_t most = calls.front();
  const Model alone = model_of(maker, 1);
  const Pixels all = pictures(alone.program().limits, most);
  const auto images = [&](size_t first, size_t count) {
    const size_t size = all.size() / most;
    return Pixels(all.begin() + static_cast<std::ptrdiff_t>(first * size),
                  all.begin() + static_cast<std::ptrdiff_t>((first + count) * size));
  };
  std::map<std::string, std::vector<float>> expected;
  for (const auto& [output, value] : maker.outputs)
    for (size_t i = 0; i < most; ++i) {
      const auto found = run(alone, images(i, 1), output);
      expected[output].insert(expected[output].end(), found.begin(), found.end());
    }
  for (const unsigned threads : {1u, 3u, 8u}) {
    const Model model = model_of(maker, threads);
    for (const size_t count : calls)
      for (const auto& [output, rows] : expected)
        check(same_bits(run(model, images(0, count), output), std::span(rows).first(count * (rows.size() / most))),
              "other bits", __FILE__, __LINE__,
              std::to_string(count) + " images, " + std::to_string(threads) + " threads, " + output);
    CHECK(pool_threads() >= threads - 1);
  }
}

}  // namespace

// Blocks of several images, some to each thread and those that are left over on all of them.
TEST(image_runs_do_not_depend_on_threads_and_batches) {
  compare(every_image_op(20, 5, 7), {37, 1, 17, 8, 0, 9, 2, 3, 5});
  compare(large_image_program(), {3, 1});
}

TEST(image_runs_by_several_callers_at_once) {
  const Model model = model_of(every_image_op(), 3);
  const Pixels few = pictures(model.program().limits, 2), many = pictures(model.program().limits, 7);
  const auto expected_few = run(model, few, "logits"), expected_many = run(model, many, "patch_embeddings");
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 3; ++i) {
        wrong += !same_bits(run(model, few, "logits"), expected_few);
        wrong += !same_bits(run(model, many, "patch_embeddings"), expected_many);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST(image_runs_on_every_instruction_set) {
  for (const uint32_t columns : {20u, 33u, 65u}) {
    const auto source = MappedFile::copy(make_file(every_image_op(columns, 5, 7)));
    const Model scalar(source, 1, *kernels_of("scalar"));
    const Pixels pixels = pictures(scalar.program().limits, 4);
    for (const std::string& isa : available_isas()) {
      const Model model(source, 2, *kernels_of(isa));
      for (const Output& output : scalar.program().outputs) {
        const auto found = run(model, pixels, output.name), expected = run(scalar, pixels, output.name);
        check(same_bits(found, expected), "other bits", __FILE__, __LINE__, isa + " " + output.name);
        // Different images give different vectors: nothing has saturated or gone lost on the way.
        const size_t each = expected.size() / 4;
        CHECK(!same_bits(std::span(expected).first(each), std::span(expected).subspan(each, each)));
      }
    }
  }
}

TEST(image_runs_of_two_towers) {
  const Model model = model_of(two_towers(), 2);
  const Pixels pixels = pictures(model.program().limits, 3);
  const auto never = [] { return false; };
  std::vector<float> out(3 * 16);
  CHECK(model.run_images(pixels.data(), 3, "image_embedding", out.data(), never));
  const std::vector<int32_t> ids = {1, 2, 3};
  const std::vector<int64_t> offsets = {0, 3};
  CHECK(model.run({.ids = ids, .offsets = offsets}, {{"sentence_embedding", out.data()}}, never));
  CHECK_THROWS(InputError, "the output sentence_embedding is of texts, not of images",
               model.run_images(pixels.data(), 3, "sentence_embedding", out.data(), never));
  CHECK_THROWS(InputError, "the output image_embedding is of images, not of texts",
               model.run({.ids = ids, .offsets = offsets}, {{"image_embedding", out.data()}}, never));
  CHECK_THROWS(InputError, "the model has no output logits; it has sentence_embedding image_embedding",
               model.run_images(pixels.data(), 3, "logits", out.data(), never));
  CHECK(model.work(0, "image_embedding") == 6 * 16 * 12);
}

TEST(image_runs_ask_stop_before_each_block) {
  const Model model = model_of(every_image_op(), 1);
  const Pixels pixels = pictures(model.program().limits, 40);
  std::vector<float> out(40 * 33);
  int asked = 0;
  const auto stop = [&] { return ++asked == 2; };
  CHECK(!model.run_images(pixels.data(), 40, "logits", out.data(), stop));
  CHECK(asked == 2);
}

// Sums times such a scale overflow, except for those of the black image; then the model goes on as before.
TEST(image_runs_that_are_not_finite_name_the_image) {
  ImageMaker m = mean_of_conv({});
  const auto& roles = m.program.instructions[0].tensors;
  fill(m.program, roles[1], std::numeric_limits<float>::max());
  for (const unsigned threads : {1u, 3u}) {
    const Model model = model_of(m.program, threads);
    const Pixels pixels = pictures(model.program().limits, 2);
    const auto half = static_cast<std::ptrdiff_t>(pixels.size() / 2);
    const Pixels white(pixels.begin(), pixels.begin() + half), black(pixels.begin() + half, pixels.end());
    Pixels several;
    for (int i = 0; i < 5; ++i) several.insert(several.end(), black.begin(), black.end());
    const auto expected = run(model, several, "image_embedding");
    std::copy(white.begin(), white.end(), several.begin() + 3 * half);
    CHECK_THROWS(Error, "image 3: the result is not finite", run(model, several, "image_embedding"));
    CHECK(same_bits(run(model, black, "image_embedding"), std::span(expected).first(20)));
  }
}

// Tensors that are no vectors are not looked at when a file is loaded: NaN in them is found at the end, or saturates
// where bytes are made of it.
TEST(image_runs_with_numbers_that_are_none) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const float value : {nan, infinity, -infinity}) {
    ImageMaker floats = mean_of_conv({}), bytes = mean_of_conv({.bytes = true});
    fill(floats.program, floats.program.instructions[0].tensors[2], value);
    fill(bytes.program, bytes.program.instructions[0].tensors[2], value);
    const Model model = model_of(floats.program, 1);
    const Pixels pixels = pictures(model.program().limits, 3);
    CHECK_THROWS(Error, "image 0: the result is not finite", run(model, pixels, "image_embedding"));
    run(model_of(bytes.program, 1), pixels, "image_embedding");
  }
}

// The largest sums that a window may have: 65,536 products of −128 and 255. Doubles hold them, and their products with
// a power of two, exactly.
TEST(image_runs_of_the_largest_sums) {
  ImageMaker m(4, 4);
  Grid x = m.conv(m.pixels(), 4096, {}, {.bytes = true});
  fill_bytes(m.program, m.program.instructions.back().tensors[0], 127);
  fill(m.program, m.program.instructions.back().tensors[1], 1.0f);
  fill(m.program, m.program.instructions.back().tensors[2], 0.0f);
  x = m.conv(x, 2, {.kernel = 4}, {});
  fill_bytes(m.program, m.program.instructions.back().tensors[0], 0x80);
  fill(m.program, m.program.instructions.back().tensors[1], 0x1p-10f);
  fill(m.program, m.program.instructions.back().tensors[2], 0.0f);
  m.program.outputs = {{"image_embedding", m.pool(x, 0, 0)}};
  const auto source = MappedFile::copy(make_file(m.program));
  for (const std::string& isa : available_isas()) {
    const Model model(source, 1, *kernels_of(isa));
    const auto found = run(model, pictures(model.program().limits, 1), "image_embedding");
    const auto expected = static_cast<float>(-255.0 * 128.0 * 65536.0) * 0x1p-10f;
    CHECK(found[0] == expected && found[1] == expected);
  }
}

// Scales that are finite and enormous: bytes saturate, whatever is multiplied with them.
TEST(image_runs_with_enormous_scales) {
  ProgramMaker p = every_image_op();
  for (size_t i = 0; i < p.tensors.size(); ++i)
    if (p.tensors[i].layout == static_cast<uint32_t>(Layout::vector_f32))
      fill(p, static_cast<uint16_t>(i), i % 2 ? std::numeric_limits<float>::max() : -1e38f);
  const auto source = MappedFile::copy(make_file(p));
  const Model scalar(source, 1, *kernels_of("scalar"));
  const Pixels pixels = pictures(scalar.program().limits, 3);
  const auto outcome = [&](const Model& model, const std::string& output) {
    try {
      return run(model, pixels, output);
    } catch (const Error&) {
      return std::vector<float>{};
    }
  };
  for (const std::string& isa : available_isas()) {
    const Model model(source, 1, *kernels_of(isa));
    for (const Output& output : scalar.program().outputs)
      CHECK(same_bits(outcome(model, output.name), outcome(scalar, output.name)));
  }
}
