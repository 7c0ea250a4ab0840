// Depthwise convolution of bytes, in blocks of channels. The lines of a window are unpacked in groups: for each channel
// of a column, the bytes of a group's lines side by side, as a dot product of bytes takes them. A column is unpacked
// once for all outputs that see it, those of the next lines of the output too where their windows end in the same
// groups; the taps of those are the same weights, shifted by `stride` lines.
#pragma once

#include <cstring>

#include "kernels/finish.h"

namespace embedrt {
namespace {

// Of 64 columns: byte = round(max(min(fma(float(sum), scale, bias), most), 0)), where `most` is 255, or 0 past the last
// column.
struct alignas(64) ByteColumns {
  float scale[64], bias[64], most[64];
};

// What a block of channels of one call needs, in its scratch. Taps: Isa::Depthwise<channels>, an instruction set's way
// with 64 or with 32 channels.
//   kChannels, kLines, kOutputs   channels of a block; lines of a group; outputs that fit the registers
//   Pixel, Weight                 elements after unpacking: a group is kChannels · kLines of them
//   unpack(lines, group)          kChannels bytes at each of kLines lines; pixels and weights alike
//   dots<N>(x, step, w, groups, sums)   N outputs, each the sum of products of groups one after another, the next
//                                 output's `step` elements later; kChannels sums of each
//   channel(position)             the channel of a sum, in fours: channel(4q + i) is channel(4q) + i
//   kInOrder                      channel(position) is position. Otherwise there is also
//   finish_bytes(sums, rows, columns, out, out_stride)   64 bytes of each row, as `ByteColumns` says
template <class Taps>
class DepthwiseBlock {
 public:
  DepthwiseBlock(const DepthwiseI8Args& args, size_t channel)
      : args_(args), channel_(channel), layout_(args.window), memory_(static_cast<uint8_t*>(args.scratch)) {
    std::memset(pad(), args.pad, kChannels);
    set_weights();
    if constexpr (!Taps::kInOrder) set_columns();
  }

  static size_t scratch(const Window& window) { return Layout(window).end; }

  void run() {
    const Window& window = args_.window;
    const size_t end = args_.first_line + args_.lines;
    for (size_t y = args_.first_line; y < end; y += layout_.lines) {
      const size_t lines = end - y < layout_.lines ? end - y : layout_.lines;
      for (size_t x = 0; x < window.out_width; x += kOutputs) {
        const size_t outputs = window.out_width - x < kOutputs ? window.out_width - x : kOutputs;
        unpack(y, x, lines, outputs);
        for (size_t line = 0; line < lines; ++line) {
          sum(line, outputs);
          finish((y + line) * window.out_width + x, outputs);
        }
      }
    }
  }

 private:
  using Pixel = typename Taps::Pixel;
  using Weight = typename Taps::Weight;
  static constexpr size_t kChannels = Taps::kChannels, kLines = Taps::kLines, kGroup = kChannels * kLines;
  static constexpr size_t kOutputs = 28;  // of a line at once: their columns and sums stay in the first-level cache

  // Groups of a window, output lines that they serve at once, and where everything is.
  struct Layout {
    size_t groups, lines;
    size_t weights, pixels, sums, columns, pad, end;

    explicit Layout(const Window& window)
        : groups((window.kernel + kLines - 1) / kLines), lines((groups * kLines - window.kernel) / window.stride + 1) {
      const size_t seen = (kOutputs - 1) * window.stride + window.kernel;
      weights = 0;
      pixels = weights + lines * window.kernel * groups * kGroup * sizeof(Weight);
      sums = pixels + seen * groups * kGroup * sizeof(Pixel);
      columns = sums + kOutputs * kChannels * sizeof(int32_t);
      pad = columns + sizeof(ByteColumns);
      end = pad + 64;
    }
  };

  Weight* weights() { return reinterpret_cast<Weight*>(memory_ + layout_.weights); }
  Pixel* pixels() { return reinterpret_cast<Pixel*>(memory_ + layout_.pixels); }
  int32_t* sums() { return reinterpret_cast<int32_t*>(memory_ + layout_.sums); }
  ByteColumns& columns() { return *reinterpret_cast<ByteColumns*>(memory_ + layout_.columns); }
  uint8_t* pad() { return memory_ + layout_.pad; }

  // [line of the output][column of the window][group]: zeros where a line of the group is not of that output's window.
  void set_weights() {
    static constexpr int8_t kNone[kChannels] = {};
    const size_t kernel = args_.window.kernel;
    Weight* out = weights();
    for (size_t line = 0; line < layout_.lines; ++line)
      for (size_t kx = 0; kx < kernel; ++kx)
        for (size_t group = 0; group < layout_.groups; ++group, out += kGroup) {
          const int8_t* taps[kLines];
          for (size_t i = 0; i < kLines; ++i) {
            // Wraps to a number that is too large where the group begins above the window.
            const size_t ky = group * kLines + i - line * args_.window.stride;
            taps[i] = ky < kernel ? args_.weight + (ky * kernel + kx) * args_.weight_stride + channel_ : kNone;
          }
          Taps::unpack(taps, out);
        }
  }

