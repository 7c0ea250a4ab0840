// Runs through embedrt.h, right ones and wrong ones.
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <thread>

#include "c_models.h"
#include "image_maker.h"

using namespace embedrt;
using namespace embedrt::test;

namespace {

constexpr size_t kColumns = TableModel::kColumns;
const std::vector<int64_t> kLengths = {3, 0, 1, 70, 12, 65};

std::vector<uint8_t> pixels_of(size_t images) {
  std::vector<uint8_t> pixels(images * 11 * 13 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37 + i / 91);
  return pixels;
}

embedrt_images images_of(const std::vector<uint8_t>& pixels) {
  embedrt_images images{};
  images.size = sizeof images;
  images.count = pixels.size() / (11 * 13 * 3);
  images.pixels = pixels.data();
  return images;
}

std::vector<float> run_images(const embedrt_model* model, const embedrt_images& images, const char* output,
                              size_t floats) {
  std::vector<float> rows(floats);
  const embedrt_target target{output, rows.data(), rows.size()};
  embedrt_error error;
  const embedrt_status status = embedrt_run_images(model, &images, &target, &error);
  check(status == EMBEDRT_OK, "embedrt_run_images", __FILE__, __LINE__, error.message);
  return rows;
}

}  // namespace

TEST(c_api_rows_are_those_of_the_table) {
  const TableModel table;
  const Texts texts(kLengths);
  for (const uint32_t threads : {1u, 3u}) {
    const OpenModel model = open_file(make_file(table.program), threads);
    embedrt_texts call = texts.call();
    const auto typed = run_texts(model.get(), call, "token_embeddings", texts.ids.size() * kColumns);
    call.types = nullptr;
    const auto plain = run_texts(model.get(), call, "token_embeddings", texts.ids.size() * kColumns);
    bool same = true;
    for (size_t i = 0; i < texts.ids.size(); ++i)
      for (size_t c = 0; c < kColumns; ++c)
        same = same && typed[i * kColumns + c] == table.row(texts.ids[i], texts.types[i], c) &&
               plain[i * kColumns + c] == table.row(texts.ids[i], 0, c);
    CHECK(same);
  }
}

TEST(c_api_main_output_is_the_normalised_mean) {
  const TableModel table;
  const Texts texts(kLengths);
  const OpenModel model = open_file(make_file(table.program), 2);
  const auto vectors = run_texts(model.get(), texts.call(), nullptr, texts.count() * kColumns);
  for (size_t text = 0; text < texts.count(); ++text) {
    std::vector<double> sums(kColumns, 0.0);
    double length = 0.0;
    for (auto i = static_cast<size_t>(texts.offsets[text]); i < static_cast<size_t>(texts.offsets[text + 1]); ++i)
      for (size_t c = 0; c < kColumns; ++c) sums[c] += static_cast<double>(table.row(texts.ids[i], texts.types[i], c));
    for (const double sum : sums) length += sum * sum;
    for (size_t c = 0; c < kColumns; ++c) {
      const double expected = length > 0 ? sums[c] / std::sqrt(length) : 0.0;
      CHECK(std::abs(expected - static_cast<double>(vectors[text * kColumns + c])) < 1e-5);
    }
  }
}

TEST(c_api_several_outputs_and_exact_room) {
  const Texts texts(kLengths);
  const OpenModel model = open_file(make_file(TableModel().program), 2);
  const char* names[] = {"logits", nullptr, "token_embeddings", "logits"};
  const size_t floats[] = {texts.count() * 3, texts.count() * kColumns, texts.ids.size() * kColumns, texts.count() * 3};
  std::vector<std::vector<float>> found;
  std::vector<embedrt_target> targets;
  for (size_t i = 0; i < 4; ++i) {
    found.emplace_back(floats[i] + 1, -7.0f);
    targets.push_back({names[i], found[i].data(), floats[i]});
  }
  const embedrt_texts call = texts.call();
  CHECK(embedrt_run_texts(model.get(), &call, targets.data(), 4, nullptr) == EMBEDRT_OK);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(found[i].back() == -7.0f);
    found[i].pop_back();
    CHECK(same_bits(found[i], run_texts(model.get(), call, names[i], floats[i])));
  }
  for (size_t i = 0; i < 4; ++i) {
    std::vector<embedrt_target> small = targets;
    --small[i].capacity;
    CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "floats, and there is room for", error,
                  embedrt_run_texts(model.get(), &call, small.data(), 4, error));
    small[i] = {names[i], nullptr, floats[i]};
    CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "is NULL", error, embedrt_run_texts(model.get(), &call, small.data(), 4, error));
  }
}

