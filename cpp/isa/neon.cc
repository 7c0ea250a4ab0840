// Baseline aarch64, without the dot product instructions: bytes are multiplied to 16 bits and added in pairs to 32.
#include "isa/plain_depthwise.h"
#include "isa/tables.h"
#include "kernels/dot_tiles.h"
#include "kernels/table.h"
#include "kernels/vec_neon.h"

namespace embedrt {
namespace {

struct NeonTiles {
  // A panel of sixteen columns is eight registers of 32-bit pairs (k0+k1, k2+k3 of two columns): 2 rows × 8 sums, 4
  // column sums and their temporaries in 32 registers.
  template <int P>
  static constexpr int rows_for() {
    return 2;
  }

  // SMULL wants both operands signed, so it multiplies a − 128: |(a − 128) · w| <= 2^14 for every byte. 128 · Σw is
  // added at the end.
  template <int R, int P>
  static void tile(const uint8_t* a, size_t a_stride, const int8_t* w, size_t, size_t k, int32_t* acc,
                   size_t acc_stride) {
    static_assert(P == 1);
    int32x4_t sum[R][8], column_sum[4];
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) sum[r][i] = vdupq_n_s32(0);
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) column_sum[part] = vdupq_n_s32(0);
    const uint8x16_t flip = vdupq_n_u8(128);
    const size_t quads = (k + 3) / 4;
    for (size_t q = 0; q < quads; ++q) {
      int8x16_t row[R];
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) {
        uint32_t four;
        std::memcpy(&four, a + static_cast<size_t>(r) * a_stride + q * 4, 4);
        row[r] = vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(vdupq_n_u32(four)), flip));
      }
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) {
        const int8x16_t columns = vld1q_s8(w + q * 64 + 16 * part);
        column_sum[part] = vpadalq_s16(column_sum[part], vpaddlq_s8(columns));
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r) {
          const int16x8_t low = vmull_s8(vget_low_s8(row[r]), vget_low_s8(columns));
          const int16x8_t high = vmull_high_s8(row[r], columns);
          sum[r][2 * part] = vpadalq_s16(sum[r][2 * part], low);
          sum[r][2 * part + 1] = vpadalq_s16(sum[r][2 * part + 1], high);
        }
      }
    }
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) {
        const int32x4_t dots = vpaddq_s32(sum[r][2 * part], sum[r][2 * part + 1]);
        vst1q_s32(acc + static_cast<size_t>(r) * acc_stride + 4 * part,
                  vaddq_s32(dots, vshlq_n_s32(column_sum[part], 7)));
      }
  }
};

void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k, size_t panels,
         int32_t* acc, size_t acc_stride) noexcept {
  dot_panels<NeonTiles, 1>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
}

constexpr Dot kDot = {.rows = 32, .panels = 4, .run = dot};
static_assert(fits(kDot));
constexpr DepthwiseI8 kDepthwise = make_depthwise_i8<PlainDepthwise>();

}  // namespace

constinit const VectorKernels neon_vectors = make_vector_kernels<NeonVec>();
constinit const Kernels neon_kernels = {
    .name = "neon", .vectors = &neon_vectors, .byte_dot = kDot, .depthwise = &kDepthwise};

}  // namespace embedrt
