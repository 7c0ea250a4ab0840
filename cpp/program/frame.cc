#include "program/frame.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>

#include "base/thread_pool.h"

namespace embedrt {
namespace {

// Kernels read sixteen rows of bytes at a time, from any row on.
constexpr size_t kRowsPast = 15;

// Kernels read whole vectors: up to this many bytes past the last row of a buffer.
constexpr size_t kSlack = 512;

// With fewer rows for each thread, it is faster that each reads a part of the weights than that each reads all of them.
constexpr size_t kLeastSliceRows = 16;

// About the rows of a slice that one of several threads takes: small ones end at about the same time.
constexpr size_t kSharedSliceRows = 32;

struct QuantizedParts {
  size_t data, scale, offset, total;
};

// Room for a multiple of 16 rows, as kernels/kernels.h says.
QuantizedParts quantized_parts(size_t stride, size_t rows) {
  const size_t padded = round_up(rows, 16);
  const size_t data = round_up(padded * stride, 64), each = round_up(padded * 4, 64);
  return {0, data, data + each, data + 2 * each};
}

size_t rows_of_buffer(const Plan& plan, const Buffer& buffer, const BlockSize& size) {
  const size_t rows = size.rows(plan.program().type(buffer.value));
  return buffer.block ? rows : std::min(rows, plan.groups()[buffer.first_group].slice_rows);
}

// From one quantised row to the next.
size_t row_bytes(const Buffer& buffer, const ValueType& type) {
  return buffer.bits / 8 * quantized_stride(type.columns);
}

// Of one thread, where it is not for the whole block.
size_t buffer_bytes(const Plan& plan, const Buffer& buffer, const BlockSize& size) {
  const ValueType type = plan.program().type(buffer.value);
  const size_t rows = rows_of_buffer(plan, buffer, size);
  const size_t bytes = buffer.bits > 0                  ? quantized_parts(row_bytes(buffer, type), rows).total
                       : type.element == Element::uint8 ? (rows + kRowsPast) * quantized_stride(type.columns)
                                                        : rows * float_stride(type.columns) * sizeof(float);
  return round_up(bytes + kSlack, 64);
}

// Rows of the longest item of a value.
size_t longest_of(const ValueType& type, size_t longest) {
  return type.image ? type.item_rows() : longest;
}

}  // namespace

void Frame::Release::operator()(std::byte* memory) const noexcept {
  ::operator delete[](memory, std::align_val_t{64});
}

// First fit in order of size: each buffer goes to the lowest place that no buffer alive at the same time has. Several
// threads are at different steps of a group at a time.
Frame::Layout Frame::lay_out(const Plan& plan, const Kernels& kernels, const BlockSize& size, unsigned threads) {
  const auto& buffers = plan.buffers();
  Layout layout;
  layout.offsets.resize(buffers.size());
  std::vector<size_t> order(buffers.size()), sizes(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = 0; i < buffers.size(); ++i)
    sizes[i] = buffer_bytes(plan, buffers[i], size) * (buffers[i].block ? 1 : threads);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return sizes[a] != sizes[b] ? sizes[a] > sizes[b] : a < b; });
  const auto together = [&](const Buffer& a, const Buffer& b) {
    return threads > 1 ? a.first_group <= b.last_group && b.first_group <= a.last_group
                       : a.born <= b.dies && b.born <= a.dies;
  };
  std::vector<size_t> placed;
  for (const size_t i : order) {
    std::vector<std::pair<size_t, size_t>> taken;
    for (const size_t j : placed)
      if (together(buffers[i], buffers[j])) taken.emplace_back(layout.offsets[j], layout.offsets[j] + sizes[j]);
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
  for (const Step& step : plan.steps()) {
    if (step.quantize) continue;
    const Instruction& instruction = *step.instruction;
    const size_t scratch = instruction.op->scratch(kernels, instruction, step.producer, size.rows(instruction.type),
                                                   longest_of(instruction.type, size.longest));
    layout.scratch_stride = std::max(layout.scratch_stride, round_up(scratch, 64));
  }
  layout.total += threads * layout.scratch_stride;
  return layout;
}

void Frame::prepare(const Plan& plan, const Kernels& kernels, BlockSize size, unsigned threads) {
  if (plan_ == &plan && kernels_ == &kernels) {
    if (size.size <= size_.size && size.segments <= size_.segments && size.longest <= size_.longest &&
        threads <= threads_)
      return;
    size = {std::max(size.size, size_.size), std::max(size.segments, size_.segments),
            std::max(size.longest, size_.longest)};
    threads = std::max(threads, threads_);
  }
  const Layout layout = lay_out(plan, kernels, size, threads);
  if (layout.total > bytes_) {
    memory_.reset();
    bytes_ = 0;
    memory_.reset(new (std::align_val_t{64}) std::byte[layout.total]);
    bytes_ = layout.total;
    // Padding is read (and has no effect); it must not be memory that was never written.
    std::memset(memory_.get(), 0, bytes_);
  }
  plan_ = &plan;
  kernels_ = &kernels;
  size_ = size;
  threads_ = threads;
  scratch_stride_ = layout.scratch_stride;
  scratch_ = memory_.get() + layout.scratch;
  positions_.resize(plan.image() ? 0 : size.size);
  views_.assign(plan.program().instructions.size() + 1, {});
  for (size_t i = 0; i < plan.buffers().size(); ++i) {
    const Buffer& buffer = plan.buffers()[i];
    std::byte* at = memory_.get() + layout.offsets[i];
    const ValueType type = plan.program().type(buffer.value);
    const size_t copy = buffer.block ? 0 : buffer_bytes(plan, buffer, size);
    Place& place = views_[buffer.value];
    if (buffer.bits > 0) {
      const uint32_t planes = buffer.bits / 8;
      const size_t stride = row_bytes(buffer, type);
      const QuantizedParts parts = quantized_parts(stride, rows_of_buffer(plan, buffer, size));
      place.quantized[planes - 1] = {
          {reinterpret_cast<uint8_t*>(at + parts.data), stride, reinterpret_cast<float*>(at + parts.scale),
           reinterpret_cast<float*>(at + parts.offset), planes},
          copy};
    } else if (type.element == Element::uint8) {
      place.quantized[0].rows.data = reinterpret_cast<uint8_t*>(at);
      place.quantized[0].rows.stride = quantized_stride(type.columns);
      place.quantized[0].copy = copy;
    } else {
      place.floats.x = reinterpret_cast<float*>(at);
      place.floats.stride = float_stride(type.columns);
      place.copy = copy;
    }
  }
}

