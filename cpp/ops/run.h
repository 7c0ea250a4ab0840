// What an op sees when it runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "kernels/kernels.h"
#include "ops/op.h"

namespace embedrt {

// A value's rows. `x` are its float rows; `q` its quantised rows, as the reader wants them, or, data and stride only,
// the bytes of a uint8 value.
struct View {
  float* x = nullptr;
  size_t stride = 0;  // floats
  QuantizedRows q;
};

// Rows first … last − 1 of a block.
struct RowRange {
  size_t first, last;
};

// The rows are those of this call: a slice of the block for a row-wise op, the whole block for the others.
struct RunContext {
  const Kernels& kernels;
  size_t rows = 0;                      // rows of the value that is defined
  size_t first = 0;                     // the block's row that they begin with
  size_t items = 0;                     // texts or images of the block
  const uint8_t* pixels = nullptr;      // of the block's images
  const uint32_t* ids = nullptr;        // of these rows
  const uint32_t* positions = nullptr;  // of these rows within their segments
  const uint32_t* types = nullptr;      // of these rows; null: all 0
  const int64_t* attended = nullptr;    // of the block's texts: the tokens at their start that rows see; null: all
  std::span<const size_t>
      starts;  // items of the block in the first input: item i has rows starts[i] … starts[i + 1] − 1
  std::span<const RowRange> pooled = {};  // of texts: what each row of a value of kind segments is made of
  std::optional<PoolKind> pooling = {};   // of texts: goes before what the program says
  std::span<const View> inputs;
  const Instruction* producer = nullptr;  // of the first input, where it was absorbed: inputs[0] is then the producer's
  View output;
  std::byte* scratch = nullptr;  // Op::scratch bytes for each of `threads`, aligned to 64
  size_t scratch_stride = 0;     // bytes from one thread's to the next one's
  unsigned threads = 1;          // that run() may share its work among, with parallel_for
};

}  // namespace embedrt
