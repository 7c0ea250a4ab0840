// The program section: one test for each way in which it can be wrong.
#include <bit>
#include <cstring>
#include <limits>
#include <string>

#include "base/error.h"
#include "check.h"
#include "image_maker.h"
#include "program/limits.h"
#include "program/model_file.h"
#include "program/program.h"

using namespace embedrt;
using namespace embedrt::test;

namespace {

Program load(const ProgramMaker& maker) {
  return load_program(maker.section(), maker.bulk);
}

// Loading fails with this message after `change`.
template <class Change>
void refused(const char* message, Change change) {
  ProgramMaker maker = tiny_encoder(true);
  change(maker);
  CHECK_THROWS(FormatError, message, load(maker));
}

using Maker = ProgramMaker&;

// Indices of tiny_encoder's instructions.
enum : size_t { kWordLookup, kPositionLookup, kAdd, kNorm, kQkv, kAttention, kPooling = 11, kNormalize };

}  // namespace

TEST(ops_are_in_order_of_id) {
  uint16_t last = 0;
  for (const Op* op : all_ops()) {
    CHECK(op->id > last);
    CHECK(find_op(op->id) == op);
    CHECK(op->attributes.size() <= 9);
    last = op->id;
  }
  CHECK(find_op(0) == nullptr && find_op(65535) == nullptr);
}

TEST(layouts) {
  CHECK(layout_bytes(Layout::vector_f32, 1, 17) == 128);
  CHECK(layout_bytes(Layout::vector_i32, 1, 16) == 64);
  CHECK(layout_bytes(Layout::matrix_f32, 3, 17) == 384);
  CHECK(layout_bytes(Layout::table_i8, 3, 65) == 384);
  CHECK(layout_bytes(Layout::panel_i8, 17, 5) == 256);
  CHECK(layout_bytes(Layout::panel_f32, 17, 5) == 640);
  CHECK(layout_bytes(Layout::none, 1, 1) == 0);
  CHECK(layout_bytes(Layout::panel_f32, kMaxTensorExtent, kMaxTensorExtent) == uint64_t{1} << 58);
}

TEST(program_good) {
  for (const ProgramMaker& maker : {tiny_encoder(true), tiny_encoder(false), every_op()}) {
    const Program program = load(maker);
    CHECK(program.instructions.size() == maker.instructions.size());
    CHECK(program.tensors.size() == maker.tensors.size());
    CHECK(program.limits.vocabulary == 50 && program.limits.max_tokens == 24);
    CHECK(program.outputs.size() == maker.outputs.size());
    for (size_t i = 0; i < program.instructions.size(); ++i) {
      CHECK(program.instructions[i].op->id == maker.instructions[i].op);
      CHECK(program.instructions[i].words == maker.instructions[i].words);
    }
    const ModelFile file(MappedFile::copy(make_file(maker)));
    file.verify_bulk();
    CHECK(load_program(file).instructions.size() == maker.instructions.size());
  }
  const Program program = load(tiny_encoder(true));
  CHECK(program.type(0).kind == ValueKind::input);
  CHECK(program.type(kQkv + 1).kind == ValueKind::rows && program.type(kQkv + 1).columns == 48);
  CHECK(program.type(program.outputs[0].value).kind == ValueKind::segments);
  CHECK(program.instructions[kQkv].tensors[0]->name == "t5");
}

TEST(program_attributes_may_be_missing_and_in_any_order) {
  ProgramMaker maker = tiny_encoder(true);
  const auto entry = [&](size_t i) -> OpText& { return maker.directory[i]; };
  CHECK(entry(0).name == "lookup");
  entry(0).attributes = {"index"};
  for (auto& instruction : maker.instructions) {
    if (instruction.op == 1) instruction.words.resize(1);
  }
  for (OpText& op : maker.directory) {
    if (op.name != "attention") continue;
    op.attributes = {"precision", "heads", "scale"};
    maker.instructions[kAttention].words = {0, 2, 0x3e800000};
  }
  const Program program = load(maker);
  CHECK(program.instructions[kPositionLookup].words == (std::vector<uint32_t>{1, 0}));
  CHECK(program.instructions[kAttention].words == (std::vector<uint32_t>{2, 0x3e800000, 0, 0, 0, 0}));
}

