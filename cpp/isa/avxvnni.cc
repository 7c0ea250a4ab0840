// AVX2 with the VEX form of vpdpbusd: eight columns and four k at once.
#include <cstring>

#include "isa/avx2_depthwise.h"
#include "isa/tables.h"
#include "kernels/dot.h"
#include "kernels/dot_tiles.h"
#include "kernels/probe.h"

namespace embedrt {
namespace {

struct AvxVnniTiles {
  // A panel is two registers: twelve sums whatever the shape, one broadcast, and a weight or two, of 16 registers. Ten
  // independent sums hide the latency of five cycles at two a cycle.
  template <int P>
  static constexpr int rows_for() {
    return 6 / P;
  }

  template <int R, int P>
  static void tile(const uint8_t* a, size_t a_stride, const int8_t* w, size_t panel_stride, size_t k, int32_t* acc,
                   size_t acc_stride) {
    __m256i sum[R][2 * P];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int c = 0; c < 2 * P; ++c) sum[r][c] = _mm256_setzero_si256();
    const size_t quads = (k + 3) / 4;
    for (size_t q = 0; q < quads; ++q) {
      const auto row = [&](int r) {
        int32_t four;
        std::memcpy(&four, a + static_cast<size_t>(r) * a_stride + q * 4, 4);
        return _mm256_set1_epi32(four);
      };
      const auto weights = [&](int c) {
        const int8_t* panel = w + static_cast<size_t>(c / 2) * panel_stride + q * 64;
        return _mm256_load_si256(reinterpret_cast<const __m256i*>(panel + 32 * (c % 2)));
      };
      // Whichever are fewer stay in registers, the others come one by one.
      if constexpr (R < 2 * P) {
        __m256i rows[R];
#pragma GCC unroll 3
        for (int r = 0; r < R; ++r) rows[r] = row(r);
#pragma GCC unroll 12
        for (int c = 0; c < 2 * P; ++c) {
          const __m256i columns = weights(c);
#pragma GCC unroll 3
          for (int r = 0; r < R; ++r) sum[r][c] = _mm256_dpbusd_avx_epi32(sum[r][c], rows[r], columns);
        }
      } else {
        __m256i columns[2 * P];
#pragma GCC unroll 4
        for (int c = 0; c < 2 * P; ++c) columns[c] = weights(c);
#pragma GCC unroll 6
        for (int r = 0; r < R; ++r) {
          const __m256i four = row(r);
#pragma GCC unroll 4
          for (int c = 0; c < 2 * P; ++c) sum[r][c] = _mm256_dpbusd_avx_epi32(sum[r][c], four, columns[c]);
        }
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int c = 0; c < 2 * P; ++c)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + static_cast<size_t>(r) * acc_stride + 8 * c), sum[r][c]);
  }
};

// Bytes of four lines.
struct VnniArithmetic {
  using Pixel = uint8_t;
  using Weight = int8_t;
  static constexpr size_t kLines = 4;

  template <class Byte>
  static void unpack(const __m256i* const* lines, __m256i* out) {
    const __m256i a = _mm256_loadu_si256(lines[0]), b = _mm256_loadu_si256(lines[1]);
    const __m256i c = _mm256_loadu_si256(lines[2]), d = _mm256_loadu_si256(lines[3]);
    const __m256i low_ab = _mm256_unpacklo_epi8(a, b), low_cd = _mm256_unpacklo_epi8(c, d);
    const __m256i high_ab = _mm256_unpackhi_epi8(a, b), high_cd = _mm256_unpackhi_epi8(c, d);
    _mm256_store_si256(out, _mm256_unpacklo_epi16(low_ab, low_cd));
    _mm256_store_si256(out + 1, _mm256_unpackhi_epi16(low_ab, low_cd));
    _mm256_store_si256(out + 2, _mm256_unpacklo_epi16(high_ab, high_cd));
    _mm256_store_si256(out + 3, _mm256_unpackhi_epi16(high_ab, high_cd));
  }
  static __m256i add(__m256i sums, __m256i x, __m256i w) { return _mm256_dpbusd_avx_epi32(sums, x, w); }
};

template <size_t channels>
using Depthwise = Avx2Depthwise<VnniArithmetic, channels>;

// Few rows take more panels at a time.
void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k, size_t panels,
         int32_t* acc, size_t acc_stride) noexcept {
  const auto run = rows == 1   ? dot_panels<AvxVnniTiles, 6>
                   : rows == 2 ? dot_panels<AvxVnniTiles, 3>
                   : rows == 3 ? dot_panels<AvxVnniTiles, 2>
                               : dot_panels<AvxVnniTiles, 1>;
  run(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
}

uint64_t probe(const ProbeArgs& args) noexcept {
  return probe_chains<__m256i, 12>(
      args, [](__m256i sum, __m256i row, __m256i columns) { return _mm256_dpbusd_avx_epi32(sum, row, columns); });
}

constexpr Dot kDot = {.rows = 48, .panels = 6, .run = dot, .probe = probe};
static_assert(fits(kDot));
constexpr DepthwiseI8 kDepthwise = make_depthwise_i8<Depthwise>();

}  // namespace

constinit const Kernels avxvnni_kernels = {
    .name = "avxvnni", .vectors = &avx2_vectors, .byte_dot = kDot, .depthwise = &kDepthwise};

}  // namespace embedrt
