// Calls of every kernel, made from seeds alone: the same cases run on every instruction set and on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "guarded.h"
#include "kernels/kernels.h"

namespace embedrt::test {

// `run` makes the inputs, calls the kernel, and returns the bytes of its logical result, every NaN as the same one.
// Throws std::runtime_error when the kernel wrote outside the area that kernels.h gives it.
struct KernelCase {
  std::string kernel;  // its name in the table
  std::string what;    // shape and variant, for messages
  std::function<std::vector<uint8_t>(const Kernels&)> run;
};

// `quick` is a selection for emulators.
enum class Amount { quick, full };

std::vector<KernelCase> product_cases(Amount amount);    // dot, quantize, linear_i8, linear_f32
std::vector<KernelCase> conv_cases(Amount amount);       // conv_i8, conv_f32
std::vector<KernelCase> image_cases(Amount amount);      // depthwise, max_pool, quantize_static, gate, pool_u8
std::vector<KernelCase> row_cases(Amount amount);        // norm, lookup, add, normalize, pool, rope, head_norm, glu …
std::vector<KernelCase> attention_cases(Amount amount);  // attention_i8, attention_f32, attention_pool
std::vector<KernelCase> all_cases(Amount amount);

// What rows are filled with. `plain` everywhere, or each row another flavour: zeros, one value, subnormals, huge,
// infinite, NaN, negative zeros, an outlier, a range that is just about zero, one sign only.
enum class Filling { plain, special };

// Rows of floats as kernels take them: the stride is a whole number of vectors and more, and what stands past the
// columns is NaN, which must not matter.
class FloatRows {
 public:
  FloatRows(size_t rows, size_t columns);
  FloatRows(size_t rows, size_t columns, Filling filling, Random& random);

  float* row(size_t r) { return data_.data() + r * stride_; }
  size_t stride() const { return stride_; }

  // For an output: checks that nothing was written but whole vectors of its rows, and appends the rows to `result`.
  void collect(std::vector<uint8_t>& result, const char* what);

 private:
  size_t rows_, columns_, stride_;
  Guarded<float> data_;
};

// Appends `count` elements to `result`.
void append(std::vector<uint8_t>& result, const float* values, size_t count);
void append(std::vector<uint8_t>& result, const void* bytes, size_t count);

}  // namespace embedrt::test