TEST(program_header) {
  refused("program: of the vocabulary and max tokens one alone is 0", [](Maker m) { m.vocabulary = 0; });
  refused("program: the vocabulary is 16777217", [](Maker m) { m.vocabulary = kMaxVocabulary + 1; });
  refused("program: of the vocabulary and max tokens one alone is 0", [](Maker m) { m.max_tokens = 0; });
  refused("program: max tokens is 1048577", [](Maker m) { m.max_tokens = kMaxTokens + 1; });
  refused("program: of the image height and width one alone is 0", [](Maker m) { m.image = {0, 1}; });
  refused("program: the image height is 4097", [](Maker m) { m.image = {4097, 1}; });
  refused("program: the program takes neither texts nor images", [](Maker m) { m.vocabulary = m.max_tokens = 0; });
  refused("program: the number of op kinds is 0", [](Maker m) { m.directory.clear(); });
  refused("program: the number of op kinds is 65", [](Maker m) { m.directory.resize(65, m.directory[0]); });
  refused("program: the number of tensors is 65536", [](Maker m) { m.tensors.resize(65536, m.tensors[0]); });
  refused("program: the number of instructions is 0", [](Maker m) { m.instructions.clear(); });
  refused("program: the number of instructions is 4097",
          [](Maker m) { m.instructions.resize(4097, m.instructions[0]); });
  refused("program: the number of outputs is 0", [](Maker m) { m.outputs.clear(); });
  refused("program: the number of outputs is 17", [](Maker m) { m.outputs.resize(17, m.outputs[0]); });
}

TEST(program_cut_anywhere) {
  for (const ProgramMaker& maker : {every_op(), every_image_op()}) {
    const Bytes section = maker.section();
    for (size_t size = 0; size < section.size(); ++size) {
      const auto part = std::span(section).first(size);
      CHECK_THROWS(FormatError, "program: ", load_program(part, maker.bulk));
    }
    Bytes longer = section;
    longer.push_back(std::byte{0});
    CHECK_THROWS(FormatError, "program: 1 bytes follow the last record", load_program(longer, maker.bulk));
  }
}

TEST(program_directory) {
  refused("op lookup (id 999) is unknown to this runtime; reconvert", [](Maker m) { m.directory[0].id = 999; });
  refused("op frobnicate (id 1) is unknown to this runtime", [](Maker m) { m.directory[0].name = "frobnicate"; });
  refused("op lookup has an attribute colour that is unknown",
          [](Maker m) { m.directory[0].attributes[1] = "colour"; });
  refused("op lookup has the attribute index twice", [](Maker m) { m.directory[0].attributes[1] = "index"; });
  refused("op lookup stands twice", [](Maker m) { m.directory.push_back(m.directory[0]); });
  refused("an op's name is an empty name", [](Maker m) { m.directory[0].name = ""; });
  refused("has a character outside", [](Maker m) { m.directory[0].name = "look up"; });
  refused("instruction 5: op 77 is not in the directory", [](Maker m) { m.instructions[kAttention].op = 77; });
  refused("instruction 12: op 7 is not in the directory", [](Maker m) { m.directory.pop_back(); });
  refused("op attention is in the directory and no instruction uses it", [](Maker m) {
    ProgramMaker other;
    other.outputs = {{"token_embeddings", other.lookup(Layout::matrix_f32, 8, 0)}};
    for (const OpText& op : m.directory) {
      if (op.name == "attention") other.directory.push_back(op);
    }
    m = other;
  });
}

