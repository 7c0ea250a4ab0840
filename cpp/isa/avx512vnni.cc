// AVX-512 with VNNI: sixteen lanes in a register, vpdpbusd for sixteen columns and four k at once.
#include "isa/avx512vnni_dot.h"
#include "isa/tables.h"
#include "kernels/table.h"
#include "kernels/vec_avx512.h"

namespace embedrt {
namespace {

struct Avx512Vnni {
  using V = Avx512Vec;
  static constexpr size_t kRows = 32, kPanels = 3;
  static constexpr int kFloatRows = 8, kFloatPanels = 2;
  static void begin() {}
  static void end() {}
  static uint64_t probe_dot(const ProbeArgs& args) {
    constexpr int kSums = 16;
    const auto* data = static_cast<const __m512i*>(args.data);
    auto* result = static_cast<__m512i*>(args.result);
    const __m512i row = data[kSums], columns = data[kSums + 1];
    __m512i sum[kSums];
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sum[i] = data[i];
    for (uint64_t pass = 0; pass < args.passes; ++pass)
#pragma GCC unroll 16
      for (int i = 0; i < kSums; ++i) sum[i] = _mm512_dpbusd_epi32(sum[i], row, columns);
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) result[i] = sum[i];
    return args.passes * kSums * 64;
  }
  static void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                  size_t panels, int32_t* acc, size_t acc_stride) {
    dot_panels<Avx512VnniTiles, 3>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
  }
};

}  // namespace

const Kernels avx512vnni_kernels = make_kernels<Avx512Vnni>("avx512vnni");

}  // namespace embedrt
