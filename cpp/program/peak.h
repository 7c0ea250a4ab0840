// The ceilings of the CPU that this process runs on, under the instruction set that it runs.
#pragma once

#include <string>
#include <vector>

#include "isa/dispatch.h"

namespace embedrt {

// What can be measured, a second, by all threads together:
//   int8_dot     multiply-adds of the instructions that multiply bytes, on registers; int8_gemm where there are none
//   int8_gemm    multiply-adds of the kernels' product of bytes, Kernels::dot, operands in the second-level cache
//   fp32_fma     multiply-adds of float32, on registers
//   read_cache   bytes read from the second-level cache
//   read_memory  bytes read from 256 MiB in equal shares, 16 MiB for a thread at least: from memory, or from a
//                last-level cache that is larger
std::vector<std::string> peak_names();

// The best of rounds of about 10 ms, as many as `seconds` admit, at least one; `threads` 0: default_threads(). Throws
// InputError for a name that is not there.
double measure_peak(const std::string& name, unsigned threads, double seconds,
                    const Kernels& kernels = embedrt::kernels());

}  // namespace embedrt
