// What the verifier needs to know of attention.
#pragma once

#include "ops/op.h"

namespace embedrt {

// The keys that a row of a text sees on each side of it; 0 for another op, and where it sees all of them.
uint32_t attention_window(const Instruction& instruction);

}  // namespace embedrt
