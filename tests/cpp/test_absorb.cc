// Attention that computes its q, k and v itself, some heads at a time, against attention that finds them in memory; and
// likewise max pooling of the columns of a linear layer.
#include <algorithm>
#include <cstring>

#include "base/mapped_file.h"
#include "check.h"
#include "file_maker.h"
#include "guarded.h"
#include "isa/dispatch.h"
#include "kernel_cases.h"
#include "ops/run.h"
#include "program/model.h"
#include "program/model_file.h"
#include "program/plan.h"

namespace embedrt::test {
namespace {

constexpr uint32_t kLongest = 300;

struct Heads {
  uint32_t count, dim, kv = count;
  std::string words() const {
    return std::to_string(count) + " heads by " + std::to_string(kv) + " of " + std::to_string(dim);
  }
};
constexpr Heads kHeads[] = {{1, 16}, {5, 16}, {12, 32}, {3, 64}, {12, 64}, {6, 16, 3}, {12, 32, 2}, {7, 16, 1}};

// One attention over the qkv of a lookup; with `twice`, the sum of two, so that qkv has two readers. `near`: with a
// bias and a window, and q, k and v of 16-bit rows.
ProgramMaker attention_program(const Heads& heads, bool twice, bool near = false) {
  ProgramMaker p(40, kLongest);
  const uint32_t columns = 20;
  const uint16_t x = p.lookup(Layout::matrix_f32, columns, 0);
  const uint16_t qkv =
      p.linear(Layout::panel_i8, {x}, (heads.count + 2 * heads.kv) * heads.dim, columns, 0, true, near ? 16 : 8);
  std::vector<uint16_t> bias;
  if (near) bias = {p.tensor(Layout::matrix_f32, heads.count, 2 * kLongest - 1)};
  const auto attend = [&] {
    return p.instruction("attention", {qkv}, bias,
                         {{0, heads.count}, {1, 0x3e800000}, {2, 0}, {4, near ? 60 : 0}, {5, heads.kv}});
  };
  uint16_t out = attend();
  if (twice) out = p.instruction("add", {out, attend()}, {});
  p.outputs = {{"token_embeddings", out}};
  return p;
}

const Step* attention_step(const Plan& plan) {
  for (const Step& step : plan.steps())
    if (step.instruction->op->name == std::string_view("attention")) return &step;
  return nullptr;
}

// The maximum of a linear layer of `columns`; with `twice`, the sum of two, so that its value has two readers.
ProgramMaker pool_program(Layout weights, uint32_t columns, bool twice, uint32_t input_bits = 8) {
  ProgramMaker p(40, kLongest);
  constexpr uint32_t kWidth = 20;
  const uint16_t y = p.linear(weights, {p.lookup(Layout::matrix_f32, kWidth, 0)}, columns, kWidth, 1, true, input_bits);
  const auto pool = [&] { return p.instruction("pool", {y}, {}, {{0, 3}}); };
  uint16_t out = pool();
  if (twice) out = p.instruction("add", {out, pool()}, {});
  p.outputs = {{"sentence_embedding", out}};
  return p;
}

std::vector<float> run(const Model& model, const std::vector<uint32_t>& lengths, size_t width) {
  Random random(lengths.size());
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets = {0};
  for (const uint32_t length : lengths) {
    for (uint32_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>(random.below(40)));
    offsets.push_back(static_cast<int64_t>(ids.size()));
  }
  const std::string& output = model.program().outputs[0].name;
  const bool rows = model.output_type(output).kind == ValueKind::rows;
  std::vector<float> out((rows ? ids.size() : lengths.size()) * width);
  model.run({.ids = ids, .offsets = offsets}, {{output, out.data()}}, [] { return false; });
  return out;
}

}  // namespace

TEST(absorb_when_attention_alone_reads_whole_panels) {
  const auto absorbed = [](const ProgramMaker& maker) {
    const Program program = load_program(maker.section(), maker.bulk);
    const Plan plan(program, {program.outputs[0].value});
    const Step* step = attention_step(plan);
    // The value of an absorbed producer has no memory of its own.
    constexpr uint16_t kQkv = 2;
    const bool kept = std::any_of(plan.buffers().begin(), plan.buffers().end(),
                                  [](const Buffer& buffer) { return buffer.value == kQkv && buffer.bits == 0; });
    CHECK(step != nullptr && kept == (step->producer == nullptr));
    return step->producer != nullptr;
  };
  CHECK(absorbed(attention_program({3, 16}, false)));
  CHECK(absorbed(attention_program({6, 16, 2}, false)));
  CHECK(!absorbed(attention_program({3, 16}, true)));
  CHECK(!absorbed(attention_program({3, 24}, false)));
  CHECK(!absorbed(attention_program({6, 24, 2}, false)));
}

// Ragged blocks, small ones after large ones in the same memory. The sum of two equal floats is exact.
TEST(absorb_does_not_change_a_bit) {
  const std::vector<std::vector<uint32_t>> calls = {
      {kLongest}, {85}, {110}, {1}, {3, 0, 64, 1, 17, 0, 90, 33, 16, 65, 2}};
  for (const std::string& isa : available_isas())
    for (const Heads& heads : kHeads)
      for (const bool near : {false, true}) {
        const auto model = [&](bool twice) {
          const auto program = attention_program(heads, twice, near);
          return std::make_unique<Model>(MappedFile::copy(make_file(program)), 1u, *kernels_of(isa));
        };
        const auto absorbing = model(false), plain = model(true);
        for (const auto& lengths : calls) {
          auto found = run(*absorbing, lengths, heads.count * heads.dim);
          const auto expected = run(*plain, lengths, heads.count * heads.dim);
          for (float& x : found) x += x;
          check(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) == 0, "other bits", __FILE__,
                __LINE__, isa + ", " + heads.words() + (near ? ", near" : ""));
        }
      }
}

