// q, k and v side by side, as attention, rope and head_norm take them.
#pragma once

#include "ops/check.h"

namespace embedrt {

// q of `count` heads, then k and v of `kv` heads each. Heads of q that stand next to each other share one of k and v.
struct Heads {
  size_t count, kv, columns;  // columns: of one head
  size_t group() const { return count / kv; }
};

// `heads` and `kv_heads` are attributes; kv_heads 0 means as many as heads.
inline Heads heads_of(const Instruction& instruction, size_t heads, size_t kv_heads) {
  const size_t count = instruction.words[heads];
  const size_t kv = instruction.words[kv_heads] > 0 ? instruction.words[kv_heads] : count;
  return {count, kv, instruction.input_types[0].columns / (count + 2 * kv)};
}

// The heads of input 0, whose columns must be a multiple of `multiple`, 1 or 2.
inline Heads require_heads(const Instruction& instruction, size_t heads, size_t kv_heads, size_t multiple) {
  const ValueType qkv = require_value(instruction, 0);
  require(qkv.kind == ValueKind::rows || qkv.kind == ValueKind::grid, "the input has one row for each item");
  const uint32_t count = instruction.words[heads], kv = instruction.words[kv_heads];
  require(kv == 0 || (count >= kv && count % kv == 0),
          "kv_heads is " + std::to_string(kv) + ", which does not divide " + std::to_string(count) + " heads");
  const uint64_t parts = count + uint64_t{2} * (kv > 0 ? kv : count);
  const std::string who = (kv > 0 ? "q of " + std::to_string(count) + " and k and v of " + std::to_string(kv)
                                  : "q, k and v of " + std::to_string(count)) +
                          " heads" + (multiple == 2 ? " of an even width" : "");
  require(count >= 1 && qkv.columns % (multiple * parts) == 0, std::to_string(qkv.columns) + " columns are not " + who);
  return heads_of(instruction, heads, kv_heads);
}

}  // namespace embedrt
