// Plain C++ for every CPU: the definition of the numerics contract.
#include "isa/plain_depthwise.h"
#include "isa/plain_dot.h"
#include "isa/tables.h"
#include "kernels/table.h"
#include "kernels/vec_scalar.h"

namespace embedrt {
namespace {

constexpr Dot kDot = {.rows = 16, .panels = 4, .run = plain_dot};
static_assert(fits(kDot));
constexpr DepthwiseI8 kDepthwise = make_depthwise_i8<PlainDepthwise>();

}  // namespace

constinit const VectorKernels scalar_vectors = make_vector_kernels<ScalarVec>();
constinit const Kernels scalar_kernels = {
    .name = "scalar", .vectors = &scalar_vectors, .byte_dot = kDot, .depthwise = &kDepthwise};

}  // namespace embedrt