TEST(program_tensors) {
  refused("tensor 0 (t0): layout 0 is unknown", [](Maker m) { m.tensors[0].layout = 0; });
  refused("tensor 0 (t0): layout 7 is unknown", [](Maker m) { m.tensors[0].layout = 7; });
  refused("tensor 0 (t0): a shape of [0, 16]", [](Maker m) { m.tensors[0].rows = 0; });
  refused("tensor 0 (t0): a shape of [50, 0]", [](Maker m) { m.tensors[0].columns = 0; });
  refused("tensor 0 (t0): a shape of [4294967295, 16]", [](Maker m) { m.tensors[0].rows = ~0u; });
  refused("tensor 1 (t1): a vector of several rows", [](Maker m) { m.tensors[1].rows = 2; });
  refused("tensor 0 (t0): the size is 3264, its layout needs 3200", [](Maker m) { m.tensors[0].size += 64; });
  refused("tensor 0 (t0): the offset is not a multiple of 64", [](Maker m) { m.tensors[0].offset = 4; });
  refused("tensor 0 (t0): runs past the end", [](Maker m) { m.tensors[0].offset = m.bulk.size() - 64; });
  refused("tensor 0 (t0): runs past the end", [](Maker m) { m.tensors[0].offset = ~uint64_t{63}; });
  refused("tensor 0 (t0): runs past the end", [](Maker m) {
    m.tensors[0].rows = m.tensors[0].columns = kMaxTensorExtent;
    m.tensors[0].size = layout_bytes(Layout::table_i8, kMaxTensorExtent, kMaxTensorExtent);
  });
  refused("a tensor's name is an empty name", [](Maker m) { m.tensors[0].name = ""; });
  ProgramMaker shared = tiny_encoder(false);  // several tensors may lie on the same bytes
  for (TensorText& tensor : shared.tensors) tensor.offset = 0;
  load(shared);
}

TEST(program_vectors_are_finite) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    refused("tensor 1 (t1): a value is not finite",
            [&](Maker m) { put(m.bulk, m.tensors[1].offset + m.tensors[1].size - 4, std::bit_cast<uint32_t>(bad)); });
    ProgramMaker overlapping = tiny_encoder(true);
    put(overlapping.bulk, overlapping.tensors[4].offset + 60, std::bit_cast<uint32_t>(bad));
    overlapping.tensors[3].offset = overlapping.tensors[4].offset;
    CHECK_THROWS(FormatError, "a value is not finite", load(overlapping));
  }
  ProgramMaker matrix = tiny_encoder(true);  // other tensors are not looked at
  put(matrix.bulk, matrix.tensors[2].offset, std::bit_cast<uint32_t>(std::numeric_limits<float>::infinity()));
  load(matrix);
}

TEST(program_instructions) {
  refused("instruction 2 (add): input 3 is not defined yet", [](Maker m) { m.instructions[kAdd].inputs[0] = 3; });
  refused("instruction 2 (add): input 65535 is not defined yet",
          [](Maker m) { m.instructions[kAdd].inputs[1] = 65535; });
  refused("instruction 3 (norm): there is no tensor 500", [](Maker m) { m.instructions[kNorm].tensors[0] = 500; });
  refused("instruction 3 (norm): 1 tensors, the op takes 2", [](Maker m) { m.instructions[kNorm].tensors.pop_back(); });
  refused("instruction 2 (add): 3 inputs", [](Maker m) { m.instructions[kAdd].inputs.push_back(1); });
  refused("instruction 2 (add): 1 inputs", [](Maker m) { m.instructions[kAdd].inputs.pop_back(); });
  refused("instruction 4 (linear): activation is 12, the choices are none|relu",
          [](Maker m) { m.instructions[kQkv].words[0] = 12; });
  refused("instruction 3 (norm): epsilon is not finite", [](Maker m) { m.instructions[kNorm].words[1] = 0x7fc00000; });
  refused("instruction 3 (norm): epsilon is not finite", [](Maker m) { m.instructions[kNorm].words[1] = 0xff800000; });
}

