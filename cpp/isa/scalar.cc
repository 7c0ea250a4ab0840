// Plain C++ for every CPU: the definition of the numerics contract.
#include "isa/plain_depthwise.h"
#include "isa/plain_dot.h"
#include "isa/tables.h"
#include "kernels/table.h"
#include "kernels/vec_scalar.h"

namespace embedrt {
namespace {

struct Scalar {
  using V = ScalarVec;
  template <size_t channels>
  using Depthwise = PlainDepthwise<V, channels>;
  static constexpr size_t kRows = 16, kPanels = 4;
  static constexpr int kFloatRows = 1, kFloatPanels = 1;
  static void begin() {}
  static void end() {}
  static void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                  size_t panels, int32_t* acc, size_t acc_stride) {
    plain_dot(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
  }
};

}  // namespace

const Kernels scalar_kernels = make_kernels<Scalar>("scalar");

}  // namespace embedrt
