// The arguments of the kernels (kernels/kernels.h). Formulas: docs/numerics.md.
//
// Common rules. Float rows have a stride that is a multiple of 16 floats, so that whole vectors may be read and written
// past the last column; what stands there is unspecified. Planes of quantised rows are a multiple of 64 bytes apart,
// zero past the last column, and there is room for a multiple of 16 rows. Packed weights may be read 1,024 bytes past
// their end. Kernels do not allocate, throw or start threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedrt {

enum class Activation : uint32_t {
  none = 0,
  relu,
  gelu,
  gelu_tanh,
  silu,
  tanh,
  sigmoid,
  relu6,
  hard_swish,
  hard_sigmoid,
  quick_gelu,
  log1p_relu
};
constexpr uint32_t kActivations = static_cast<uint32_t>(Activation::log1p_relu) + 1;

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

// Rows of integers with one scale and offset each: x ≈ scale · a + offset. The offset is −scale times the zero point,
// the integer whose x is 0. One plane: a is a byte. Two: a row's high bytes, then, half a stride further, its low ones;
// so a dot takes them for two rows of bytes.
struct QuantizedRows {
  uint8_t* data = nullptr;
  size_t stride = 0;  // bytes from one row to the next
  float* scale = nullptr;
  float* offset = nullptr;
  uint32_t planes = 1;
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

// One segment: qkv is [tokens, (heads + 2 · kv_heads) · head_dim], out [tokens, heads · head_dim]. Head h of q sees
// head h / (heads / kv_heads) of k and v.
//
// `bias`, or null, has the first head's bias of (query i, key j) at bias[j − i], the next head's `bias_stride` floats
// further. Whole vectors are read from any key on: up to fifteen floats past that of the first query and the last key.
struct AttentionArgs {
  const float* qkv;
  size_t qkv_stride;
  size_t tokens;
  size_t heads, kv_heads, head_dim;
  float scale;
  size_t unseen = 0;    // so many keys at the end no row sees: they might as well not be there
  bool causal = false;  // row i sees the keys 0 … i only
  size_t window = 0;    // row i sees the keys i − window … i + window only; 0: all
  const float* bias = nullptr;
  size_t bias_stride = 0;
  float* out;
  size_t out_stride;
  void* scratch;  // attention_*_scratch(tokens, head_dim, window) bytes, aligned to 64

  size_t keys() const { return tokens - unseen; }
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

// Rows of q, k and v as in AttentionArgs: each head of q and k, of d columns, is turned by the angles of its row, y[c]
// = x[c] · cos[c] + x'[c] · sin[c] with x' = (−second half, first half) of the head. v is copied.
struct RopeArgs {
  const float* x;
  size_t x_stride;
  const uint32_t* positions;  // the table's row for each row
  size_t rows, heads, kv_heads, head_dim;
  const float* cos;  // [table rows, table_stride]
  const float* sin;
  size_t table_stride;
  float* out;
  size_t out_stride;
};

// Rows of q, k and v as in AttentionArgs: each head of q and k is normed by itself. v is copied.
struct HeadNormArgs {
  const float* x;
  size_t x_stride;
  size_t rows, heads, kv_heads, head_dim;
  const float* query;  // weights, padded to 16
  const float* key;
  float epsilon;
  bool rms;
  float* out;
  size_t out_stride;
};

// out[r, c] = act(x[r, c]) · x[r, columns + c].
struct GluArgs {
  const float* x;  // rows of 2 · columns
  size_t x_stride;
  size_t rows, columns;
  Activation activation;
  float* out;
  size_t out_stride;
};

struct ActivateArgs {
  const float* x;
  size_t x_stride;
  size_t rows, columns;
  Activation activation;
  float* out;
  size_t out_stride;
};

// One segment seen by one constant query: kv is [tokens, 2 · heads · head_dim], query and out [heads · head_dim].
struct AttentionPoolArgs {
  const float* kv;
  size_t kv_stride;
  size_t tokens;
  size_t heads, head_dim;
  float scale;
  const float* query;
  float* out;
  void* scratch;  // 4 · (tokens + 16) bytes, aligned to 64
};

// A square window that slides over an image of height × width pixels: output (y, x) sees kernel × kernel pixels from
// line y · stride − pad_top and column x · stride − pad_left on. What lies outside is padding.
struct Window {
  size_t height, width;
  size_t kernel, stride;
  size_t pad_top, pad_left;
  size_t out_height, out_width;
};

// What becomes of the sums of a convolution. t = fma(float(sum), scale, bias), or sum + bias for float sums; a residual
// is added, t + residual or fma(float(residual_u8), residual_scale, t); then the activation. Floats: out = t. Bytes:
// t = fma(t, output_scale, output_zero) where there is an output_scale; out = round(max(min(t, 255), 0)), and zeros
// from the last column to the end of the row's stride. Vectors have a float for each column, padded with zeros to 16;
// rows are those of the whole result.
struct Finish {
  const float* scale;  // null for float sums
  const float* bias;   // [border classes, bias_stride]
  size_t bias_stride;  // 0 where there is one class
  const float* residual;
  const uint8_t* residual_u8;
  size_t residual_stride;  // floats, or bytes
  const float* residual_scale;
  Activation activation;
  float* out;
  uint8_t* out_u8;
  size_t out_stride;  // floats, or bytes: a multiple of 64
  const float* output_scale;
  float output_zero;
};

// Up to 64 columns, from `column` on, of rows of the result that are of one border class. `n`: the columns of a row.
struct FinishBlock {
  size_t row, rows;
  size_t column, n;
  size_t border_class;

