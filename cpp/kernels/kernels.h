// The kernels of an instruction set: those of its vectors, its product of bytes and its depthwise convolution of bytes.
// Instruction sets that only multiply bytes in another way share the first.
#pragma once

#include "kernels/args.h"

namespace embedrt {

// How an instruction set multiplies bytes, and in what portions.
struct Dot {
  // The sums of one pass, which should fit the first-level cache beside the weights of the panels. kernels/dot.h has
  // the limits.
  size_t rows, panels;
  // Around the products of a kernel, where there is something to do: tile units want to be configured.
  void (*begin)() noexcept = nullptr;
  void (*end)() noexcept = nullptr;
  // Exact products of bytes: acc[r][j] = Σ_k a[r][k] · w[j][k] for any number of rows and of panels of sixteen columns;
  // rows rounded up to 16 are readable in `a` and writable in `acc`.
  void (*run)(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
              size_t panels, int32_t* acc, size_t acc_stride) noexcept;
  // Probe::int8_dot, where there are instructions that multiply bytes: independent chains of them, on registers as far
  // as it can be, as many as hide their latency. Returns the multiply-adds done.
  uint64_t (*probe)(const ProbeArgs&) noexcept = nullptr;
};

// What is one template for all vectors.
struct VectorKernels {
  void (*quantize)(const QuantizeArgs&) noexcept;
  void (*linear_i8)(const Dot&, const LinearI8Args&) noexcept;
  void (*linear_f32)(const LinearF32Args&) noexcept;
  void (*norm)(const NormArgs&) noexcept;
  void (*lookup)(const LookupArgs&) noexcept;
  void (*add)(const AddArgs&) noexcept;
  void (*attention_i8)(const Dot&, const AttentionArgs&) noexcept;
  void (*attention_f32)(const AttentionArgs&) noexcept;
  void (*pool)(const PoolArgs&) noexcept;
  void (*normalize)(const NormalizeArgs&) noexcept;
  void (*rope)(const RopeArgs&) noexcept;
  void (*head_norm)(const HeadNormArgs&) noexcept;
  void (*glu)(const GluArgs&) noexcept;
  void (*activate)(const ActivateArgs&) noexcept;
  void (*attention_pool)(const AttentionPoolArgs&) noexcept;
  void (*conv_i8)(const Dot&, const ConvI8Args&) noexcept;
  void (*conv_f32)(const ConvF32Args&) noexcept;
  void (*depthwise_f32)(const DepthwiseF32Args&) noexcept;
  void (*max_pool)(const MaxPoolArgs&) noexcept;
  void (*quantize_static)(const QuantizeStaticArgs&) noexcept;
  void (*gate)(const GateArgs&) noexcept;
  void (*pool_u8)(const PoolU8Args&) noexcept;
  // Bytes that suffice for `tokens` tokens and for any smaller number.
  size_t (*attention_i8_scratch)(const Dot&, size_t tokens, size_t head_dim, size_t window) noexcept;
  size_t (*attention_f32_scratch)(size_t tokens, size_t head_dim, size_t window) noexcept;
  size_t (*conv_i8_scratch)(const Dot&, size_t k) noexcept;
  size_t (*conv_f32_scratch)(size_t k) noexcept;
  size_t (*depthwise_f32_scratch)(const Window& window, size_t channels) noexcept;
  // Int32 sums [rows, up to 64], rows `stride` apart, whole panels of sixteen.
  void (*finish_i32)(const Finish&, const FinishBlock&, const int32_t* sums, size_t stride) noexcept;
  // Return the multiply-adds done, or bytes read.
  uint64_t (*probe_fma)(const ProbeArgs&) noexcept;
  uint64_t (*probe_read)(const ProbeArgs&) noexcept;
};

// A convolution of bytes with one window for each channel: kernels/depthwise_i8.h.
struct DepthwiseI8 {
  size_t (*scratch)(const Window&) noexcept;
  void (*run)(const VectorKernels&, const DepthwiseI8Args&) noexcept;
};

struct Kernels {
  const char* name;
  const VectorKernels* vectors;
  Dot byte_dot;
  const DepthwiseI8* depthwise;

