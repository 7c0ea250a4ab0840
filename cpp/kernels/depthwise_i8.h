// Depthwise convolution of bytes, in blocks of channels. The lines of a window are unpacked in groups: for each channel
// of a column, the bytes of a group's lines side by side, as a dot product of bytes takes them. A column is unpacked
// once for all outputs that see it, those of the next lines of the output too where their windows end in the same
// groups; the taps of those are the same weights, shifted by `stride` lines.
#pragma once

#include <cstring>

#include "kernels/depthwise_sums.h"
#include "kernels/finish.h"
#include "kernels/kernels.h"

namespace embedrt {
namespace {

// Of 64 lanes: byte = round(max(min(fma(float(sum), scale, bias), most), 0)), where `most` is 255, or 0 past the last
// column.
struct alignas(64) ByteColumns {
  float scale[64], bias[64], most[64];
};

// A block of channels of one call. Taps: an instruction set's way with 64 or with 32 channels.
//   kChannels, kLines     channels of a block, lines of a group
//   kLanes                sums of a group: kChannels, or twice as many, for two outputs side by side
//   Pixel, Weight         elements after unpacking; kGroup = kLanes · kLines of them are a group
//   unpack(lines, out)    kChannels bytes at each of kLines lines, pixels or weights, to a group; two outputs: to the
//                         first one's half, and the second one's begins kHalf elements after it
//   kInOrder              the lanes are the channels
// One output alone:
//   sum(pixels, weights, groups, sums)
// Or register by register:
//   kRegister             elements of a register; load(), add(sums, pixels, weights), none() and store() work on one
//   kOutputs              registers of sums at once
//   kLess, load_sums()    instead of none(): unpacked pixels are so much less than the bytes; then kInOrder
// Where lanes are not in order:
//   channel(lane)         the channel of a lane, that of a second output plus kChannels; fours of them are in order
//   finish_bytes(sums, steps, outputs, columns, out, out_stride)   64 bytes of each output, as `ByteColumns` says
template <class Taps>
class DepthwiseBlock {
 public:
  DepthwiseBlock(const VectorKernels& vectors, const DepthwiseI8Args& args, size_t channel)
      : vectors_(vectors),
        args_(args),
        channel_(channel),
        layout_(args.window),
        memory_(static_cast<uint8_t*>(args.scratch)) {
    std::memset(pad(), args.pad, kChannels);
    set_weights();
    if constexpr (requires { Taps::kLess; }) set_start();
    if constexpr (!Taps::kInOrder) set_columns();
  }

  static size_t scratch(const Window& window) { return Layout(window).end; }

  void run() {
    const Window& window = args_.window;
    const size_t end = args_.first_line + args_.lines;
    for (size_t y = args_.first_line; y < end; y += layout_.lines) {
      const size_t lines = end - y < layout_.lines ? end - y : layout_.lines;
      for (size_t x = 0; x < window.out_width; x += kPositions * kSteps) {
        const size_t left = window.out_width - x;
        const Span span = {y, x, left < kPositions * kSteps ? left : kPositions * kSteps};
        for (size_t position = 0; position < kPositions; ++position) unpack(span, position, lines);
        for (size_t line = 0; line < lines; ++line) {
          sum(line, span.steps());
          finish((y + line) * window.out_width + x, span);
        }
      }
    }
  }

 private:
  using Pixel = typename Taps::Pixel;
  using Weight = typename Taps::Weight;
  static constexpr size_t kChannels = Taps::kChannels, kLines = Taps::kLines, kLanes = Taps::kLanes;
  static constexpr size_t kGroup = Taps::kGroup;
  static constexpr size_t kPositions = kLanes / kChannels;
  static constexpr size_t kSteps = 28;  // outputs of a line at once: their columns and sums stay in the nearest cache

  // Outputs of a line. Where there are two positions, the second one has the second half of them.
  struct Span {
    size_t y, x, outputs;
    size_t steps() const { return (outputs + kPositions - 1) / kPositions; }
  };

  // Groups of a window, output lines that they serve at once, and where everything is.
  struct Layout {
    size_t groups, lines;
    size_t weights, pixels, sums, ordered, columns, start, pad, end;

    explicit Layout(const Window& window)
        : groups((window.kernel + kLines - 1) / kLines), lines((groups * kLines - window.kernel) / window.stride + 1) {
      const size_t seen = (kSteps - 1) * window.stride + window.kernel;
      weights = 0;
      pixels = weights + lines * window.kernel * groups * kGroup * sizeof(Weight);
      sums = pixels + seen * groups * kGroup * sizeof(Pixel);
      ordered = sums + kSteps * kLanes * sizeof(int32_t);
      columns = ordered + (Taps::kInOrder ? 0 : kSteps * kLanes * sizeof(int32_t));
      start = columns + sizeof(ByteColumns);
      pad = start + kLanes * sizeof(int32_t);
      end = pad + 64;
    }
  };

  Weight* weights() { return reinterpret_cast<Weight*>(memory_ + layout_.weights); }
  Pixel* pixels() { return reinterpret_cast<Pixel*>(memory_ + layout_.pixels); }
  int32_t* sums() { return reinterpret_cast<int32_t*>(memory_ + layout_.sums); }
  int32_t* ordered() { return reinterpret_cast<int32_t*>(memory_ + layout_.ordered); }
  ByteColumns& columns() { return *reinterpret_cast<ByteColumns*>(memory_ + layout_.columns); }
  int32_t* start() { return reinterpret_cast<int32_t*>(memory_ + layout_.start); }
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
          for (size_t position = 0; position < kPositions; ++position) Taps::unpack(taps, out + position * Taps::kHalf);
        }
  }