// Scratch for n rows serves any number of rows up to n: fewer rows are computed for more heads at a time.
TEST(absorb_stays_in_its_scratch) {
  constexpr size_t kRows = 192, kColumns = 20, kStride = quantized_stride(kColumns);
  const Kernels& kernels = *kernels_of(available_isas().front());
  for (const Heads& heads : kHeads) {
    const ModelFile file(MappedFile::copy(make_file(attention_program(heads, false))));
    const Program program = load_program(file);
    const Plan plan(program, {program.outputs[0].value});
    const Step& step = *attention_step(plan);
    const size_t width = heads.count * heads.dim;
    Guarded<uint8_t> bytes(kRows * kStride);
    Guarded<float> scale(kRows), offset(kRows);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = i % kStride < kColumns ? static_cast<uint8_t>(i * 37) : 0;
    for (size_t r = 0; r < kRows; ++r) {
      scale[r] = 0.01f;
      offset[r] = -1.0f;
    }
    View input;
    input.q = {bytes.data(), kStride, scale.data(), offset.data()};
    for (size_t rows = 1; rows <= kRows; rows += rows < 80 ? 11 : 1) {
      FloatRows out(rows, width);
      View output;
      output.x = out.row(0);
      output.stride = out.stride();
      const size_t starts[] = {0, rows / 3, rows};
      const size_t size = step.instruction->op->scratch(kernels, *step.instruction, step.producer, kRows, kRows);
      Guarded<std::byte> scratch(size);
      step.instruction->op->run({.kernels = kernels,
                                 .rows = rows,
                                 .starts = starts,
                                 .inputs = {&input, 1},
                                 .producer = step.producer,
                                 .output = output,
                                 .scratch = scratch.data()},
                                *step.instruction);
      scratch.expect_guards("scratch");
    }
  }
}

TEST(absorb_of_a_long_text_never_holds_its_qkv) {
  const Kernels& kernels = *kernels_of("scalar");
  for (const Heads& heads : kHeads) {
    const ModelFile file(MappedFile::copy(make_file(attention_program(heads, false))));
    const Program program = load_program(file);
    const Plan plan(program, {program.outputs[0].value});
    const Step& step = *attention_step(plan);
    constexpr size_t kTokens = 8192;
    const size_t scratch = step.instruction->op->scratch(kernels, *step.instruction, step.producer, kTokens, kTokens);
    const size_t tile = scratch - kernels.attention_i8_scratch(kTokens, heads.dim, 0);
    // One head's k and v and the q that share them, each row padded by less than 32 floats.
    CHECK(tile <= kTokens * ((heads.count / heads.kv + 2) * heads.dim + 32) * sizeof(float) + 64);
  }
}

