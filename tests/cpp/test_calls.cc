// What a call may ask for beside an output of texts: token types, spans, another pooling, several outputs in one pass.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "base/error.h"
#include "base/mapped_file.h"
#include "check.h"
#include "file_maker.h"
#include "program/model.h"

using namespace embedrt;
using namespace embedrt::test;

namespace {

using Span = std::array<int64_t, 2>;

std::unique_ptr<Model> model_of(const ProgramMaker& program, unsigned threads) {
  return std::make_unique<Model>(MappedFile::copy(make_file(program)), threads);
}

// A tiny encoder with types, whose rows, pooled rows and a linear of each are outputs: logits, and one number a token.
ProgramMaker many_outputs(bool quantised) {
  ProgramMaker p(7, 300);
  const Layout panel = quantised ? Layout::panel_i8 : Layout::panel_f32;
  uint16_t x = p.instruction("add", {p.lookup(Layout::table_i8, 32, 0), p.lookup(Layout::matrix_f32, 32, 1)}, {});
  x = p.norm(p.instruction("add", {x, p.lookup(Layout::matrix_f32, 32, 3)}, {}), 32, 0, true);
  const uint16_t qkv = p.linear(panel, {x}, 96, 32, 0, true);
  const uint16_t mixed = p.instruction("attention", {qkv}, {}, {{0, 2}, {1, 0x3e800000}});
  x = p.norm(p.linear(panel, {mixed, x}, 32, 32, 0, true), 32, 0, true);
  const uint16_t pooled = p.instruction("pool", {x}, {}, {{0, 5}});
  p.outputs = {{"token_embeddings", x},
               {"sentence_embedding", p.instruction("normalize", {pooled}, {})},
               {"logits", p.linear(panel, {pooled}, 5, 32, 0, true)},
               {"token_weights", p.linear(panel, {x}, 1, 32, 1, true)},
               {"multi_vector_embedding", p.linear(panel, {x}, 24, 32, 0, false)}};
  return p;
}

struct Input {
  std::vector<int32_t> ids, types;
  std::vector<int64_t> offsets{0};

  explicit Input(const std::vector<int64_t>& lengths) {
    for (const int64_t length : lengths) offsets.push_back(offsets.back() + length);
    for (int64_t i = 0; i < offsets.back(); ++i) {
      ids.push_back(static_cast<int32_t>((i * 5 + i / 3) % 7));
      types.push_back(static_cast<int32_t>(i / 2 % kTypes));
    }
  }
  TextCall call() const { return {.ids = ids, .offsets = offsets, .types = types}; }
};

using Rows = std::vector<float>;

std::vector<Rows> run_all(const Model& model, const TextCall& call, const std::vector<std::string>& outputs) {
  std::vector<Rows> results;
  std::vector<Target> targets;
  for (const std::string& output : outputs) {
    const ValueType type = model.output_type(output);
    targets.push_back({output, results.emplace_back(call.rows(type) * type.columns).data()});
  }
  CHECK(model.run(call, targets, [] { return false; }));
  return results;
}

Rows run(const Model& model, const TextCall& call, const std::string& output) {
  return run_all(model, call, {output})[0];
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(std::as_bytes(a), std::as_bytes(b));
}

const std::vector<std::string> kOutputs = {"token_embeddings", "sentence_embedding", "logits", "token_weights",
                                           "multi_vector_embedding"};
const std::vector<int64_t> kLengths = {3, 0, 1, 120, 300, 65, 0, 7, 64, 2, 17};

// Spans all over the texts: overlapping ones, whole texts, single rows; in one text more of them than it has rows.
std::vector<Span> spans_of(const Input& input) {
  std::vector<Span> spans;
  for (size_t text = 0; text + 1 < input.offsets.size(); ++text) {
    const int64_t first = input.offsets[text], last = input.offsets[text + 1];
    if (first == last || text == 2) continue;
    for (int64_t i = 0; i < (text == 7 ? 700 : 3); ++i)
      spans.push_back({first + i % (last - first), std::min(last, first + i % (last - first) + 1 + 2 * i)});
    spans.push_back({first, last});
  }
  return spans;
}

}  // namespace