TEST(c_api_spans_pooling_and_attended) {
  const TableModel table;
  const Texts texts({4, 6});
  const OpenModel model = open_file(make_file(table.program), 1);
  embedrt_texts call = texts.call();
  const int64_t spans[] = {1, 3, 2, 4, 9, 10};
  call.spans = spans;
  call.span_count = 3;
  call.pooling = "first";
  const auto rows = run_texts(model.get(), call, nullptr, 3 * kColumns);
  for (size_t span = 0; span < 3; ++span) {
    const auto first = static_cast<size_t>(spans[2 * span]);
    double length = 0.0;
    for (size_t c = 0; c < kColumns; ++c)
      length += std::pow(static_cast<double>(table.row(texts.ids[first], texts.types[first], c)), 2);
    for (size_t c = 0; c < kColumns; ++c)
      CHECK(std::abs(static_cast<double>(table.row(texts.ids[first], texts.types[first], c)) / std::sqrt(length) -
                     static_cast<double>(rows[span * kColumns + c])) < 1e-6);
  }
  call.span_count = 0;  // no span at all is not the same as no spans
  CHECK(run_texts(model.get(), call, nullptr, 0).empty());

  // A text whose attention sees its first tokens only has the rows, for these, of a text that ends there.
  const OpenModel encoder = open_file(make_file(tiny_encoder(false)), 1);
  const Texts whole({9}), head({4});
  embedrt_texts seen = whole.call(), alone = head.call();
  seen.types = alone.types = nullptr;
  const int64_t attended[] = {4}, span[] = {0, 4};
  seen.attended = attended;
  seen.spans = span;
  seen.span_count = 1;
  CHECK(same_bits(run_texts(encoder.get(), seen, nullptr, 16), run_texts(encoder.get(), alone, nullptr, 16)));
}

TEST(c_api_empty_calls) {
  const OpenModel model = open_file(make_file(TableModel().program), 2);
  const Texts none({}), empty({0, 0});
  const embedrt_target nowhere{nullptr, nullptr, 0};
  embedrt_texts call = none.call();
  call.ids = nullptr;
  CHECK(embedrt_run_texts(model.get(), &call, &nowhere, 1, nullptr) == EMBEDRT_OK);
  const auto rows = run_texts(model.get(), empty.call(), nullptr, 2 * kColumns);
  CHECK(same_bits(rows, std::vector<float>(2 * kColumns, 0.0f)));

  const OpenModel pictures = open_file(make_file(every_image_op()), 2);
  const embedrt_images images = images_of({});
  CHECK(embedrt_run_images(pictures.get(), &images, &nowhere, nullptr) == EMBEDRT_OK);
}

