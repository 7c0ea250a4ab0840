// AVX-512 with VNNI: sixteen lanes in a register, vpdpbusd for sixteen columns and four k at once.
#include "isa/avx512vnni_depthwise.h"
#include "isa/avx512vnni_dot.h"
#include "isa/tables.h"
#include "kernels/table.h"
#include "kernels/vec_avx512.h"

namespace embedrt {
namespace {

struct Avx512Vnni {
  using V = Avx512Vec;
  template <size_t channels>
  using Depthwise = Avx512VnniDepthwise<channels>;
  static constexpr size_t kRows = 32, kPanels = 3;
  static constexpr int kFloatRows = 8, kFloatPanels = 2;
  static void begin() {}
  static void end() {}
  static uint64_t probe_dot(const ProbeArgs& args) {
    return probe_chains<__m512i, 16>(
        args, [](__m512i sum, __m512i row, __m512i columns) { return _mm512_dpbusd_epi32(sum, row, columns); });
  }
  static void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                  size_t panels, int32_t* acc, size_t acc_stride) {
    dot_panels<Avx512VnniTiles, 3>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
  }
};

}  // namespace

const Kernels avx512vnni_kernels = make_kernels<Avx512Vnni>("avx512vnni");

}  // namespace embedrt