  size_t panels() const { return n - column < 64 ? (n - column + 15) / 16 : 4; }
};

// Outputs first … first + rows − 1 of one image, counted along its lines: y · out_width + x. A dot's length is kernel²
// · channels: the pixels of the window line by line, each with its channels.
struct ConvArgs {
  Window window;
  size_t x_stride;  // elements from one pixel to the next; what lies past the channels is 0
  size_t channels, n;
  size_t first, rows;
  Finish finish;
  void* scratch;  // conv_*_scratch(kernel² · channels) bytes, aligned to 64
};

struct ConvI8Args : ConvArgs {
  const uint8_t* x;      // with a stride of a multiple of 64, fifteen pixels more may be read after the last
  uint8_t pad;           // the byte of a pixel that is padding
  const int8_t* weight;  // panel_i8
};

// Padding is 0.
struct ConvF32Args : ConvArgs {
  const float* x;       // or null, for
  const uint8_t* x_u8;  // bytes that count as floats
  const float* weight;  // panel_f32
};

// One window for each channel. Lines first_line … first_line + lines − 1 of the output.
struct DepthwiseArgs {
  Window window;
  size_t x_stride;
  size_t channels;
  size_t weight_stride;  // elements from one tap to the next, a multiple of 64 (16 for floats); taps line by line
  size_t first_line, lines;
  Finish finish;  // with one border class and no residual
  void* scratch;  // depthwise_*_scratch(window, channels) bytes, aligned to 64
};

struct DepthwiseI8Args : DepthwiseArgs {
  const uint8_t* x;
  uint8_t pad;
  const int8_t* weight;
};

// Sums run over the taps in order, acc = fma(x, w, acc) from 0; padding is 0.
struct DepthwiseF32Args : DepthwiseArgs {
  const float* x;
  const float* weight;
};

// The greatest of each window, padding left out; every window sees a pixel. Bytes or floats: of these the taps in
// order, from the first one that is not padding, and NaN where one is not finite, as in `pool`.
struct MaxPoolArgs {
  Window window;
  size_t x_stride, channels;
  size_t first_line, lines;
  const float* x;  // with out, or both null
  const uint8_t* x_u8;
  float* out;
  uint8_t* out_u8;
  size_t out_stride;
};

// out = round(max(min(fma(x, scale, zero), 255), 0)), zeros past the last column.
struct QuantizeStaticArgs {
  const float* x;
  size_t x_stride;
  size_t rows, columns;
  const float* scale;  // padded to 16 with zeros
  float zero;
  uint8_t* out;
  size_t out_stride;
};

// Rows of one image times a row of factors: out = x · gate; for bytes round(max(min(fma(float(x) − zero, gate · scale,
// output_zero), 255), 0)), zeros past the last column.
struct GateArgs {
  const float* x;
  const uint8_t* x_u8;
  size_t x_stride;
  size_t rows, columns;
  const float* gate;
  float zero;
  const float* scale;
  float output_zero;
  float* out;
  uint8_t* out_u8;
  size_t out_stride;
};

// The mean of rows of bytes: out = float(Σ x − rows · zero) · scale, an exact sum.
struct PoolU8Args {
  const uint8_t* x;
  size_t x_stride;
  size_t rows, columns;
  uint8_t zero;
  const float* scale;  // a value's step / rows, padded to 16
  float* out;
};

// The padding of an image changes which weights an output sees. Outputs are of one class where they lack the same lines
// and columns of the window: 0 those that lack none, then those that lack 1, 2 … at the top (left), then at the bottom
// (right). Only in images at least as large as the kernel.
struct Borders {
  size_t top, bottom, left, right;  // the most that an output lacks
  size_t classes() const { return (1 + top + bottom) * (1 + left + right); }
};

constexpr size_t most_lacking(size_t extent, size_t kernel, size_t stride, size_t pad, size_t outputs) {
  const size_t end = (outputs - 1) * stride + kernel;  // of the last window, from the first one's start
  return end > extent + pad ? end - extent - pad : 0;
}

constexpr Borders borders(const Window& w) {
  return {w.pad_top, most_lacking(w.height, w.kernel, w.stride, w.pad_top, w.out_height), w.pad_left,
          most_lacking(w.width, w.kernel, w.stride, w.pad_left, w.out_width)};
}

// The class of one coordinate of an output.
constexpr size_t border_class(size_t at, size_t extent, size_t kernel, size_t stride, size_t pad) {
  if (at * stride < pad) return pad - at * stride;
  const size_t end = at * stride + kernel;
  return end > extent + pad ? pad + (end - extent - pad) : 0;
}

constexpr size_t border_class(const Window& w, const Borders& b, size_t y, size_t x) {
  return border_class(y, w.height, w.kernel, w.stride, w.pad_top) * (1 + b.left + b.right) +
         border_class(x, w.width, w.kernel, w.stride, w.pad_left);
}

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

}  // namespace embedrt
