// The table of kernels that every instruction set exports, and the arguments they take. Formulas: docs/numerics.md.
//
// Common rules. Float rows have a stride that is a multiple of 16 floats, so that whole vectors may be read and written
// past the last column; what stands there is unspecified. Quantised rows have a stride that is a multiple of 64 bytes,
// zero past the last column, and room for a multiple of 16 rows. Packed weights may be read 1,024 bytes past their end.
// Kernels do not allocate, throw or start threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedrt {

enum class Activation : uint32_t { none = 0, relu, gelu, gelu_tanh, silu, tanh, sigmoid };
// The widest attention head.
constexpr size_t kMostHeadDim = 512;

enum class PoolKind : uint32_t { mean = 0, first, last, max, sum, weighted_mean, mean_sqrt };

constexpr size_t round_up(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// The strides of rows. A float stride of a multiple of 4 KiB would put every row into the same cache sets, so it gets
// one vector more.
constexpr size_t float_stride(size_t columns) {
  const size_t stride = round_up(columns, 16);
  return stride % 1024 == 0 ? stride + 16 : stride;
}
constexpr size_t quantized_stride(size_t columns) {
  return round_up(columns, 64);
}

// Rows of uint8 with one scale and offset each: x ≈ scale · data + offset. The offset is −scale times the zero point,
// the integer whose x is 0.
struct QuantizedRows {
  uint8_t* data = nullptr;
  size_t stride = 0;
  float* scale = nullptr;
  float* offset = nullptr;
};

struct QuantizeArgs {
  const float* x;
  size_t x_stride;
  size_t rows, columns;
  QuantizedRows out;
};

// y[rows, n] = act(x · Wᵀ + bias) + residual.
struct LinearArgs {
  size_t rows;
  size_t k, n;
  const float* bias;  // padded to 16, or null
  Activation activation;
  const float* residual;  // or null
  size_t residual_stride;
  float* out;
  size_t out_stride;
};

struct LinearI8Args : LinearArgs {
  QuantizedRows x;
  const int8_t* weight;  // panel_i8
  const float* scale;
  const int32_t* column_sums;
};

struct LinearF32Args : LinearArgs {
  const float* x;
  size_t x_stride;
  const float* weight;  // panel_f32
};

struct NormArgs {
  const float* x;
  size_t x_stride;
  size_t rows, columns;
  const float* weight;
  const float* bias;  // or null
  float epsilon;
  bool rms;
  float* out;
  size_t out_stride;
};

// out[r] = table[index[r]], for table_i8 times scale[index[r]].
struct LookupArgs {
  const uint32_t* index;
  size_t rows, columns;
  const float* table_f32;  // one of the two tables is null
  const int8_t* table_i8;
  size_t table_stride;  // elements
  const float* scale;
  float* out;
  size_t out_stride;
};

struct AddArgs {
  const float* a;
  size_t a_stride;
  const float* b;
  size_t b_stride;
  size_t rows, columns;
  float* out;
  size_t out_stride;
};

// One segment: qkv is [tokens, 3 · heads · head_dim], out [tokens, heads · head_dim].
struct AttentionArgs {
  const float* qkv;
  size_t qkv_stride;
  size_t tokens;
  size_t heads, head_dim;
  float scale;
  float* out;
  size_t out_stride;
  void* scratch;  // attention_*_scratch(tokens, head_dim) bytes, aligned to 64
};

struct PoolArgs {
  const float* x;
  size_t x_stride;
  size_t tokens, columns;
  PoolKind kind;
  float* out;  // one row
};

struct NormalizeArgs {
  const float* x;
  size_t x_stride;
  size_t rows, columns;
  float epsilon;
  float* out;
  size_t out_stride;
};

// What kernels/probe.h repeats to find a ceiling of the CPU.
enum class Probe : uint32_t { int8_dot, fp32_fma, read };
// The least that a probe wants of `data`, and the most that it writes to `result`.
constexpr size_t kProbeBytes = 2048, kProbeResultBytes = 1024;

struct ProbeArgs {
  Probe probe;
  uint64_t passes;
  const void* data;  // normal floats below 1, aligned to 64; their bytes are operands too
  size_t bytes;      // of data: `read` reads them all
  void* result;      // aligned to 64
};

struct Kernels {
  const char* name;
  void (*quantize)(const QuantizeArgs&) noexcept;
  void (*linear_i8)(const LinearI8Args&) noexcept;
  void (*linear_f32)(const LinearF32Args&) noexcept;
  void (*norm)(const NormArgs&) noexcept;
  void (*lookup)(const LookupArgs&) noexcept;
  void (*add)(const AddArgs&) noexcept;
  // Bytes that suffice for `tokens` tokens and for any smaller number.
  size_t (*attention_i8_scratch)(size_t tokens, size_t head_dim) noexcept;
  void (*attention_i8)(const AttentionArgs&) noexcept;
  size_t (*attention_f32_scratch)(size_t tokens, size_t head_dim) noexcept;
  void (*attention_f32)(const AttentionArgs&) noexcept;
  void (*pool)(const PoolArgs&) noexcept;
  void (*normalize)(const NormalizeArgs&) noexcept;
  // Exact products of bytes: acc[r][j] = Σ_k a[r][k] · w[j][k] for `panels` panels of sixteen columns; rows rounded up
  // to 16 are readable in `a` and writable in `acc`.
  void (*dot)(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
              size_t panels, int32_t* acc, size_t acc_stride) noexcept;
  // Returns the multiply-adds done, or bytes read; 0 where the instruction set has no such instruction.
  uint64_t (*probe)(const ProbeArgs&) noexcept;
};

}  // namespace embedrt
