// The register tiles of vpdpbusd: R rows × P panels of sixteen columns, all of k in registers.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace embedrt {
namespace {

struct Avx512VnniTiles {
  // 32 registers: R·P sums, P weights, one broadcast. Ten independent sums hide the latency of five cycles at two a
  // cycle.
  template <int P>
  static constexpr int rows_for() {
    return P == 3 ? 8 : P == 2 ? 12 : 16;
  }

  template <int R, int P>
  static void tile(const uint8_t* a, size_t a_stride, const int8_t* w, size_t panel_stride, size_t k, int32_t* acc,
                   size_t acc_stride) {
    __m512i sum[R][P];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) sum[r][p] = _mm512_setzero_si512();
    const size_t quads = (k + 3) / 4;
    for (size_t q = 0; q < quads; ++q) {
      __m512i column[P];
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) column[p] = _mm512_load_si512(w + static_cast<size_t>(p) * panel_stride + q * 64);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        int32_t four;
        std::memcpy(&four, a + static_cast<size_t>(r) * a_stride + q * 4, 4);
        const __m512i row = _mm512_set1_epi32(four);
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], row, column[p]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) _mm512_storeu_si512(acc + static_cast<size_t>(r) * acc_stride + 16 * p, sum[r][p]);
  }
};

}  // namespace
}  // namespace embedrt
