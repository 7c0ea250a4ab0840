// How a program runs: which instructions one output needs, in which groups, and which values live where and how long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "program/program.h"

namespace embedrt {

// Row-wise steps that follow each other form a group, and a group runs on a slice of rows at a time: what its steps
// hand to each other then stays in the cache, and values that only they use need room for one slice. Ops and converters
// know nothing of this.
constexpr size_t kSliceRows = 64;

// One thing to do: run an instruction, or quantise the value that it defined for the readers that want bytes.
struct Step {
  uint16_t instruction;
  bool quantize;
};

struct Group {
  size_t first, last;  // steps, half open
  bool row_wise;
  ValueKind domain;  // of a row-wise group: what its rows are
};

// Float rows or quantised rows of a value. `block`: for all rows of a block, else for one slice.
struct Buffer {
  uint16_t value;
  bool quantized;
  bool block;
  size_t born, dies;  // steps, inclusive
};

class Plan {
 public:
  // The plan for output `value` of the program, which must outlive the plan.
  Plan(const Program& program, uint16_t value);

  const Program& program() const { return *program_; }
  uint16_t output() const { return output_; }
  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<Group>& groups() const { return groups_; }
  const std::vector<Buffer>& buffers() const { return buffers_; }

 private:
  void schedule();
  void group();
  void find_lifetimes();

  const Program* program_;
  uint16_t output_;
  std::vector<Step> steps_;
  std::vector<Group> groups_;
  std::vector<Buffer> buffers_;
};

// Strides that kernels ask for (kernels/kernels.h). A float stride of a multiple of 4 KiB would put every row into the
// same cache sets, so it gets one vector more.
size_t float_stride(uint32_t columns);
size_t quantized_stride(uint32_t columns);

}  // namespace embedrt
