// AVX-512 with VNNI: sixteen lanes in a register, vpdpbusd for sixteen columns and four k at once.
#include "isa/avx512vnni_depthwise.h"
#include "isa/avx512vnni_dot.h"
#include "isa/tables.h"
#include "kernels/dot_tiles.h"
#include "kernels/table.h"
#include "kernels/vec_avx512.h"

namespace embedrt {
namespace {

void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k, size_t panels,
         int32_t* acc, size_t acc_stride) noexcept {
  dot_panels<Avx512VnniTiles, 3>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
}

uint64_t probe(const ProbeArgs& args) noexcept {
  return probe_chains<__m512i, 16>(
      args, [](__m512i sum, __m512i row, __m512i columns) { return _mm512_dpbusd_epi32(sum, row, columns); });
}

constexpr Dot kDot = {.rows = 32, .panels = 3, .run = dot, .probe = probe};
static_assert(fits(kDot));

}  // namespace

constinit const VectorKernels avx512_vectors = make_vector_kernels<Avx512Vec>();
constinit const DepthwiseI8 avx512vnni_depthwise = make_depthwise_i8<Avx512VnniDepthwise>();
constinit const Kernels avx512vnni_kernels = {
    .name = "avx512vnni", .vectors = &avx512_vectors, .byte_dot = kDot, .depthwise = &avx512vnni_depthwise};

}  // namespace embedrt
