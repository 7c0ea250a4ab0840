// The table of kernels of each instruction set that was built.
#pragma once

#include "kernels/kernels.h"

namespace embedrt {

#define EMBEDRT_TARGET(name, when) extern const Kernels name##_kernels;
#include "isa/targets.inc"
#undef EMBEDRT_TARGET

}  // namespace embedrt