TEST(c_api_refuses_texts) {
  const OpenModel model = open_file(make_file(TableModel().program), 1);
  const Texts texts({3, 4});
  std::vector<float> rows(2 * kColumns);
  const embedrt_target target{nullptr, rows.data(), rows.size()};
  const auto refused = [&](const char* part, const auto& change) {
    embedrt_texts call = texts.call();
    change(call);
    CHECK_REFUSED(EMBEDRT_INPUT_ERROR, part, error, embedrt_run_texts(model.get(), &call, &target, 1, error));
  };
  const int64_t falling[] = {0, 5, 4, 7}, late[] = {1, 3, 7}, negative[] = {0, 3, -1}, zero[] = {0, 4};
  const int32_t unknown[] = {0, 1, 2, 3, 4, 9, 1}, below[] = {0, -1, 0, 0, 0, 0, 0};
  refused("texts: size is 0", [](embedrt_texts& call) { call.size = 0; });
  refused("texts: offsets is NULL", [](embedrt_texts& call) { call.offsets = nullptr; });
  refused("texts: ids is NULL", [](embedrt_texts& call) { call.ids = nullptr; });
  refused("texts: count is", [](embedrt_texts& call) { call.count = SIZE_MAX; });
  refused("texts: the last offset is -1", [&](embedrt_texts& call) { call.offsets = negative; });
  refused("offsets must begin with 0", [&](embedrt_texts& call) { call.offsets = late; });
  refused("text 1: token id 9 is outside the vocabulary of 9", [&](embedrt_texts& call) { call.ids = unknown; });
  refused("text 0: token type -1 is outside the table of 3", [&](embedrt_texts& call) { call.types = below; });
  refused("text 0: 0 attended tokens of 3", [&](embedrt_texts& call) { call.attended = zero; });
  refused("pooling is middle, the kinds are mean|first", [](embedrt_texts& call) { call.pooling = "middle"; });
  refused("span 0 [1, 9) is outside the rows of the ids", [](embedrt_texts& call) {
    static constexpr int64_t span[] = {1, 9};
    call.spans = span;
    call.span_count = 1;
  });
  std::vector<float> many(3 * kColumns);
  const embedrt_target three{nullptr, many.data(), many.size()};
  embedrt_texts call = texts.call();
  call.count = 3;
  call.offsets = falling;
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "text 1: its offset is above the next one", error,
                embedrt_run_texts(model.get(), &call, &three, 1, error));

  call = texts.call();
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "model is NULL", error, embedrt_run_texts(nullptr, &call, &target, 1, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "texts is NULL", error,
                embedrt_run_texts(model.get(), nullptr, &target, 1, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "targets is NULL", error,
                embedrt_run_texts(model.get(), &call, nullptr, 1, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "there is no output to run for", error,
                embedrt_run_texts(model.get(), &call, &target, 0, error));
  const embedrt_target colours{"colours", rows.data(), rows.size()};
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "the model has no output colours", error,
                embedrt_run_texts(model.get(), &call, &colours, 1, error));
  const Texts longest({71});
  call = longest.call();
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "text 0: 71 tokens, the model takes at most 70", error,
                embedrt_run_texts(model.get(), &call, &target, 1, error));
}

TEST(c_api_images) {
  const std::vector<uint8_t> pixels = pixels_of(5);
  const OpenModel one = open_file(make_file(every_image_op()), 1), three = open_file(make_file(every_image_op()), 3);
  embedrt_images images = images_of(pixels);
  for (const char* name : {"patch_embeddings", "image_embedding", "logits"}) {
    embedrt_output output{};
    output.size = sizeof output;
    CHECK(embedrt_find_output(one.get(), name, &output, nullptr) == EMBEDRT_OK);
    const size_t floats = size_t{output.image_rows} * output.columns;
    const auto all = run_images(three.get(), images, name, 5 * floats);
    for (size_t i = 0; i < 5; ++i) {
      embedrt_images alone = images;
      alone.count = 1;
      alone.pixels += i * 11 * 13 * 3;
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(i * floats);
      CHECK(
          same_bits(run_images(one.get(), alone, name, floats), {first, first + static_cast<std::ptrdiff_t>(floats)}));
    }
    std::vector<float> rows(5 * floats);
    const embedrt_target small{name, rows.data(), 5 * floats - 1}, nothing{name, nullptr, 5 * floats};
    CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "floats, and there is room for", error,
                  embedrt_run_images(one.get(), &images, &small, error));
    CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "is NULL", error, embedrt_run_images(one.get(), &images, &nothing, error));
  }
  std::vector<float> rows(100000);
  const embedrt_target target{nullptr, rows.data(), rows.size()};
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "target is NULL", error, embedrt_run_images(one.get(), &images, nullptr, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "images is NULL", error, embedrt_run_images(one.get(), nullptr, &target, error));
  images.count = SIZE_MAX;
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "room", error, embedrt_run_images(one.get(), &images, &target, error));
  images = images_of(pixels);
  images.pixels = nullptr;
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "pixels is NULL", error, embedrt_run_images(one.get(), &images, &target, error));
}

// An output that is not of what the call has.
TEST(c_api_texts_are_not_images) {
  const OpenModel both = open_file(make_file(two_towers()), 1);
  const OpenModel words = open_file(make_file(TableModel().program), 1);
  std::vector<float> rows(1000);
  const embedrt_target vector{"sentence_embedding", rows.data(), rows.size()};
  const embedrt_target picture{"image_embedding", rows.data(), rows.size()}, main{nullptr, rows.data(), rows.size()};
  const Texts texts({3});
  embedrt_texts call = texts.call();
  call.types = nullptr;
  const std::vector<uint8_t> pixels(6 * 5 * 3, 9);
  embedrt_images images{};
  images.size = sizeof images;
  images.count = 1;
  images.pixels = pixels.data();
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "the output image_embedding is of images, not of texts", error,
                embedrt_run_texts(both.get(), &call, &picture, 1, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "the output sentence_embedding is of texts, not of images", error,
                embedrt_run_images(both.get(), &images, &vector, error));
  CHECK_REFUSED(EMBEDRT_INPUT_ERROR, "no output that is the main one of images", error,
                embedrt_run_images(words.get(), &images, &main, error));
  CHECK(embedrt_run_texts(both.get(), &call, &main, 1, nullptr) == EMBEDRT_OK);
  CHECK(embedrt_run_images(both.get(), &images, &main, nullptr) == EMBEDRT_OK);
}

