#include "program/frame.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>

namespace embedrt {
namespace {

// Kernels read whole vectors: up to this many bytes past the last row of a buffer.
constexpr size_t kSlack = 512;

struct QuantizedParts {
  size_t data, scale, zero, total;
};

// Room for a multiple of 16 rows, as kernels/kernels.h says.
QuantizedParts quantized_parts(size_t stride, size_t rows) {
  const size_t padded = round_up(rows, 16);
  const size_t data = round_up(padded * stride, 64), each = round_up(padded * 4, 64);
  return {0, data, data + each, data + 2 * each};
}

size_t buffer_bytes(const Plan& plan, const Buffer& buffer, size_t rows) {
  const uint32_t columns = plan.program().type(buffer.value).columns;
  const size_t capacity = buffer.block ? rows : std::min(rows, kSliceRows);
  const size_t bytes = buffer.quantized ? quantized_parts(quantized_stride(columns), capacity).total
                                        : capacity * float_stride(columns) * sizeof(float);
  return round_up(bytes + kSlack, 64);
}

}  // namespace

void Frame::Release::operator()(std::byte* memory) const noexcept {
  ::operator delete[](memory, std::align_val_t{64});
}

// First fit in order of size: each buffer goes to the lowest place that no buffer alive at the same time has.
Frame::Layout Frame::lay_out(const Plan& plan, const Kernels& kernels, size_t rows, size_t longest) {
  const auto& buffers = plan.buffers();
  Layout layout;
  layout.offsets.resize(buffers.size());
  std::vector<size_t> order(buffers.size()), sizes(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = 0; i < buffers.size(); ++i) sizes[i] = buffer_bytes(plan, buffers[i], rows);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return sizes[a] != sizes[b] ? sizes[a] > sizes[b] : a < b; });
  std::vector<size_t> placed;
  for (const size_t i : order) {
    std::vector<std::pair<size_t, size_t>> taken;
    for (const size_t j : placed)
      if (buffers[i].born <= buffers[j].dies && buffers[j].born <= buffers[i].dies)
        taken.emplace_back(layout.offsets[j], layout.offsets[j] + sizes[j]);
    std::sort(taken.begin(), taken.end());
    size_t at = 0;
    for (const auto& [from, to] : taken) {
      if (from >= at + sizes[i]) break;
      at = std::max(at, to);
    }
    layout.offsets[i] = at;
    layout.total = std::max(layout.total, at + sizes[i]);
    placed.push_back(i);
  }
  layout.scratch = layout.total;
  size_t scratch = 0;
  for (const Step& step : plan.steps()) {
    const Instruction& instruction = plan.program().instructions[step.instruction];
    if (!step.quantize) scratch = std::max(scratch, instruction.op->scratch(kernels, instruction, rows, longest));
  }
  layout.total += round_up(scratch, 64);
  return layout;
}

void Frame::prepare(const Plan& plan, const Kernels& kernels, size_t rows, size_t longest) {
  if (plan_ == &plan && kernels_ == &kernels) {
    if (rows <= rows_ && longest <= longest_) return;
    rows = std::max(rows, rows_);
    longest = std::max(longest, longest_);
  }
  const Layout layout = lay_out(plan, kernels, rows, longest);
  if (layout.total > size_) {
    memory_.reset();
    size_ = 0;
    memory_.reset(new (std::align_val_t{64}) std::byte[layout.total]);
    size_ = layout.total;
    // Padding is read (and has no effect); it must not be memory that was never written.
    std::memset(memory_.get(), 0, size_);
  }
  plan_ = &plan;
  kernels_ = &kernels;
  rows_ = rows;
  longest_ = longest;
  scratch_ = memory_.get() + layout.scratch;
  positions_.resize(rows);
  views_.assign(plan.program().instructions.size() + 1, {});
  for (size_t i = 0; i < plan.buffers().size(); ++i) {
    const Buffer& buffer = plan.buffers()[i];
    std::byte* at = memory_.get() + layout.offsets[i];
    const uint32_t columns = plan.program().type(buffer.value).columns;
    Place& place = views_[buffer.value];
    if (buffer.quantized) {
      const size_t stride = quantized_stride(columns);
      const QuantizedParts parts = quantized_parts(stride, buffer.block ? rows : std::min(rows, kSliceRows));
      place.quantized.q = {reinterpret_cast<uint8_t*>(at + parts.data), stride,
                           reinterpret_cast<float*>(at + parts.scale), reinterpret_cast<int32_t*>(at + parts.zero)};
      place.quantized_block = buffer.block;
    } else {
      place.floats.x = reinterpret_cast<float*>(at);
      place.floats.stride = float_stride(columns);
      place.float_block = buffer.block;
    }
  }
}

View Frame::slice(uint16_t value, size_t first) const {
  const Place& place = views_[value];
  View view{place.floats.x, place.floats.stride, place.quantized.q};
  if (view.x != nullptr && place.float_block) view.x += first * view.stride;
  if (view.q.data != nullptr && place.quantized_block) {
    view.q.data += first * view.q.stride;
    view.q.scale += first;
    view.q.zero += first;
  }
  return view;
}

void Frame::run_step(const Step& step, const Block& block, size_t first, size_t rows) {
  const Instruction& instruction = plan_->program().instructions[step.instruction];
  const View output = slice(static_cast<uint16_t>(step.instruction + 1), first);
  if (step.quantize) {
    kernels_->quantize({output.x, output.stride, rows, instruction.type.columns, output.q});
    return;
  }
  View inputs[4];
  const size_t count = std::min(instruction.inputs.size(), std::size(inputs));
  for (size_t i = 0; i < count; ++i)
    if (instruction.inputs[i] != 0) inputs[i] = slice(instruction.inputs[i], first);
  instruction.op->run({*kernels_,
                       rows,
                       block.ids.data() + first,
                       positions_.data() + first,
                       block.starts,
                       {inputs, count},
                       output,
                       scratch_},
                      instruction);
}

void Frame::run(const Block& block) {
  const size_t segments = block.starts.size() - 1;
  for (size_t segment = 0; segment < segments; ++segment)
    for (size_t row = block.starts[segment]; row < block.starts[segment + 1]; ++row)
      positions_[row] = static_cast<uint32_t>(row - block.starts[segment]);
  for (const Group& group : plan_->groups()) {
    const size_t rows = group.domain == ValueKind::segments ? segments : block.ids.size();
    const size_t slice_size = group.row_wise ? kSliceRows : std::max(rows, size_t{1});
    for (size_t first = 0; first < rows; first += slice_size)
      for (size_t s = group.first; s < group.last; ++s)
        run_step(plan_->steps()[s], block, first, std::min(slice_size, rows - first));
  }
}

}  // namespace embedrt