TEST(call_of_several_outputs_gives_the_bits_of_each) {
  for (const bool quantised : {true, false}) {
    const Input input(kLengths);
    const auto alone = model_of(many_outputs(quantised), 1);
    std::vector<Rows> expected;
    for (const std::string& output : kOutputs) expected.push_back(run(*alone, input.call(), output));
    for (const unsigned threads : {1u, 2u, 7u}) {
      const auto model = model_of(many_outputs(quantised), threads);
      for (size_t set = 1; set < size_t{1} << kOutputs.size(); ++set) {
        std::vector<std::string> outputs;
        std::vector<size_t> which;
        for (size_t i = kOutputs.size(); i-- > 0;)  // not in the program's order
          if (set >> i & 1) which.push_back(i), outputs.push_back(kOutputs[i]);
        outputs.push_back(outputs.front());  // and one of them twice
        which.push_back(which.front());
        const auto found = run_all(*model, input.call(), outputs);
        for (size_t i = 0; i < which.size(); ++i)
          check(same_bits(found[i], expected[which[i]]), "other bits", __FILE__, __LINE__, outputs[i]);
      }
    }
  }
}

// An output that attention would have absorbed, were it not one.
TEST(call_output_is_not_absorbed) {
  ProgramMaker p(7, 60);
  const uint16_t x = p.lookup(Layout::matrix_f32, 16, 0);
  const uint16_t qkv = p.linear(Layout::panel_i8, {x}, 48, 16, 0, true);
  p.outputs = {{"token_embeddings", p.instruction("attention", {qkv}, {}, {{0, 1}})}, {"multi_vector_embedding", qkv}};
  const auto model = model_of(p, 2);
  const Input input({60, 3, 20});
  const TextCall call{.ids = input.ids, .offsets = input.offsets};
  const auto both = run_all(*model, call, {"token_embeddings", "multi_vector_embedding"});
  CHECK(same_bits(both[0], run(*model, call, "token_embeddings")));
  CHECK(same_bits(both[1], run(*model, call, "multi_vector_embedding")));
}

// A maximum that takes its columns piece by piece, beside one that finds them in memory since they are an output too.
TEST(call_spans_of_an_absorbed_linear) {
  ProgramMaker p(7, 300);
  const uint16_t x = p.linear(Layout::panel_i8, {p.lookup(Layout::matrix_f32, 16, 0)}, 3000, 16, 0, true);
  p.outputs = {{"sparse_embedding", p.instruction("pool", {x}, {}, {{0, 3}})}, {"token_embeddings", x}};
  const Input input(kLengths);
  const std::vector<Span> spans = spans_of(input);
  for (const unsigned threads : {1u, 3u}) {
    const auto model = model_of(p, threads);
    for (const bool whole : {true, false})
      for (const auto pooling : {std::optional<PoolKind>(), std::optional(PoolKind::mean)}) {
        TextCall call{.ids = input.ids, .offsets = input.offsets, .pooling = pooling};
        if (!whole) call.spans = spans;
        const Rows beside = run_all(*model, call, {"sparse_embedding", "token_embeddings"})[0];
        CHECK(same_bits(run(*model, call, "sparse_embedding"), beside));
      }
  }
}

