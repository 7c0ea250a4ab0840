// The memory in which a program runs on a block: one allocation, laid out for blocks of a given size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ops/run.h"
#include "program/plan.h"

namespace embedrt {

// Some texts of a call, all their tokens one after another, or some images.
struct Block {
  size_t items;
  std::span<const uint32_t> ids = {};
  std::span<const size_t> starts = {};    // of texts: items + 1 of them, from 0
  size_t longest = 1;                     // tokens of the longest text
  const uint32_t* types = nullptr;        // of texts, one for each token; null: all 0
  const int64_t* attended = nullptr;      // of texts: the tokens at their start that rows see; null: all
  std::span<const RowRange> pooled = {};  // of texts: the rows that each row of kind segments is made of
  std::optional<PoolKind> pooling = {};
  const uint8_t* pixels = nullptr;  // of images

  // Tokens, or images.
  size_t size() const { return pixels ? items : ids.size(); }
  // Rows of a value.
  size_t rows(const ValueType& type) const {
    if (type.kind != ValueKind::segments) return type.rows(size());
    return pixels ? items : pooled.size();
  }
};

// How large blocks may be that a frame is laid out for.
struct BlockSize {
  size_t size;      // tokens, or images
  size_t segments;  // rows of a value of kind segments
  size_t longest;   // tokens of a text

  size_t rows(const ValueType& type) const { return type.kind == ValueKind::segments ? segments : type.rows(size); }
};

class Frame {
 public:
  // Lays the frame out; allocates when it has to grow, and then frees what it had. Throws std::bad_alloc.
  void prepare(const Plan& plan, const Kernels& kernels, BlockSize size, unsigned threads);

  // Runs the plan on a block of at most the prepared size, on the calling thread and up to `threads` − 1 of the pool's
  // (at most the prepared number). The rows of the plan's outputs are then at result().
  void run(const Block& block, unsigned threads);
  View result(uint16_t output) const { return views_[output].floats; }

 private:
  // Bytes from the rows of one thread to those of the next, `copy`, are 0 for rows of the whole block, which all
  // threads share.
  struct Place {
    View floats;  // x and stride
    size_t copy = 0;
    struct {
      QuantizedRows rows;
      size_t copy = 0;
    } quantized[2];  // of one plane, as are the bytes of a uint8 value, and of two
  };
  struct Layout {
    std::vector<size_t> offsets;  // one for each buffer of the plan
    size_t scratch = 0, scratch_stride = 0;
    size_t total = 0;
  };
  // Rows first … first + rows of a block, on a thread that may share its work among `threads`.
  struct Slice {
    size_t first, rows;
    unsigned worker, threads;
  };
  struct Release {
    void operator()(std::byte* memory) const noexcept;
  };

  static Layout lay_out(const Plan& plan, const Kernels& kernels, const BlockSize& size, unsigned threads);
  void run_group(const Group& group, const Block& block, unsigned threads);
  void run_step(const Step& step, const Block& block, const Slice& slice);
  // `bits`: of the quantised rows that are asked for.
  View view(uint16_t value, uint32_t bits, const Slice& slice) const;

  const Plan* plan_ = nullptr;
  const Kernels* kernels_ = nullptr;
  BlockSize size_{};
  unsigned threads_ = 1;
  std::unique_ptr<std::byte, Release> memory_;
  size_t bytes_ = 0;
  std::byte* scratch_ = nullptr;  // of the first thread
  size_t scratch_stride_ = 0;
  std::vector<Place> views_;  // one for each value
  std::vector<uint32_t> positions_;
};

}  // namespace embedrt
