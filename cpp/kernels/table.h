// The table of the kernels of one kind of vectors.
#pragma once

#include "kernels/activate.h"
#include "kernels/attention_f32.h"
#include "kernels/attention_i8.h"
#include "kernels/attention_pool.h"
#include "kernels/bytes.h"
#include "kernels/conv.h"
#include "kernels/depthwise_f32.h"
#include "kernels/finish.h"
#include "kernels/glu.h"
#include "kernels/head_norm.h"
#include "kernels/kernels.h"
#include "kernels/linear.h"
#include "kernels/max_pool.h"
#include "kernels/pool.h"
#include "kernels/probe.h"
#include "kernels/quantize.h"
#include "kernels/rope.h"
#include "kernels/rows.h"

namespace embedrt {
namespace {

template <class V>
constexpr VectorKernels make_vector_kernels() {
  return VectorKernels{
      .quantize = quantize_rows<V>,
      .linear_i8 = linear_i8<V>,
      .linear_f32 = linear_f32<V>,
      .norm = norm_rows<V>,
      .lookup = lookup_rows<V>,
      .add = add_rows<V>,
      .attention_i8 = attention_i8<V>,
      .attention_f32 = attention_f32<V>,
      .pool = pool_segment<V>,
      .normalize = normalize_rows<V>,
      .rope = rope_rows<V>,
      .head_norm = head_norm_rows<V>,
      .glu = glu_rows<V>,
      .activate = activate_rows<V>,
      .attention_pool = attention_pool<V>,
      .conv_i8 = conv_i8<V>,
      .conv_f32 = conv_f32<V>,
      .depthwise_f32 = depthwise_f32<V>,
      .max_pool = max_pool<V>,
      .quantize_static = quantize_static<V>,
      .gate = gate_rows<V>,
      .pool_u8 = pool_u8<V>,
      .attention_i8_scratch = attention_i8_scratch,
      .attention_f32_scratch = attention_f32_scratch,
      .conv_i8_scratch = conv_i8_scratch,
      .conv_f32_scratch = conv_f32_scratch<V>,
      .depthwise_f32_scratch = depthwise_f32_scratch,
      .finish_i32 = finish_block<V, int32_t>,
      .probe_fma = probe_fma<V>,
      .probe_read = probe_read<V>,
  };
}

}  // namespace
}  // namespace embedrt