  void quantize(const QuantizeArgs& args) const noexcept { vectors->quantize(args); }
  void linear_i8(const LinearI8Args& args) const noexcept { vectors->linear_i8(byte_dot, args); }
  void linear_f32(const LinearF32Args& args) const noexcept { vectors->linear_f32(args); }
  void norm(const NormArgs& args) const noexcept { vectors->norm(args); }
  void lookup(const LookupArgs& args) const noexcept { vectors->lookup(args); }
  void add(const AddArgs& args) const noexcept { vectors->add(args); }
  void attention_i8(const AttentionArgs& args) const noexcept { vectors->attention_i8(byte_dot, args); }
  void attention_f32(const AttentionArgs& args) const noexcept { vectors->attention_f32(args); }
  void pool(const PoolArgs& args) const noexcept { vectors->pool(args); }
  void normalize(const NormalizeArgs& args) const noexcept { vectors->normalize(args); }
  void rope(const RopeArgs& args) const noexcept { vectors->rope(args); }
  void head_norm(const HeadNormArgs& args) const noexcept { vectors->head_norm(args); }
  void glu(const GluArgs& args) const noexcept { vectors->glu(args); }
  void activate(const ActivateArgs& args) const noexcept { vectors->activate(args); }
  void attention_pool(const AttentionPoolArgs& args) const noexcept { vectors->attention_pool(args); }
  void conv_i8(const ConvI8Args& args) const noexcept { vectors->conv_i8(byte_dot, args); }
  void conv_f32(const ConvF32Args& args) const noexcept { vectors->conv_f32(args); }
  void depthwise_f32(const DepthwiseF32Args& args) const noexcept { vectors->depthwise_f32(args); }
  void max_pool(const MaxPoolArgs& args) const noexcept { vectors->max_pool(args); }
  void quantize_static(const QuantizeStaticArgs& args) const noexcept { vectors->quantize_static(args); }
  void gate(const GateArgs& args) const noexcept { vectors->gate(args); }
  void pool_u8(const PoolU8Args& args) const noexcept { vectors->pool_u8(args); }
  void depthwise_i8(const DepthwiseI8Args& args) const noexcept { depthwise->run(*vectors, args); }

  size_t attention_i8_scratch(size_t tokens, size_t head_dim, size_t window) const noexcept {
    return vectors->attention_i8_scratch(byte_dot, tokens, head_dim, window);
  }
  size_t attention_f32_scratch(size_t tokens, size_t head_dim, size_t window) const noexcept {
    return vectors->attention_f32_scratch(tokens, head_dim, window);
  }
  size_t conv_i8_scratch(size_t k) const noexcept { return vectors->conv_i8_scratch(byte_dot, k); }
  size_t conv_f32_scratch(size_t k) const noexcept { return vectors->conv_f32_scratch(k); }
  size_t depthwise_i8_scratch(const Window& window, size_t) const noexcept { return depthwise->scratch(window); }
  size_t depthwise_f32_scratch(const Window& window, size_t channels) const noexcept {
    return vectors->depthwise_f32_scratch(window, channels);
  }

  // Dot::run by itself.
  void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
           size_t panels, int32_t* acc, size_t acc_stride) const noexcept {
    if (byte_dot.begin) byte_dot.begin();
    byte_dot.run(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
    if (byte_dot.end) byte_dot.end();
  }

  // Returns the multiply-adds done, or bytes read; 0 where the instruction set has no such instruction.
  uint64_t probe(const ProbeArgs& args) const noexcept {
    switch (args.probe) {
      case Probe::int8_dot:
        return byte_dot.probe ? byte_dot.probe(args) : 0;
      case Probe::fp32_fma:
        return vectors->probe_fma(args);
      case Probe::read:
        return vectors->probe_read(args);
    }
    return 0;
  }
};

}  // namespace embedrt
