// Writes model files for tests and fuzzing, good ones and bad ones. It checks nothing: records are written as they
// stand.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ops/op.h"
#include "program/format.h"

namespace embedrt::test {

using Bytes = std::vector<std::byte>;

constexpr uint32_t kTypes = 3;

struct TensorText {
  uint32_t layout, rows, columns;
  uint64_t offset, size;
  std::string name;
};

struct InstructionText {
  uint16_t op;
  std::vector<uint16_t> inputs, tensors;
  std::vector<uint32_t> words;
};

struct OpText {
  uint16_t id;
  std::string name;
  std::vector<std::string> attributes;
};

// A program and its tensors. The directory lists the ops that instruction() was called with, with all their attributes.
class ProgramMaker {
 public:
  explicit ProgramMaker(uint32_t ids = 50, uint32_t tokens = 24) : vocabulary(ids), max_tokens(tokens) {}

  uint32_t vocabulary, max_tokens;
  std::array<uint32_t, 2> image = {0, 0};  // height, width
  std::vector<OpText> directory;
  std::vector<TensorText> tensors;
  std::vector<InstructionText> instructions;
  std::vector<std::pair<std::string, uint16_t>> outputs;
  Bytes bulk;

  // Adds a tensor of small numbers (floats in ±most, int8 in ±127) and returns its index.
  uint16_t tensor(Layout layout, uint32_t rows, uint32_t columns, float most = 1.0f);

  // Adds an instruction with default attributes but for `words` (index → word), and returns the value that it defines.
  uint16_t instruction(const char* op, std::vector<uint16_t> inputs, std::vector<uint16_t> tensors,
                       const std::map<size_t, uint32_t>& words = {});

  // Shorthands that make the tensors too. A table of token types has kTypes rows.
  uint16_t lookup(Layout layout, uint32_t columns, uint32_t index);
  uint16_t norm(uint16_t x, uint32_t columns, uint32_t kind, bool bias);
  uint16_t linear(Layout layout, std::vector<uint16_t> inputs, uint32_t n, uint32_t k, uint32_t activation, bool bias,
                  uint32_t input_bits = 8);

  Bytes section() const;

 private:
  uint32_t random_ = 1;
};

// A file of these sections, with right checksums and digest, in the order of their kinds.
Bytes make_file(const std::map<uint32_t, Bytes>& sections);
Bytes make_file(const ProgramMaker& program);

// Recomputes the checksum of the header, after a test has changed it.
void repair_header(Bytes& file);

template <class T>
void put(Bytes& file, size_t at, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) file[at + i] = static_cast<std::byte>(value >> (8 * i));
}

// Every op that a text may have, every layout and every choice of an attribute that this version runs, on odd widths
// from `width` up, with two outputs.
ProgramMaker every_op(uint32_t width = 24);

// A small encoder of 2 · head_dim columns: embeddings, one attention block, mean pooling, normalisation.
ProgramMaker tiny_encoder(bool quantised, uint32_t head_dim = 8);

}  // namespace embedrt::test
