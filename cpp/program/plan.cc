#include "program/plan.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "program/limits.h"

namespace embedrt {
namespace {

// What sharing costs and what it saves, measured on a Sapphire Rapids of 2.6 GHz in a virtual machine, Linux 6. A
// slower CPU takes longer for a step and so gains more.
constexpr double kBytes = 29.0;            // of weights that one core reads from its third-level cache in a nanosecond
constexpr double kMultiplyAdds = 1000.0;   // of int8 in a nanosecond, with AMX
constexpr double kLeastShare = 2000.0;     // nanoseconds: four times a parallel_for among threads that are awake
constexpr double kLeastBlock = 100'000.0;  // nanoseconds: twice what a sleeping thread takes to arrive

// Weights that stay in the second-level cache are as well read again for each slice of 64 rows, whose values then stay
// there too; others want to be shared by more. 128 and 256 rows cost all-MiniLM-L6-v2 5% and 8%; with 768 columns, 64
// rows cost 12% (AMX, 2 MB of cache).
constexpr size_t kSliceRows = 64, kHeavySliceRows = 256;
constexpr size_t kBlockTokens[] = {64, 128, 256, 512};

// Images share a block while their rows are about a thousand: 2 to 4 were best for ViT-S/14 and ViT-B/16, 8 and more
// for ViT-B/32; with convolutional networks, whose largest maps have ten thousand rows, one was as good as any (AMX).
constexpr size_t kImageRows = 1152, kMostImages = 16;
static_assert(std::ranges::max(kBlockTokens) <= kMaxSharedRows && kImageRows <= kMaxSharedRows);

// Bytes of the weights that a step reads.
uint64_t weight_bytes(const Step& step) {
  uint64_t bytes = 0;
  for (const Instruction* part : {step.producer, step.instruction}) {
    if (step.quantize || part == nullptr) continue;
    for (const Tensor* tensor : part->tensors)
      if (tensor != nullptr && (tensor->layout == Layout::panel_i8 || tensor->layout == Layout::panel_f32))
        bytes += tensor->size;
  }
  return bytes;
}

// What a cache of that size keeps, beside what passes through it.
size_t kept(size_t cache) {
  return cache / 2;
}

}  // namespace

double Step::nanoseconds(size_t rows, size_t longest) const {
  double multiply_adds = 0.0;
  const ProgramLimits limits{.max_tokens = static_cast<uint32_t>(longest)};
  for (const Instruction* part : {producer, instruction}) {
    if (quantize || part == nullptr) continue;
    multiply_adds += static_cast<double>(rows) * static_cast<double>(part->op->work(*part, limits));
  }
  return std::max(static_cast<double>(weight_bytes(*this)) / kBytes, multiply_adds / kMultiplyAdds);
}

unsigned Step::threads(size_t rows, size_t longest, unsigned most) const {
  if (most == 1) return 1;
  return static_cast<unsigned>(std::clamp(nanoseconds(rows, longest) / kLeastShare, 1.0, static_cast<double>(most)));
}

Plan::Plan(const Program& program, std::vector<uint16_t> values) : program_(&program), outputs_(std::move(values)) {
  schedule();
  group();
  find_lifetimes();
  choose_block();
}

// The instructions that the outputs need, in their order, less those that their only reader absorbs; before the first
// reader of quantised rows, the step that makes them.
void Plan::schedule() {
  const auto& instructions = program_->instructions;
  const size_t values = instructions.size() + 1;
  std::vector<uint32_t> readers(values, 0);
  std::vector<const Instruction*> absorbed(values, nullptr);
  for (const uint16_t output : outputs_) readers[output] = 2;  // the caller, and nothing absorbs it
  for (size_t i = instructions.size(); i-- > 0;) {
    if (readers[i + 1] == 0) continue;
    for (const uint16_t input : instructions[i].inputs) ++readers[input];
  }
  for (size_t i = 0; i < instructions.size(); ++i) {
    const uint16_t input = instructions[i].inputs[0];
    if (readers[i + 1] == 0 || input == 0 || readers[input] != 1) continue;
    const Instruction& producer = instructions[input - 1];
    if (instructions[i].op->absorbs(instructions[i], producer)) absorbed[input] = &producer;
  }
  std::vector<uint32_t> quantized(values, 0);  // the bits that there are already, 8, 16 or both
  for (size_t i = 0; i < instructions.size(); ++i) {
    if (readers[i + 1] == 0 || absorbed[i + 1]) continue;
    const Step step{&instructions[i], absorbed[instructions[i].inputs[0]], static_cast<uint16_t>(i + 1), 0};
    if (const uint32_t bits = step.quantised_bits()) {
      const uint16_t input = step.inputs()[0];
      if (!(quantized[input] & bits)) steps_.push_back({&instructions[input - 1], nullptr, input, bits});
      quantized[input] |= bits;
    }
    steps_.push_back(step);
  }
}

// A reader of quantised rows begins a group: its weights then pass through the caches once for a block and not once for
// a slice, and what comes from the group before are bytes.
void Plan::group() {
  for (size_t s = 0; s < steps_.size(); ++s) {
    const Step& step = steps_[s];
    const bool row_wise = step.quantize || step.instruction->op->row_wise;
    const ValueType& domain = step.instruction->type;
    if (!groups_.empty() && row_wise && !step.quantised_bits() && groups_.back().row_wise &&
        groups_.back().domain.same_rows(domain)) {
      groups_.back().last = s + 1;
    } else {
      groups_.push_back({s, s + 1, row_wise, domain, true, kSliceRows});
    }
    Group& group = groups_.back();
    if (weight_bytes(step) > kept(second_level_cache())) group.light = false;
    if (!group.light) group.slice_rows = kHeavySliceRows;
  }
}

void Plan::choose_block() {
  if (image()) {
    size_t most = 1;
    for (const Step& step : steps_) most = std::max(most, step.instruction->type.item_rows());
    block_size_ = std::clamp<size_t>(std::bit_floor(kImageRows / most), 1, kMostImages);
    return;
  }
  const double cache = static_cast<double>(kept(second_level_cache()));
  double weights = 0.0, moved = 0.0, alive = 0.0;
  for (const Step& step : steps_) weights += static_cast<double>(weight_bytes(step));
  for (size_t s = 0; s < steps_.size(); ++s) {
    double here = 0.0;
    for (const Buffer& b : buffers_) {
      const ValueType type = program_->type(b.value);
      if (!b.block || type.kind != ValueKind::rows) continue;
      const double bytes = static_cast<double>(type.columns * (b.bits > 0 ? b.bits / 8 : sizeof(float)));
      if (b.born <= s && s <= b.dies) here += bytes;
      if (b.born == s) moved += 2.0 * bytes;  // written and read
    }
    alive = std::max(alive, here);
  }
  // Bytes for each token that come from behind the second-level cache.
  const auto traffic = [&](size_t size) {
    const double n = static_cast<double>(size);
    return weights / n + moved * std::max(0.0, 1.0 - cache / (n * std::max(alive, 1.0)));
  };
  block_size_ = *std::ranges::min_element(kBlockTokens, {}, traffic);
}

bool Plan::worth_sharing(size_t n, size_t longest) const {
  double sum = 0.0;
  for (const Step& step : steps_) {
    const ValueType& type = (step.producer ? step.producer : step.instruction)->type;
    if (type.kind != ValueKind::segments) sum += step.nanoseconds(type.rows(n), longest);
  }
  return sum >= kLeastBlock;
}

void Plan::find_lifetimes() {
  std::vector<size_t> group_of(steps_.size());
  for (size_t g = 0; g < groups_.size(); ++g)
    for (size_t s = groups_[g].first; s < groups_[g].last; ++s) group_of[s] = g;

  // A buffer is born at the step that writes it; every reader prolongs its life, and one in another group makes it a
  // block buffer.
  std::vector<size_t> floats(program_->instructions.size() + 1, SIZE_MAX), bytes(floats), planes(floats);
  const auto of_bits = [&](uint32_t bits) -> std::vector<size_t>& {
    return bits == 0 ? floats : bits == 8 ? bytes : planes;
  };
  const auto read = [&](size_t buffer, size_t step) {
    Buffer& b = buffers_[buffer];
    b.dies = step;
    b.block = b.block || group_of[b.born] != group_of[step];
  };
  for (size_t s = 0; s < steps_.size(); ++s) {
    const uint16_t defined = steps_[s].value;
    const bool whole = !groups_[group_of[s]].row_wise;
    if (steps_[s].quantize) {
      read(floats[defined], s);
    } else {
      for (size_t i = 0; i < steps_[s].inputs().size(); ++i) {
        const uint16_t input = steps_[s].inputs()[i];
        if (input != 0) read(of_bits(i == 0 ? steps_[s].quantised_bits() : 0)[input], s);
      }
    }
    of_bits(steps_[s].quantize)[defined] = buffers_.size();
    buffers_.push_back({defined, steps_[s].quantize, whole, s, s, 0, 0});
  }
  for (const uint16_t output : outputs_) {
    Buffer& result = buffers_[floats[output]];
    result.block = true;
    result.dies = steps_.size() - 1;
  }

  // A block buffer is written and read slice by slice, so it is taken from the start of its first group to the end of
  // its last.
  for (Buffer& b : buffers_) {
    b.first_group = group_of[b.born];
    b.last_group = group_of[b.dies];
    if (!b.block) continue;
    b.born = groups_[b.first_group].first;
    b.dies = groups_[b.last_group].last - 1;
  }
}

}  // namespace embedrt
