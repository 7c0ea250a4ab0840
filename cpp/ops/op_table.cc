#include "ops/op.h"

namespace embedrt {

#define EMBEDRT_OP(name) extern const Op name##_op;
#include "ops/ops.inc"
#undef EMBEDRT_OP

namespace {

constexpr const Op* kOps[] = {
#define EMBEDRT_OP(name) &name##_op,
#include "ops/ops.inc"
#undef EMBEDRT_OP
};

}  // namespace

std::span<const Op* const> all_ops() {
  return kOps;
}

const Op* find_op(uint16_t id) {
  for (const Op* op : kOps) {
    if (op->id == id) return op;
  }
  return nullptr;
}

}  // namespace embedrt