View Frame::view(uint16_t value, uint32_t bits, const Slice& slice) const {
  const Place& place = views_[value];
  const auto& quantized = place.quantized[bits == 16 ? 1 : 0];
  View view{place.floats.x, place.floats.stride, quantized.rows};
  const size_t float_first = place.copy > 0 ? 0 : slice.first;
  const size_t quantized_first = quantized.copy > 0 ? 0 : slice.first;
  if (view.x != nullptr) view.x += float_first * view.stride + slice.worker * place.copy / sizeof(float);
  if (view.q.data != nullptr) {
    const size_t copy = slice.worker * quantized.copy;
    view.q.data += quantized_first * view.q.stride + copy;
    if (view.q.scale != nullptr) {
      view.q.scale += quantized_first + copy / sizeof(float);
      view.q.offset += quantized_first + copy / sizeof(float);
    }
  }
  return view;
}

void Frame::run_step(const Step& step, const Block& block, const Slice& slice) {
  const Instruction& instruction = *step.instruction;
  const View output = view(step.value, step.quantize, slice);
  if (step.quantize) {
    kernels_->quantize({output.x, output.stride, slice.rows, instruction.type.columns, output.q});
    return;
  }
  View inputs[4];
  const size_t count = std::min(step.inputs().size(), std::size(inputs));
  for (size_t i = 0; i < count; ++i)
    if (step.inputs()[i] != 0) inputs[i] = view(step.inputs()[i], i == 0 ? step.quantised_bits() : 0, slice);
  const ValueType& domain = instruction.input_types[0];
  std::vector<size_t> image_starts;
  if (domain.kind == ValueKind::grid && !instruction.op->row_wise)
    for (size_t item = 0; item <= block.items; ++item) image_starts.push_back(item * domain.item_rows());
  const bool tokens = instruction.type.kind == ValueKind::rows;
  instruction.op->run({.kernels = *kernels_,
                       .rows = slice.rows,
                       .first = slice.first,
                       .items = block.items,
                       .pixels = block.pixels,
                       .ids = tokens ? block.ids.data() + slice.first : nullptr,
                       .positions = tokens ? positions_.data() + slice.first : nullptr,
                       .types = tokens && block.types ? block.types + slice.first : nullptr,
                       .attended = block.attended,
                       .starts = instruction.type.image ? image_starts : block.starts,
                       .pooled = block.pooled,
                       .pooling = block.pooling,
                       .inputs = {inputs, count},
                       .producer = step.producer,
                       .output = output,
                       .scratch = scratch_ + slice.worker * scratch_stride_,
                       .scratch_stride = scratch_stride_,
                       .threads = step.threads(slice.rows, longest_of(instruction.type, block.longest), slice.threads)},
                      instruction);
}

// Where there are rows enough and the weights are light, each thread takes slices of them: what its steps hand to each
// other stays in its caches. Otherwise the threads share the steps, each reading its part of the weights.
void Frame::run_group(const Group& group, const Block& block, unsigned threads) {
  const size_t rows = block.rows(group.domain);
  const bool by_rows = group.row_wise && group.light && threads > 1 && rows >= threads * kLeastSliceRows;
  size_t slice_rows = group.row_wise ? group.slice_rows : std::max(rows, size_t{1});
  if (by_rows) {
    const size_t turns = (rows + threads * kSharedSliceRows - 1) / (threads * kSharedSliceRows);
    slice_rows = round_up((rows + threads * turns - 1) / (threads * turns), 16);
  }
  const size_t slices = (rows + slice_rows - 1) / slice_rows;
  parallel_for(by_rows ? threads : 1, slices, [&](size_t i, unsigned worker) {
    const size_t first = i * slice_rows;
    const Slice slice{first, std::min(slice_rows, rows - first), worker, by_rows ? 1 : threads};
    for (size_t s = group.first; s < group.last; ++s) run_step(plan_->steps()[s], block, slice);
  });
}

void Frame::run(const Block& block, unsigned threads) {
  for (size_t text = 0; text + 1 < block.starts.size(); ++text)
    for (size_t row = block.starts[text]; row < block.starts[text + 1]; ++row)
      positions_[row] = static_cast<uint32_t>(row - block.starts[text]);
  for (const Group& group : plan_->groups()) run_group(group, block, threads);
}

}  // namespace embedrt
