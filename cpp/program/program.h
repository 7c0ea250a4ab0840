// A program that has been verified: what the planner and the interpreter may trust.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ops/op.h"

namespace embedrt {

class ModelFile;

struct Output {
  std::string name;
  uint16_t value = 0;
};

// Instruction i defines value i + 1; value 0 is the item's token ids or pixels. Instructions point at `tensors`, and
// tensors into the file that the program was read from: it must outlive the program. Hence it moves and does not copy.
struct Program {
  ProgramLimits limits;
  std::vector<Tensor> tensors;
  std::vector<Instruction> instructions;
  std::vector<Output> outputs;

  Program() = default;
  Program(Program&&) = default;
  Program& operator=(Program&&) = default;

  ValueType input_type() const {
    return {.kind = ValueKind::input, .columns = 1, .height = limits.image_height, .width = limits.image_width};
  }
  ValueType type(size_t value) const { return value == 0 ? input_type() : instructions[value - 1].type; }
};

// Reads and verifies the program of a file. Afterwards:
// - every input of an instruction is an earlier value, and of a kind and width that its op accepts; every value is
// used;
// - every tensor lies inside the file on 64 bytes, is as large as its layout says, and its floats are finite if it is a
// vector_f32;
// - attribute words are complete, known choices and finite;
// - outputs have known names and the kind that goes with them;
// - work for one item, and memory for a block, are within limits.h.
// Throws FormatError, "program: instruction 7 (linear): input 3 is not defined yet".
Program load_program(const ModelFile& file);
Program load_program(std::span<const std::byte> program, std::span<const std::byte> bulk);

// Multiply-adds for one token in a text of the longest length, at least one for each column of each value.
uint64_t work_per_token(const Program& program);
// The same for one image.
uint64_t work_per_image(const Program& program);

// Bytes of the values that are alive at one time (read by a later instruction, or an output), at most, for a block of
// `tokens` tokens, and of one image or several that have `image_rows` rows together. A value whose only reader absorbs
// it takes none.
uint64_t value_bytes(const Program& program, uint64_t tokens, uint64_t image_rows);

}  // namespace embedrt
