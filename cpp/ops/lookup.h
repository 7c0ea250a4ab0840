// What the verifier needs to know of lookup.
#pragma once

#include "ops/op.h"

namespace embedrt {

// How many token types a lookup has rows for; 0 where it does not look types up.
uint32_t lookup_types(const Instruction& instruction);

}  // namespace embedrt
