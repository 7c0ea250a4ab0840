// What the ops share whose outputs each see a square window of the image, and whose results may be bytes.
#pragma once

#include <array>

#include "base/function_ref.h"
#include "ops/check.h"
#include "ops/run.h"

namespace embedrt {

// The attributes of a window come first in every such op, those of a finish after them.
enum : size_t { kKernel, kStride, kPadTop, kPadLeft, kPadBottom, kPadRight, kWindowAttributes };
enum : size_t { kActivation = kWindowAttributes, kOutput, kOutputZero, kFinishAttributes };

constexpr std::array<Attribute, kWindowAttributes> kWindowTable = {{
    {"kernel", Attribute::Type::u32, 1},
    {"stride", Attribute::Type::u32, 1},
    {"pad_top", Attribute::Type::u32, 0},
    {"pad_left", Attribute::Type::u32, 0},
    {"pad_bottom", Attribute::Type::u32, 0},
    {"pad_right", Attribute::Type::u32, 0},
}};
constexpr std::array<Attribute, kFinishAttributes> kFinishTable = {{
    kWindowTable[0],
    kWindowTable[1],
    kWindowTable[2],
    kWindowTable[3],
    kWindowTable[4],
    kWindowTable[5],
    {"activation", Attribute::Type::choice, 0, kActivationNames},
    {"output", Attribute::Type::choice, 0, "float32|uint8"},
    {"output_zero", Attribute::Type::u32, 0},
}};

// Checks the attributes against an image of height × width: every window sees a pixel of it. Throws FormatError.
Window check_window(const Instruction& instruction, uint32_t height, uint32_t width);
// The same without the checks.
Window window_of(const Instruction& instruction, uint32_t height, uint32_t width);

// The grid of that window's outputs, of floats or bytes as the attributes have it. `output_scale`: a tensor's role.
ValueType check_finish(const Instruction& instruction, const Window& window, uint32_t columns, size_t output_scale);

// What becomes of the sums of one image, `item` of the block. The caller adds scale, bias and residual.
Finish finish_of(const RunContext& context, const Instruction& instruction, size_t item, size_t output_scale);

// Calls body(item, first, count, scratch) for all lines of all images, cut for the context's threads.
void for_lines(const RunContext& context, const Instruction& instruction,
               FunctionRef<void(size_t item, size_t first, size_t count, std::byte* scratch)> body);

}  // namespace embedrt
