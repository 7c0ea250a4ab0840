// Caps on what a file may ask for. They are wide enough for encoders of seven billion weights, and narrow enough that
// no product of a few of them overflows 64 bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedrt {

constexpr uint32_t kMaxSections = 16;
constexpr uint32_t kMaxOpKinds = 64;
constexpr uint32_t kMaxTensors = 65535;
constexpr uint32_t kMaxInstructions = 4096;
constexpr uint32_t kMaxOutputs = 16;
constexpr uint32_t kMaxVocabulary = 1u << 24;
constexpr uint32_t kMaxTokens = 1u << 20;
constexpr uint32_t kMaxImageExtent = 4096;       // lines, and pixels of a line
constexpr uint32_t kMaxColumns = 1u << 18;       // of a value: a vocabulary's logits
constexpr uint32_t kMaxTensorExtent = 1u << 28;  // rows or columns: a vector has a float for each row of a table

// Multiply-adds for one token in a segment of the program's longest length, over all instructions: about 70 G.
constexpr uint64_t kMaxWorkPerToken = uint64_t{1} << 36;

// Multiply-adds for one image: about 4,400 G.
constexpr uint64_t kMaxWorkPerImage = uint64_t{1} << 42;

// Rows that several texts or images have together in a block, at most; one alone may have more.
constexpr uint32_t kMaxSharedRows = 1152;

// Bytes of the values that are alive at one time, for a block.
constexpr uint64_t kMaxArenaBytes = uint64_t{1} << 33;

}  // namespace embedrt