  // What the products of pixels that are less than they should be lack.
  void set_start() {
    std::memset(start(), 0, kLanes * sizeof(int32_t));
    for (size_t tap = 0; tap < args_.window.kernel * args_.window.kernel; ++tap)
      for (size_t c = 0; c < kChannels; ++c)
        start()[c] += Taps::kLess * args_.weight[tap * args_.weight_stride + channel_ + c];
  }

  void set_columns() {
    const size_t count = args_.channels - channel_;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const size_t c = Taps::channel(lane) % kChannels;
      const bool there = c < count;
      columns().scale[lane] = there ? args_.finish.scale[channel_ + c] : 0.0f;
      columns().bias[lane] = there ? args_.finish.bias[channel_ + c] : 0.0f;
      columns().most[lane] = there ? 255.0f : 0.0f;
    }
  }

  // The columns that the outputs of a position see, on so many lines from span.y on: [column][group].
  void unpack(const Span& span, size_t position, size_t lines) {
    const Window& window = args_.window;
    const size_t seen_lines = (lines - 1) * window.stride + window.kernel;
    const size_t seen = (span.steps() - 1) * window.stride + window.kernel;
    // Of the `seen` columns, those before `first` and from `last` on are padding. `left` counts from the padding on.
    const size_t left = (span.x + position * span.steps()) * window.stride;
    const auto within = [&](size_t image_column) {
      const size_t column = image_column + window.pad_left;
      return column < left ? 0 : column - left < seen ? column - left : seen;
    };
    const size_t first = within(0), last = within(window.width);
    for (size_t group = 0; group < layout_.groups; ++group) {
      const uint8_t *from[kLines], *padding[kLines];
      size_t step[kLines];
      for (size_t i = 0; i < kLines; ++i) {
        // The line wraps above the image.
        const size_t at = group * kLines + i, line = span.y * window.stride + at - window.pad_top;
        const bool there = at < seen_lines && line < window.height && first < last;
        const size_t column = left + first - window.pad_left;
        padding[i] = pad();
        from[i] = there ? args_.x + (line * window.width + column) * args_.x_stride + channel_ : pad();
        step[i] = there ? args_.x_stride : 0;
      }
      const size_t next = layout_.groups * kGroup;
      Pixel* out = pixels() + group * kGroup + position * Taps::kHalf;
      size_t column = 0;
      for (; column < first; ++column, out += next) Taps::unpack(padding, out);
      for (; column < last; ++column, out += next) {
        Taps::unpack(from, out);
        for (size_t i = 0; i < kLines; ++i) from[i] += step[i];
      }
      for (; column < seen; ++column, out += next) Taps::unpack(padding, out);
    }
  }

  void sum(size_t line, size_t steps) {
    const Window& window = args_.window;
    sum_line<Taps>(pixels(), window.stride * layout_.groups * kGroup,
                   weights() + line * window.kernel * layout_.groups * kGroup, window.kernel, window.stride, steps,
                   start(), sums());
  }

  void finish(size_t row, const Span& span) {
    const Finish& finish = args_.finish;
    const FinishBlock block = {row, span.outputs, channel_, args_.channels, 0};
    if constexpr (Taps::kInOrder) {
      vectors_.finish_i32(finish, block, sums(), kChannels);
    } else if (finish.out_u8 && finish.activation == Activation::none && !finish.output_scale) {
      Taps::finish_bytes(sums(), span.steps(), span.outputs, columns(),
                         finish.out_u8 + row * finish.out_stride + channel_, finish.out_stride);
      if (channel_ + kChannels >= args_.channels) finish_padding(finish, block, channel_ + 64);
    } else {
      put_in_order(span.steps());
      vectors_.finish_i32(finish, block, ordered(), kChannels);
    }
  }

  void put_in_order(size_t steps) {
    for (size_t step = 0; step < steps; ++step)
      for (size_t lane = 0; lane < kLanes; lane += 4) {
        const size_t position = Taps::channel(lane) / kChannels, channel = Taps::channel(lane) % kChannels;
        std::memcpy(ordered() + (position * steps + step) * kChannels + channel, sums() + step * kLanes + lane,
                    4 * sizeof(int32_t));
      }
  }

  const VectorKernels& vectors_;
  const DepthwiseI8Args& args_;
  const size_t channel_;
  const Layout layout_;
  uint8_t* const memory_;
};

template <template <size_t channels> class Taps>
constexpr DepthwiseI8 make_depthwise_i8() {
  return DepthwiseI8{
      .scratch =
          [](const Window& window) noexcept {
            const size_t wide = DepthwiseBlock<Taps<64>>::scratch(window);
            const size_t narrow = DepthwiseBlock<Taps<32>>::scratch(window);
            return wide > narrow ? wide : narrow;
          },
      .run =
          [](const VectorKernels& vectors, const DepthwiseI8Args& args) noexcept {
            size_t channel = 0;
            for (; channel + 32 < args.channels; channel += 64) DepthwiseBlock<Taps<64>>(vectors, args, channel).run();
            if (channel < args.channels) DepthwiseBlock<Taps<32>>(vectors, args, channel).run();
          },
  };
}

}  // namespace
}  // namespace embedrt
