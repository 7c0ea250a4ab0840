// Quantised rows of 8 and of 16 bits beside each other in a program.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/mapped_file.h"
#include "check.h"
#include "file_maker.h"
#include "isa/dispatch.h"
#include "program/model.h"
#include "program/model_file.h"
#include "program/plan.h"

namespace embedrt::test {
namespace {

constexpr uint32_t kColumns = 70, kOut = 50, kTokens = 300;

// Linears of these bits, all on the rows of one lookup and with the same weights, added up one after the other.
ProgramMaker readers(const std::vector<uint32_t>& bits) {
  ProgramMaker p(40, kTokens);
  const uint16_t x = p.lookup(Layout::matrix_f32, kColumns, 0);
  const uint16_t first = p.linear(Layout::panel_i8, {x}, kOut, kColumns, 0, true, bits.front());
  const std::vector<uint16_t> tensors = p.instructions.back().tensors;
  uint16_t sum = first;
  for (size_t i = 1; i < bits.size(); ++i)
    sum = p.instruction("add", {sum, p.instruction("linear", {x}, tensors, {{2, bits[i]}})}, {});
  p.outputs = {{"token_embeddings", sum}};
  return p;
}

std::vector<float> run(const ProgramMaker& program, const std::string& isa, unsigned threads = 1) {
  const Model model(MappedFile::copy(make_file(program)), threads, *kernels_of(isa));
  std::vector<int32_t> ids;
  for (uint32_t i = 0; i < kTokens; ++i) ids.push_back(static_cast<int32_t>(i * i % 40));
  const std::vector<int64_t> offsets = {0, 1, 70, 71, 135, kTokens};
  std::vector<float> out(ids.size() * kOut);
  model.run({.ids = ids, .offsets = offsets}, {{"token_embeddings", out.data()}}, [] { return false; });
  return out;
}

}  // namespace

// A value is quantised once for all its readers of the same bits, in whatever order they stand.
TEST(input_bits_are_two_forms_of_one_value) {
  const ProgramMaker maker = readers({16, 8, 8, 16});
  const Program program = load_program(maker.section(), maker.bulk);
  const Plan plan(program, {program.outputs[0].value});
  std::vector<uint32_t> quantised;
  for (const Step& step : plan.steps())
    if (step.quantize) quantised.push_back(step.quantize);
  CHECK((quantised == std::vector<uint32_t>{16, 8}));
}

TEST(input_bits_beside_each_other_change_nothing) {
  for (const std::string& isa : available_isas()) {
    const std::vector<float> narrow = run(readers({8}), isa), wide = run(readers({16}), isa);
    CHECK(narrow != wide);
    std::vector<float> expected(narrow.size());
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = ((wide[i] + narrow[i]) + wide[i]) + narrow[i];
    for (const unsigned threads : {1u, 2u}) CHECK(run(readers({16, 8, 16, 8}), isa, threads) == expected);
  }
}

}  // namespace embedrt::test
