// AVX2 without VNNI. vpmaddubsw would saturate, so bytes are widened to 16 bits and multiplied by vpmaddwd: exact.
#include <cstring>

#include "isa/tables.h"
#include "kernels/table.h"
#include "kernels/vec_avx2.h"

namespace embedrt {
namespace {

struct Avx2Tiles {
  // A panel of sixteen columns is four registers of 32-bit pairs (k0+k1, k2+k3 of four columns): 2 rows × 4 sums and
  // their temporaries in 16 registers.
  template <int P>
  static constexpr int rows_for() {
    return 2;
  }

  template <int R, int P>
  static void tile(const uint8_t* a, size_t a_stride, const int8_t* w, size_t, size_t k, int32_t* acc,
                   size_t acc_stride) {
    static_assert(P == 1);
    __m256i sum[R][4];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) sum[r][part] = _mm256_setzero_si256();
    const size_t quads = (k + 3) / 4;
    for (size_t q = 0; q < quads; ++q) {
      __m256i row[R];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        int32_t four;
        std::memcpy(&four, a + static_cast<size_t>(r) * a_stride + q * 4, 4);
        row[r] = _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(four)));
      }
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) {
        const __m256i columns =
            _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(w + q * 64 + 16 * part)));
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) sum[r][part] = _mm256_add_epi32(sum[r][part], _mm256_madd_epi16(row[r], columns));
      }
    }
    // Adjacent pairs add up to one column: hadd works within 128-bit halves, the permutation puts the columns in order.
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const __m256i pairs = _mm256_hadd_epi32(sum[r][2 * half], sum[r][2 * half + 1]);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + static_cast<size_t>(r) * acc_stride + 8 * half),
                            _mm256_permute4x64_epi64(pairs, 0xd8));
      }
  }
};

struct Avx2 {
  using V = Avx2Vec;
  static constexpr size_t kRows = 48, kPanels = 4;
  static constexpr int kFloatRows = 6, kFloatPanels = 1;
  static void begin() {}
  static void end() {}
  static void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                  size_t panels, int32_t* acc, size_t acc_stride) {
    dot_panels<Avx2Tiles, 1>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
  }
};

}  // namespace

const Kernels avx2_kernels = make_kernels<Avx2>("avx2");

}  // namespace embedrt