TEST(absorb_when_only_a_maximum_is_taken) {
  const auto absorbed = [](const ProgramMaker& maker) {
    const Program program = load_program(maker.section(), maker.bulk);
    const Plan plan(program, {program.outputs[0].value});
    constexpr uint16_t kProduct = 2;
    return std::none_of(plan.buffers().begin(), plan.buffers().end(),
                        [](const Buffer& buffer) { return buffer.value == kProduct; });
  };
  for (const Layout weights : {Layout::panel_i8, Layout::panel_f32}) {
    CHECK(absorbed(pool_program(weights, 100, false)));
    CHECK(!absorbed(pool_program(weights, 100, true)));
    ProgramMaker mean = pool_program(weights, 100, false);
    mean.instructions.back().words[0] = 0;
    CHECK(!absorbed(mean));
  }
}

// Columns that no tile of a block divides, on threads that share them; texts without tokens.
TEST(absorb_of_columns_does_not_change_a_bit) {
  const std::vector<std::vector<uint32_t>> calls = {{kLongest}, {256}, {1}, {0}, {3, 0, 64, 1, 17, 0, 90, 133, 16, 0}};
  for (const std::string& isa : available_isas())
    for (const auto& [weights, bits] :
         {std::pair{Layout::panel_i8, 8u}, {Layout::panel_i8, 16u}, {Layout::panel_f32, 8u}})
      for (const uint32_t columns : {1u, 16u, 250u, 3000u}) {
        const auto model = [&](bool twice, unsigned threads) {
          const auto program = pool_program(weights, columns, twice, bits);
          return std::make_unique<Model>(MappedFile::copy(make_file(program)), threads, *kernels_of(isa));
        };
        const auto plain = model(true, 1);
        for (const unsigned threads : {1u, 3u}) {
          const auto absorbing = model(false, threads);
          for (const auto& lengths : calls) {
            auto found = run(*absorbing, lengths, columns);
            const auto expected = run(*plain, lengths, columns);
            for (float& x : found) x += x;
            check(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) == 0, "other bits", __FILE__,
                  __LINE__, isa + ", " + std::to_string(columns) + " columns");
          }
        }
      }
}

TEST(absorb_of_columns_stays_in_its_scratch) {
  constexpr size_t kRows = 400, kColumns = 20, kOut = 3000;
  const Kernels& kernels = *kernels_of(available_isas().front());
  const ModelFile file(MappedFile::copy(make_file(pool_program(Layout::panel_f32, kOut, false))));
  const Program program = load_program(file);
  const Plan plan(program, {program.outputs[0].value});
  const Step& step = plan.steps().back();
  Random random(1);
  FloatRows x(kRows, kColumns, Filling::plain, random);
  View input;
  input.x = x.row(0);
  input.stride = x.stride();
  for (size_t rows = 1; rows <= kRows; rows += rows < 80 ? 7 : 29) {
    FloatRows out(2, kOut);
    View output;
    output.x = out.row(0);
    output.stride = out.stride();
    const size_t starts[] = {0, rows / 3, rows};
    const RowRange pooled[] = {{0, rows / 3}, {rows / 3, rows}};
    Guarded<std::byte> scratch(step.instruction->op->scratch(kernels, *step.instruction, step.producer, kRows, kRows));
    step.instruction->op->run({.kernels = kernels,
                               .rows = 2,
                               .starts = starts,
                               .pooled = pooled,
                               .inputs = {&input, 1},
                               .producer = step.producer,
                               .output = output,
                               .scratch = scratch.data()},
                              *step.instruction);
    scratch.expect_guards("scratch");
    std::vector<uint8_t> result;
    out.collect(result, "output");
  }
  // A long text's logits of 30,522 columns would be 1 GB.
  CHECK(step.instruction->op->scratch(kernels, *step.instruction, step.producer, 8192, 8192) <= 1 << 20);
}

}  // namespace embedrt::test
