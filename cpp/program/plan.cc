#include "program/plan.h"

#include <algorithm>

#include "kernels/kernels.h"

namespace embedrt {

Plan::Plan(const Program& program, uint16_t value) : program_(&program), output_(value) {
  schedule();
  group();
  find_lifetimes();
}

// The instructions that the output needs, in their order; before the first reader of quantised rows, the step that
// makes them.
void Plan::schedule() {
  const auto& instructions = program_->instructions;
  std::vector<bool> needed(instructions.size() + 1, false), quantized(needed);
  needed[output_] = true;
  for (size_t i = instructions.size(); i-- > 0;)
    if (needed[i + 1])
      for (const uint16_t input : instructions[i].inputs) needed[input] = true;
  for (size_t i = 0; i < instructions.size(); ++i) {
    if (!needed[i + 1]) continue;
    if (instructions[i].op->reads_quantised(instructions[i])) {
      const uint16_t input = instructions[i].inputs[0];
      if (!quantized[input]) steps_.push_back({static_cast<uint16_t>(input - 1), true});
      quantized[input] = true;
    }
    steps_.push_back({static_cast<uint16_t>(i), false});
  }
}

void Plan::group() {
  for (size_t s = 0; s < steps_.size(); ++s) {
    const Instruction& instruction = program_->instructions[steps_[s].instruction];
    const bool row_wise = steps_[s].quantize || instruction.op->row_wise;
    const ValueKind domain = instruction.type.kind;
    if (!groups_.empty() && row_wise && groups_.back().row_wise && groups_.back().domain == domain) {
      groups_.back().last = s + 1;
    } else {
      groups_.push_back({s, s + 1, row_wise, domain});
    }
  }
}

void Plan::find_lifetimes() {
  std::vector<size_t> group_of(steps_.size());
  for (size_t g = 0; g < groups_.size(); ++g)
    for (size_t s = groups_[g].first; s < groups_[g].last; ++s) group_of[s] = g;

  // A buffer is born at the step that writes it; every reader prolongs its life, and one in another group makes it a
  // block buffer.
  std::vector<size_t> floats(program_->instructions.size() + 1, SIZE_MAX), bytes(floats);
  const auto read = [&](size_t buffer, size_t step) {
    Buffer& b = buffers_[buffer];
    b.dies = step;
    b.block = b.block || group_of[b.born] != group_of[step];
  };
  for (size_t s = 0; s < steps_.size(); ++s) {
    const Instruction& instruction = program_->instructions[steps_[s].instruction];
    const uint16_t defined = static_cast<uint16_t>(steps_[s].instruction + 1);
    const bool whole = !groups_[group_of[s]].row_wise;
    if (steps_[s].quantize) {
      read(floats[defined], s);
      bytes[defined] = buffers_.size();
      buffers_.push_back({defined, true, whole, s, s});
      continue;
    }
    const bool quantised_input = instruction.op->reads_quantised(instruction);
    for (size_t i = 0; i < instruction.inputs.size(); ++i) {
      const uint16_t input = instruction.inputs[i];
      if (input == 0) continue;
      read(i == 0 && quantised_input ? bytes[input] : floats[input], s);
    }
    floats[defined] = buffers_.size();
    buffers_.push_back({defined, false, whole, s, s});
  }
  Buffer& result = buffers_[floats[output_]];
  result.block = true;
  result.dies = steps_.size() - 1;

  // A block buffer is written and read slice by slice, so it is taken from the start of its first group to the end of
  // its last.
  for (Buffer& b : buffers_) {
    if (!b.block) continue;
    b.born = groups_[group_of[b.born]].first;
    b.dies = groups_[group_of[b.dies]].last - 1;
  }
}

size_t float_stride(uint32_t columns) {
  const size_t stride = round_up(columns, 16);
  return stride % 1024 == 0 ? stride + 16 : stride;
}

size_t quantized_stride(uint32_t columns) {
  return round_up(columns, 64);
}

}  // namespace embedrt
