// The program section as it stands in the file: well formed, and every name known. Nothing is related to anything else
// yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ops/op.h"
#include "program/program.h"

namespace embedrt {

struct TensorRecord {
  uint8_t layout;
  uint32_t rows, columns;
  uint64_t offset, size;
  std::string name;
};

struct InstructionRecord {
  const Op* op;
  std::vector<uint16_t> inputs;
  std::vector<uint16_t> tensors;
  std::vector<uint32_t> words;  // one for each attribute of the op; those that the file does not have are the defaults
};

struct ProgramRecords {
  ProgramLimits limits;
  std::vector<TensorRecord> tensors;
  std::vector<InstructionRecord> instructions;
  std::vector<Output> outputs;
};

// Throws FormatError.
ProgramRecords read_program(std::span<const std::byte> section);

}  // namespace embedrt
