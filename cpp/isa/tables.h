// The kernels of each instruction set that was built, and what several of them share.
#pragma once

#include "kernels/kernels.h"

namespace embedrt {

#define EMBEDRT_TARGET(name, when) extern const Kernels name##_kernels;
#include "isa/targets.inc"
#undef EMBEDRT_TARGET

// Each is defined beside the first instruction set that has these vectors.
extern const VectorKernels scalar_vectors, avx2_vectors, avx512_vectors, neon_vectors;
extern const DepthwiseI8 avx512vnni_depthwise, dotprod_depthwise;

}  // namespace embedrt
