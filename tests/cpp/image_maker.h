// Programs of images for tests and fuzzing: each call adds an instruction whose tensors fit.
#pragma once

#include <array>
#include <cstdint>

#include "file_maker.h"

namespace embedrt::test {

// A grid, and how its rows lie.
struct Grid {
  uint16_t value = 0;
  uint32_t height = 0, width = 0, columns = 0, prefix = 0;
  bool bytes = false;

  uint32_t rows() const { return prefix + height * width; }
};

struct WindowText {
  uint32_t kernel = 1, stride = 1;
  std::array<uint32_t, 4> pads = {0, 0, 0, 0};  // top, left, bottom, right
};

struct FinishText {
  uint32_t activation = 0;
  bool bytes = false;
  uint32_t zero = 0;
  bool output_scale = false;
};

class ImageMaker {
 public:
  ImageMaker(uint32_t height, uint32_t width, ProgramMaker base = ProgramMaker(0, 0));

  ProgramMaker program;

  Grid pixels() const { return {0, program.image[0], program.image[1], 3, 0, true}; }

  // Weights of bytes for bytes; for pixels as `quantised` says.
  Grid conv(const Grid& x, uint32_t columns, const WindowText& window, const FinishText& finish,
            const Grid* residual = nullptr, bool quantised = true);
  Grid depthwise(const Grid& x, const WindowText& window, const FinishText& finish);
  Grid max_pool(const Grid& x, const WindowText& window);
  Grid quantize(const Grid& x, uint32_t zero);
  Grid gate(const Grid& x, uint16_t factors, uint32_t zero);
  Grid place(const Grid& x, uint32_t prefix, bool position);
  Grid rope(const Grid& x, uint32_t heads);
  Grid head_norm(const Grid& x, uint32_t heads, uint32_t kind);
  Grid attention(const Grid& x, uint32_t heads, uint32_t precision, uint32_t mask, uint32_t window = 0,
                 bool bias = false);
  Grid glu(const Grid& x, uint32_t activation);
  Grid linear(const Grid& x, uint32_t columns, bool quantised, uint32_t activation, const Grid* residual = nullptr);
  Grid norm(const Grid& x, uint32_t kind);
  Grid add(const Grid& a, const Grid& b);
  Grid normalize(const Grid& x);
  uint16_t pool(const Grid& x, uint32_t kind, uint32_t skip);
  uint16_t attention_pool(const Grid& x, uint32_t heads);

 private:
  Grid finished(const Grid& x, uint32_t columns, const WindowText& window, const FinishText& finish) const;
  uint16_t vector(uint32_t columns, float most) { return program.tensor(Layout::vector_f32, 1, columns, most); }
};

// Every op that an image may have, in all the ways that its tensors may be there, on grids of bytes and of floats, with
// every output of images. At least 4 lines of 3 pixels.
ProgramMaker every_image_op(uint32_t columns = 20, uint32_t height = 11, uint32_t width = 13);

// An image and a text, one tower each.
ProgramMaker two_towers();

// Windows of all kinds, wide enough that threads share the lines of an image, and two blocks of a transformer.
ProgramMaker large_image_program();

}  // namespace embedrt::test