// What the ops check themselves: one example each, to see that it arrives with its place.
TEST(program_ops_check) {
  refused("instruction 0 (lookup): table has 50 rows, the index reaches 51", [](Maker m) { m.vocabulary = 51; });
  refused("instruction 1 (lookup): table has 24 rows", [](Maker m) { m.max_tokens = 25; });
  refused("instruction 0 (lookup): table has 50 rows", [](Maker m) { m.instructions[0].words[1] = ~0u; });
  refused("instruction 0 (lookup): table is missing", [](Maker m) { m.instructions[0].tensors[0] = 65535; });
  refused("instruction 2 (add): ", [](Maker m) { m.instructions[kAdd].inputs[0] = 0; });
  refused("instruction 3 (norm): weight is missing", [](Maker m) { m.instructions[kNorm].tensors[0] = 65535; });
  refused("instruction 4 (linear): weight has the wrong layout", [](Maker m) { m.instructions[kQkv].tensors[0] = 1; });
  for (const uint32_t bits : {0u, 4u, 9u, 24u, 32u, ~0u})
    refused("instruction 4 (linear): input_bits is ", [&](Maker m) { m.instructions[kQkv].words[2] = bits; });
  refused("instruction 5 (attention): ", [](Maker m) { m.instructions[kAttention].words[0] = 0; });
  refused("instruction 5 (attention): ", [](Maker m) { m.instructions[kAttention].words[0] = 5; });
  refused("instruction 5 (attention): kv_heads is 3, which does not divide 2 heads",
          [](Maker m) { m.instructions[kAttention].words[5] = 3; });
  refused("instruction 5 (attention): 48 columns are not q of 4294967295 and k and v of 4294967295 heads",
          [](Maker m) { m.instructions[kAttention].words[0] = m.instructions[kAttention].words[5] = ~0u; });
  refused("instruction 5 (attention): 48 columns are not q of 3 and k and v of 1 heads", [](Maker m) {
    m.instructions[kAttention].words[0] = 3;
    m.instructions[kAttention].words[5] = 1;
  });
  refused("instruction 5 (attention): mask is 2, the choices are none|causal",
          [](Maker m) { m.instructions[kAttention].words[3] = 2; });
  refused("instruction 5 (attention): bias has the wrong layout",
          [](Maker m) { m.instructions[kAttention].tensors[0] = m.tensor(Layout::table_i8, 2, 47); });
  for (const auto& [rows, columns] : {std::pair{1u, 47u}, {2u, 46u}, {2u, 48u}, {2u, 24u}})
    refused(("bias is [" + std::to_string(rows) + ", " + std::to_string(columns) + "], expected [2, 47]").c_str(),
            [&](Maker m) { m.instructions[kAttention].tensors[0] = m.tensor(Layout::matrix_f32, rows, columns); });
  refused("instruction 11 (pool): ", [](Maker m) { m.instructions[kPooling].inputs[0] = 0; });
  refused("instruction 12 (normalize): ", [](Maker m) { m.instructions[kNormalize].inputs[0] = 0; });
}

TEST(program_outputs) {
  refused("output 0 (sentence_embedding): there is no value 0", [](Maker m) { m.outputs[0].second = 0; });
  refused("output 0 (sentence_embedding): there is no value 14", [](Maker m) { m.outputs[0].second = 14; });
  refused("output 0 (colours): the name is unknown", [](Maker m) { m.outputs[0].first = "colours"; });
  for (const char* name : {"token_embeddings", "token_weights", "multi_vector_embedding"})
    refused(("output 0 (" + std::string(name) + "): the value has no row for each token").c_str(),
            [&](Maker m) { m.outputs[0].first = name; });
  refused("output 0 (class_token): the value has no row for each image",
          [](Maker m) { m.outputs[0].first = "class_token"; });
  refused("output 0 (logits): the value has no row for each text or image",
          [](Maker m) { m.outputs[0] = {"logits", 3}; });
  refused("output 0 (sparse_embedding): the value has no row for each text",
          [](Maker m) { m.outputs[0] = {"sparse_embedding", 3}; });
  refused("output 0 (token_weights): the value has several columns",
          [](Maker m) { m.outputs[0] = {"token_weights", 3}; });
  refused("output 0 (sentence_embedding): the value has no row for each text",
          [](Maker m) { m.outputs[0].second = 3; });
  refused("output 1 (sentence_embedding): the name is there twice", [](Maker m) { m.outputs.push_back(m.outputs[0]); });
  refused("instruction 12 (normalize): nothing reads its value", [](Maker m) { m.outputs[0].second = 12; });
  for (const char* name : {"logits", "sparse_embedding"}) {
    ProgramMaker texts = tiny_encoder(true);
    texts.outputs[0].first = name;
    CHECK(load(texts).outputs[0].name == name);
  }
}