TEST(call_by_several_callers_at_once_makes_each_set_once) {
  const Input input({9, 40, 130});
  const auto alone = model_of(many_outputs(true), 1), shared = model_of(many_outputs(true), 2);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < 6; ++caller)
    callers.emplace_back([&, caller] {
      for (size_t i = 0; i < 30; ++i) {
        const std::vector<std::string> outputs = {kOutputs[(caller + i) % 5], kOutputs[(caller * i) % 5]};
        const auto found = run_all(*shared, input.call(), outputs);
        wrong += !same_bits(found[0], run(*shared, input.call(), outputs[0]));
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
  CHECK(same_bits(run(*shared, input.call(), "logits"), run(*alone, input.call(), "logits")));
}

TEST(call_types_choose_rows) {
  const Input input(kLengths);
  const auto model = model_of(many_outputs(true), 2);
  CHECK(model->program().limits.types == kTypes);
  TextCall call = input.call();
  const Rows typed = run(*model, call, "sentence_embedding");
  call.types = {};
  const Rows plain = run(*model, call, "sentence_embedding");
  const std::vector<int32_t> zeros(input.ids.size(), 0);
  call.types = zeros;
  CHECK(same_bits(run(*model, call, "sentence_embedding"), plain));
  CHECK(!same_bits(typed, plain));
  // A text alone has its own types.
  for (size_t text = 0; text + 1 < input.offsets.size(); ++text) {
    const auto first = static_cast<size_t>(input.offsets[text]), last = static_cast<size_t>(input.offsets[text + 1]);
    const std::array<int64_t, 2> offsets = {0, static_cast<int64_t>(last - first)};
    const TextCall one{.ids = std::span(input.ids).subspan(first, last - first),
                       .offsets = offsets,
                       .types = std::span(input.types).subspan(first, last - first)};
    CHECK(same_bits(run(*model, one, "sentence_embedding"), std::span(typed).subspan(32 * text, 32)));
  }
}

// The rows of a span, pooled here as the op's definition says, in the op's order of additions.
TEST(call_spans_pool_their_rows) {
  const Input input(kLengths);
  for (const unsigned threads : {1u, 3u}) {
    const auto model = model_of(many_outputs(true), threads);
    const std::vector<Span> spans = spans_of(input);
    TextCall call = input.call();
    call.spans = spans;
    call.pooling = PoolKind::sum;
    const auto both = run_all(*model, call, {"sentence_embedding", "token_embeddings"});
    CHECK(both[0].size() == spans.size() * 32);
    CHECK(same_bits(both[1], run(*model, input.call(), "token_embeddings")));
    for (size_t i = 0; i < spans.size(); ++i) {
      double length = 0.0, worst = 0.0;
      std::vector<double> sums(32, 0.0);
      for (size_t c = 0; c < 32; ++c) {
        for (auto row = static_cast<size_t>(spans[i][0]); row < static_cast<size_t>(spans[i][1]); ++row)
          sums[c] += static_cast<double>(both[1][row * 32 + c]);
        length += sums[c] * sums[c];
      }
      for (size_t c = 0; c < 32; ++c)
        worst = std::max(worst, std::abs(sums[c] / std::sqrt(length) - static_cast<double>(both[0][i * 32 + c])));
      CHECK(worst < 1e-5);
    }
  }
}

TEST(call_spans_of_whole_texts_change_nothing) {
  const Input input({5, 300, 1, 80});
  const auto model = model_of(many_outputs(false), 2);
  std::vector<Span> spans;
  for (size_t text = 0; text + 1 < input.offsets.size(); ++text)
    spans.push_back({input.offsets[text], input.offsets[text + 1]});
  TextCall call = input.call();
  call.spans = spans;
  for (const char* output : {"sentence_embedding", "logits"})
    CHECK(same_bits(run(*model, call, output), run(*model, input.call(), output)));
  call.spans = std::span<const Span>();
  CHECK(run(*model, call, "sentence_embedding").empty());
  CHECK(same_bits(run(*model, call, "token_embeddings"), run(*model, input.call(), "token_embeddings")));
}

TEST(call_pooling_goes_before_the_programs) {
  const Input input({4, 9});
  const auto model = model_of(many_outputs(true), 1);
  const Rows rows = run(*model, input.call(), "token_embeddings");
  const Rows usual = run(*model, input.call(), "logits");
  for (uint32_t kind = 0; kind < 7; ++kind) {
    TextCall call = input.call();
    call.pooling = static_cast<PoolKind>(kind);
    CHECK(same_bits(run(*model, call, "logits"), usual) == (kind == 5));
    CHECK(same_bits(run(*model, call, "token_embeddings"), rows));
  }
  ProgramMaker other = many_outputs(true);
  for (InstructionText& instruction : other.instructions)
    if (instruction.op == 6) instruction.words[0] = 3;
  TextCall call = input.call();
  call.pooling = PoolKind::max;
  CHECK(same_bits(run(*model, call, "logits"), run(*model_of(other, 1), input.call(), "logits")));
}

TEST(call_refusals) {
  const Input input({3, 0, 4});
  const auto model = model_of(many_outputs(true), 1);
  const auto refused = [&](const char* message, const TextCall& call) {
    CHECK_THROWS(InputError, message, run(*model, call, "logits"));
  };
  const auto with_types = [&](const std::vector<int32_t>& types, const char* message) {
    TextCall call = input.call();
    call.types = types;
    refused(message, call);
  };
  with_types({0, 0, 0, 0, 3, 0, 0}, "text 2: token type 3 is outside the table of 3");
  with_types({-1, 0, 0, 0, 0, 0, 0}, "text 0: token type -1 is outside the table of 3");
  with_types({0, 0, 0, 0, 0, 0}, "6 token types for 7 ids");
  with_types({}, "0 token types for 7 ids");
  const auto with_spans = [&](const std::vector<Span>& spans, const char* message) {
    TextCall call = input.call();
    call.spans = spans;
    refused(message, call);
  };
  constexpr int64_t least = std::numeric_limits<int64_t>::min(), most = std::numeric_limits<int64_t>::max();
  with_spans({{0, 3}, {2, 4}}, "span 1 [2, 4) runs past the end of text 0");
  with_spans({{3, 7}, {0, 3}}, "span 1 [0, 3) is of a text before that of the span before it");
  with_spans({{2, 2}}, "span 0 [2, 2) is empty");
  with_spans({{2, 1}}, "span 0 [2, 1) is empty");
  with_spans({{6, 8}}, "span 0 [6, 8) is outside the rows of the ids");
  with_spans({{-1, 2}}, "span 0 [-1, 2) is outside the rows of the ids");
  with_spans({{least, most}}, "is outside the rows of the ids");
  with_spans({{most, 1}}, "is empty");
  const auto never = [] { return false; };
  CHECK_THROWS(InputError, "there is no output to run for", model->run(input.call(), {}, never));
  CHECK_THROWS(InputError, "the model has no output colours", run_all(*model, input.call(), {"logits", "colours"}));
  const auto plain = model_of(tiny_encoder(true), 1);
  CHECK_THROWS(InputError, "the model has no token types: give none", run(*plain, input.call(), "sentence_embedding"));
}

TEST(call_with_spans_names_the_text_that_is_not_finite) {
  ProgramMaker p(7, 60);
  const uint16_t table = p.tensor(Layout::matrix_f32, 7, 8);
  p.outputs = {{"sentence_embedding", p.instruction("pool", {p.instruction("lookup", {0}, {table})}, {}, {{0, 4}})}};
  put(p.bulk, p.tensors[table].offset + 6 * 64, std::bit_cast<uint32_t>(std::numeric_limits<float>::infinity()));
  const auto model = model_of(p, 1);
  const std::vector<int32_t> ids = {1, 2, 3, 6, 1, 1};
  const std::vector<int64_t> offsets = {0, 0, 3, 3, 6};
  const std::vector<Span> bad = {{0, 1}, {1, 3}, {4, 5}, {3, 5}}, good = {{0, 1}, {1, 3}, {4, 5}, {5, 6}};
  TextCall call{.ids = ids, .offsets = offsets};
  CHECK_THROWS(Error, "text 3: the result is not finite", run(*model, call, "sentence_embedding"));
  call.spans = bad;
  CHECK_THROWS(Error, "text 3: the result is not finite", run(*model, call, "sentence_embedding"));
  call.spans = good;
  CHECK(run(*model, call, "sentence_embedding").size() == 4 * 8);
}

TEST(call_unit_length_is_that_of_normalize) {
  const auto model = model_of(many_outputs(true), 1);
  CHECK(model->unit_length("sentence_embedding"));
  CHECK(!model->unit_length("logits") && !model->unit_length("token_embeddings"));
  CHECK_THROWS(InputError, "the model has no output colours", model->unit_length("colours"));
}
