// For loops that hold nearly every register.
#pragma once

namespace embedrt {
namespace {

// Keeps GCC from moving the loads of a loop's body to its beginning, where the sums leave no registers for them.
inline void loads_in_turn() {
#if defined(__GNUC__) && !defined(__clang__)
  asm volatile("" ::: "memory");
#endif
}

}  // namespace
}  // namespace embedrt
