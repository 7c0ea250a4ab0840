// Which instruction set this process runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"

namespace embedrt {

// The revision of docs/numerics.md that these kernels compute. It rises with every change that alters a bit of a
// result.
constexpr uint32_t kNumericsRevision = 2;

// The best that the CPU can run, or the one that the environment variable EMBEDRT_ISA names. Chosen at the first call;
// throws InputError when that name is unknown or the CPU cannot run it.
const Kernels& kernels();

// The instruction sets of this build that the CPU can run, best first. `kernels_of` is null for any other name.
std::vector<std::string> available_isas();
const Kernels* kernels_of(std::string_view name);

}  // namespace embedrt
