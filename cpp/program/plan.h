// How a program runs: which instructions some outputs need, in which groups, and which values live where and how long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "program/program.h"

namespace embedrt {

// One thing to do: run an instruction, or quantise the value that it defined for the readers that want it so. An
// instruction that absorbed its producer reads the producer's inputs.
struct Step {
  const Instruction* instruction;
  const Instruction* producer;
  uint16_t value;     // that the instruction defines
  uint32_t quantize;  // to so many bits; 0: run the instruction

  std::span<const uint16_t> inputs() const { return producer ? producer->inputs : instruction->inputs; }
  // Of the quantised rows as which it reads its first input; 0 where it reads floats.
  uint32_t quantised_bits() const {
    const Instruction& reader = producer ? *producer : *instruction;
    return quantize ? 0 : reader.op->quantised_bits(reader);
  }
  // At least so many nanoseconds it takes one thread, on `rows` rows in segments of at most `longest` rows.
  double nanoseconds(size_t rows, size_t longest) const;
  // How many threads, up to `most`, it is worth sharing among.
  unsigned threads(size_t rows, size_t longest, unsigned most) const;
};

// Row-wise steps that follow each other form a group, and a group runs on a slice of rows at a time: what its steps
// hand to each other then stays in the cache, and values that only they use need room for one slice. Ops and converters
// know nothing of this.
struct Group {
  size_t first, last;  // steps, half open
  bool row_wise;
  ValueType domain;   // of what it defines: what its rows are
  bool light;         // its weights stay in the second-level cache from one slice to the next
  size_t slice_rows;  // at most so many rows at a time
};

// Float rows of a value, `bits` 0, or its quantised rows of so many bits. `block`: for all rows of a block, else for
// one slice.
struct Buffer {
  uint16_t value;
  uint32_t bits;
  bool block;
  size_t born, dies;               // steps, inclusive
  size_t first_group, last_group;  // those steps' groups
};

class Plan {
 public:
  // The plan for these outputs of the program, which must outlive the plan: one or several values, all of texts or all
  // of images.
  Plan(const Program& program, std::vector<uint16_t> values);

  const Program& program() const { return *program_; }
  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<Group>& groups() const { return groups_; }
  const std::vector<Buffer>& buffers() const { return buffers_; }

  // Whether the outputs are of images, and not of texts.
  bool image() const { return program_->type(outputs_.front()).image; }

  // Tokens of a block, or images, where there are enough. More share each pass over the weights, which come from the
  // third-level cache or from memory; but once the values of a block leave the second-level cache, they come from there
  // as well.
  size_t block_size() const { return block_size_; }

  // Whether a block of `n` tokens in texts of at most `longest`, or of `n` images, is worth waking other threads for.
  bool worth_sharing(size_t n, size_t longest) const;

 private:
  void schedule();
  void group();
  void find_lifetimes();
  void choose_block();

  const Program* program_;
  std::vector<uint16_t> outputs_;
  std::vector<Step> steps_;
  std::vector<Group> groups_;
  std::vector<Buffer> buffers_;
  size_t block_size_ = 0;
};

}  // namespace embedrt