  void set_columns() {
    const size_t count = args_.channels - channel_;
    for (size_t i = 0; i < kChannels; ++i) {
      const size_t c = Taps::channel(i);
      const bool there = c < count;
      columns().scale[i] = there ? args_.finish.scale[channel_ + c] : 0.0f;
      columns().bias[i] = there ? args_.finish.bias[channel_ + c] : 0.0f;
      columns().most[i] = there ? 255.0f : 0.0f;
    }
  }

  // The columns that outputs (y … y + lines − 1, x … x + outputs − 1) see: [column][group].
  void unpack(size_t y, size_t x, size_t lines, size_t outputs) {
    const Window& window = args_.window;
    const size_t seen_lines = (lines - 1) * window.stride + window.kernel;
    const size_t seen = (outputs - 1) * window.stride + window.kernel;
    // Of `seen` columns, those before `first` and from `last` on are padding. Image coordinates wrap below 0.
    const size_t left = x * window.stride;
    size_t first = left < window.pad_left ? window.pad_left - left : 0;
    first = first < seen ? first : seen;
    const size_t image_end = window.width + window.pad_left;
    size_t last = left + seen < image_end ? seen : image_end > left ? image_end - left : 0;
    last = last > first ? last : first;
    for (size_t group = 0; group < layout_.groups; ++group) {
      const uint8_t *from[kLines], *padding[kLines];
      size_t step[kLines];
      for (size_t i = 0; i < kLines; ++i) {
        const size_t at = group * kLines + i, line = y * window.stride + at - window.pad_top;
        const bool there = at < seen_lines && line < window.height;
        padding[i] = pad();
        from[i] = there ? args_.x + (line * window.width + (left + first - window.pad_left)) * args_.x_stride + channel_
                        : pad();
        step[i] = there ? args_.x_stride : 0;
      }
      const size_t next = layout_.groups * kGroup;
      Pixel* out = pixels() + group * kGroup;
      size_t column = 0;
      for (; column < first; ++column, out += next) Taps::unpack(padding, out);
      for (; column < last; ++column, out += next) {
        Taps::unpack(from, out);
        for (size_t i = 0; i < kLines; ++i) from[i] += step[i];
      }
      for (; column < seen; ++column, out += next) Taps::unpack(padding, out);
    }
  }

  void sum(size_t line, size_t outputs) {
    const size_t groups = args_.window.kernel * layout_.groups;
    sum_from<Taps::kOutputs>(0, outputs, weights() + line * groups * kGroup, groups);
  }
  template <int N>
  void sum_from(size_t output, size_t outputs, const Weight* w, size_t groups) {
    const size_t step = args_.window.stride * layout_.groups * kGroup;
    for (; output + N <= outputs; output += N)
      Taps::template dots<N>(pixels() + output * step, step, w, groups, sums() + output * kChannels);
    if constexpr (N > 1)
      if (output < outputs) sum_from<N - 1>(output, outputs, w, groups);
  }

  void finish(size_t row, size_t rows) {
    const Finish& finish = args_.finish;
    const FinishBlock block = {row, rows, channel_, args_.channels, 0};
    if constexpr (!Taps::kInOrder) {
      if (finish.out_u8 && finish.activation == Activation::none && !finish.output_scale) {
        Taps::finish_bytes(sums(), rows, columns(), finish.out_u8 + row * finish.out_stride + channel_,
                           finish.out_stride);
        if (channel_ + kChannels >= args_.channels) finish_padding<typename Taps::V>(finish, block, channel_ + 64);
        return;
      }
      put_in_order(rows);
    }
    finish_block<typename Taps::V>(finish, block, sums(), kChannels);
  }

  void put_in_order(size_t rows) {
    for (int32_t* row = sums(); row < sums() + rows * kChannels; row += kChannels) {
      int32_t unordered[kChannels];
      std::memcpy(unordered, row, sizeof unordered);
      for (size_t i = 0; i < kChannels; i += 4) std::memcpy(row + Taps::channel(i), unordered + i, 4 * sizeof(int32_t));
    }
  }

  const DepthwiseI8Args& args_;
  const size_t channel_;
  const Layout layout_;
  uint8_t* const memory_;
};

template <class Isa>
size_t depthwise_i8_scratch(const Window& window, size_t) noexcept {
  const size_t wide = DepthwiseBlock<typename Isa::template Depthwise<64>>::scratch(window);
  const size_t narrow = DepthwiseBlock<typename Isa::template Depthwise<32>>::scratch(window);
  return wide > narrow ? wide : narrow;
}

template <class Isa>
void depthwise_i8(const DepthwiseI8Args& args) noexcept {
  size_t channel = 0;
  for (; channel + 32 < args.channels; channel += 64)
    DepthwiseBlock<typename Isa::template Depthwise<64>>(args, channel).run();
  if (channel < args.channels) DepthwiseBlock<typename Isa::template Depthwise<32>>(args, channel).run();
}

}  // namespace
}  // namespace embedrt