TEST(program_types_are_those_that_every_table_has) {
  CHECK(load(tiny_encoder(true)).limits.types == 0);
  ProgramMaker maker;
  const auto table = [&](uint32_t rows, uint32_t offset) {
    return maker.instruction("lookup", {0}, {maker.tensor(Layout::matrix_f32, rows, 8)}, {{0, 3}, {1, offset}});
  };
  const uint16_t both = maker.instruction("add", {table(7, 2), table(4, 0)}, {});
  maker.outputs = {{"token_embeddings", both}};
  CHECK(load(maker).limits.types == 4);
  maker.instructions[0].words[1] = 6;
  CHECK(load(maker).limits.types == 1);
  maker.instructions[0].words[1] = 7;
  CHECK_THROWS(FormatError, "instruction 0 (lookup): table has 7 rows, the index reaches 8", load(maker));
}

TEST(program_costs) {
  // 2^36 is 3,970 linear layers of 4,160 by 4,160, and something; here over one weight.
  ProgramMaker heavy;
  const uint32_t width = 4160;
  uint16_t x = heavy.lookup(Layout::matrix_f32, width, 2);
  x = heavy.linear(Layout::panel_i8, {x}, width, width, 0, false);
  const InstructionText layer = heavy.instructions.back();
  const auto one_more = [&] {
    heavy.instructions.push_back(layer);
    heavy.instructions.back().inputs = {x++};
    heavy.outputs = {{"token_embeddings", x}};
  };
  for (int i = 1; i < 3970; ++i) one_more();
  CHECK(work_per_token(load(heavy)) == uint64_t{3970} * width * width + width);
  one_more();
  CHECK_THROWS(FormatError, "multiply-adds for one token", load(heavy));
}

TEST(program_memory) {
  CHECK(value_bytes(load(tiny_encoder(true)), 10, 0) == (48 + 16 + 16) * 4 * 10);
  ProgramMaker wide;
  wide.max_tokens = 1 << 20;
  const uint16_t first = wide.lookup(Layout::matrix_f32, 1024, 2), second = wide.lookup(Layout::matrix_f32, 1024, 2);
  wide.outputs = {{"token_embeddings", wide.instruction("norm", {first}, {wide.tensor(Layout::vector_f32, 1, 1024)})}};
  wide.outputs[0].second = wide.instruction("add", {second, wide.outputs[0].second}, {});
  CHECK_THROWS(FormatError, "values of more than 8589934592 bytes for 1048576 tokens", load(wide));
  wide.max_tokens = 690000;
  CHECK(value_bytes(load(wide), wide.max_tokens, 0) == uint64_t{3} * 1024 * 4 * 690000);

  // A vocabulary's logits that are only pooled never lie in memory; the pooled rows are those of a block's texts.
  const auto logits = [](uint32_t tokens, bool all) {
    ProgramMaker p(50, tokens);
    const uint16_t x = p.lookup(Layout::matrix_f32, 16, 0);
    const uint16_t y = p.linear(Layout::panel_i8, {x}, kMaxColumns, 16, 0, false);
    p.outputs = {{"sentence_embedding", p.instruction("pool", {y}, {}, {{0, 3}})}};
    if (all) p.outputs.emplace_back("token_embeddings", y);
    return p;
  };
  CHECK(value_bytes(load(logits(8192, false)), 8192, 0) == (uint64_t{8192} * 16 + uint64_t{1152} * kMaxColumns) * 4);
  CHECK_THROWS(FormatError, "values of more than 8589934592 bytes for 8192 tokens", load(logits(8192, true)));
}

TEST(program_columns) {
  const auto program = [](uint32_t columns, bool product) {
    ProgramMaker p(50, 24);
    uint16_t x = p.linear(Layout::panel_i8, {p.lookup(Layout::matrix_f32, 4, 0)}, columns, 4, 0, false);
    if (product) x = p.linear(Layout::panel_i8, {x}, 4, columns, 0, false);
    p.outputs = {{"token_embeddings", x}};
    return p;
  };
  CHECK(load(program(kMaxColumns, false)).instructions.back().type.columns == 262144);
  CHECK_THROWS(FormatError, "defines 262145 columns, allowed are 1 to 262144", load(program(262145, false)));
  CHECK(load(program(65536, true)).instructions.size() == 3);
  CHECK_THROWS(FormatError, "dots of 65537 products, at most 65536", load(program(65537, true)));
}