TEST(c_api_result_that_is_not_finite) {
  TableModel table;
  put(table.program.bulk, table.program.tensors[0].offset,
      std::bit_cast<uint32_t>(std::numeric_limits<float>::infinity()));
  const OpenModel model = open_file(make_file(table.program), 1);
  const Texts texts({1});
  const embedrt_texts call = texts.call();
  std::vector<float> rows(kColumns);
  const embedrt_target target{"token_embeddings", rows.data(), rows.size()};
  CHECK_REFUSED(EMBEDRT_OTHER_ERROR, "text 0: the result is not finite", error,
                embedrt_run_texts(model.get(), &call, &target, 1, error));
}

TEST(c_api_stop) {
  const Texts texts(std::vector<int64_t>(200, 60));
  const OpenModel model = open_file(make_file(TableModel().program), 1);
  std::vector<float> rows(texts.count() * kColumns);
  const embedrt_target target{nullptr, rows.data(), rows.size()};
  embedrt_texts call = texts.call();
  int asked = 0;
  call.stop_context = &asked;
  call.stop = [](void* context) { return static_cast<int>(++*static_cast<int*>(context) == 3); };
  embedrt_error error;
  CHECK(embedrt_run_texts(model.get(), &call, &target, 1, &error) == EMBEDRT_STOPPED);
  CHECK(asked == 3 && error.status == EMBEDRT_STOPPED && std::string(error.message) == "the run was stopped");
  call.stop = [](void*) { return 0; };
  CHECK(embedrt_run_texts(model.get(), &call, &target, 1, nullptr) == EMBEDRT_OK);
  call.stop = [](void*) -> int { throw std::runtime_error("thrown by a caller"); };
  CHECK_REFUSED(EMBEDRT_OTHER_ERROR, "thrown by a caller", report,
                embedrt_run_texts(model.get(), &call, &target, 1, report));
}

// Threads that open, ask, run and fail on one model, and each now and then on its own.
TEST(c_api_from_several_threads) {
  const Bytes file = make_file(tiny_encoder(true));
  const OpenModel shared = open_file(file, 2), alone = open_file(file, 1);
  constexpr int kCallers = 6;
  std::vector<Texts> texts;
  std::vector<std::vector<float>> expected;
  const auto call_of = [&](size_t caller) {
    embedrt_texts call = texts[caller].call();
    call.types = nullptr;
    return call;
  };
  for (int caller = 0; caller < kCallers; ++caller) {
    texts.emplace_back(std::vector<int64_t>{caller + 1, 24, 3, 17}, caller);
    expected.push_back(run_texts(alone.get(), call_of(texts.size() - 1), nullptr, 4 * 16));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < kCallers; ++caller)
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 40; ++i) {
        embedrt_model* own = nullptr;
        if (i % 8 == 0) wrong += embedrt_open_memory(file.data(), file.size(), nullptr, &own, nullptr) != EMBEDRT_OK;
        wrong += !same_bits(run_texts(own ? own : shared.get(), call_of(caller), nullptr, 4 * 16), expected[caller]);
        embedrt_close(own);
        embedrt_info info{};
        info.size = sizeof info;
        wrong += embedrt_get_info(shared.get(), &info, nullptr) != EMBEDRT_OK || info.outputs != 1;
        embedrt_texts bad = call_of(caller);
        bad.types = texts[caller].types.data();
        std::vector<float> rows(4 * 16);
        const embedrt_target target{nullptr, rows.data(), rows.size()};
        embedrt_error error;
        wrong += embedrt_run_texts(shared.get(), &bad, &target, 1, &error) != EMBEDRT_INPUT_ERROR;
        wrong += std::string(error.message) != "the model has no token types: give none";
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}
