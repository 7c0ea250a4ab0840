// AVX2 with the VEX form of vpdpbusd: eight columns and four k at once.
#include <cstring>

#include "isa/tables.h"
#include "kernels/table.h"
#include "kernels/vec_avx2.h"

namespace embedrt {
namespace {

struct AvxVnniTiles {
  // 16 registers: a panel is two of them. 6 × 2 sums, two weights, one broadcast.
  template <int P>
  static constexpr int rows_for() {
    return 6;
  }

  template <int R, int P>
  static void tile(const uint8_t* a, size_t a_stride, const int8_t* w, size_t, size_t k, int32_t* acc,
                   size_t acc_stride) {
    static_assert(P == 1);
    __m256i sum[R][2];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    const size_t quads = (k + 3) / 4;
    for (size_t q = 0; q < quads; ++q) {
      const __m256i left = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + q * 64));
      const __m256i right = _mm256_load_si256(reinterpret_cast<const __m256i*>(w + q * 64 + 32));
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        int32_t four;
        std::memcpy(&four, a + static_cast<size_t>(r) * a_stride + q * 4, 4);
        const __m256i row = _mm256_set1_epi32(four);
        sum[r][0] = _mm256_dpbusd_avx_epi32(sum[r][0], row, left);
        sum[r][1] = _mm256_dpbusd_avx_epi32(sum[r][1], row, right);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + static_cast<size_t>(r) * acc_stride), sum[r][0]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + static_cast<size_t>(r) * acc_stride + 8), sum[r][1]);
    }
  }
};

struct AvxVnni {
  using V = Avx2Vec;
  static constexpr size_t kRows = 48, kPanels = 4;
  static constexpr int kFloatRows = 6, kFloatPanels = 1;
  static void begin() {}
  static void end() {}
  static void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                  size_t panels, int32_t* acc, size_t acc_stride) {
    dot_panels<AvxVnniTiles, 1>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
  }
};

}  // namespace

const Kernels avxvnni_kernels = make_kernels<AvxVnni>("avxvnni");

}  // namespace embedrt
