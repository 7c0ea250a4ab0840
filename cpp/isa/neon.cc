// Baseline aarch64, without the dot product instructions: bytes are multiplied to 16 bits, where two products add up,
// and then added in pairs to 32.
#include <cstring>

#include "isa/plain_depthwise.h"
#include "isa/signed_dot.h"
#include "isa/tables.h"
#include "kernels/dot.h"
#include "kernels/table.h"
#include "kernels/vec_neon.h"

namespace embedrt {
namespace {

// SMULL wants both operands signed, and 16 bits do not hold (−128)·(−128)·2. So of two quads of k the first is a − 128,
// and the second, whose products are subtracted, 127 − a: |(a0 − 128)·w0 − (127 − a1)·w1| < 2^15 for all bytes.
struct SmullTiles {
  // A panel is eight registers of 32-bit pairs, k0 + k1 and k2 + k3 of two columns. Of 32, 16 are sums; a row's two
  // quads, two weights and two products are the others.
  template <int P>
  static constexpr size_t kRows = 2;
  template <int P>
  static constexpr size_t kFirstRows = 1;

  // R rows' two quads of k, times four columns. Step by step for all of them, for CPUs that compute in order.
  template <int R>
  [[gnu::always_inline]] static void add_quads(const int8x16_t (&even)[R], const int8x16_t (&odd)[R], const int8_t* w,
                                               int32x4_t (&sum)[R][8], int part) {
    const int8x16_t even_columns = vld1q_s8(w + 16 * part), odd_columns = vld1q_s8(w + 64 + 16 * part);
    int16x8_t low[R], high[R];
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) {
      low[r] = vmull_s8(vget_low_s8(even[r]), vget_low_s8(even_columns));
      high[r] = vmull_high_s8(even[r], even_columns);
    }
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) {
      low[r] = vmlsl_s8(low[r], vget_low_s8(odd[r]), vget_low_s8(odd_columns));
      high[r] = vmlsl_high_s8(high[r], odd[r], odd_columns);
    }
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) {
      sum[r][2 * part] = vpadalq_s16(sum[r][2 * part], low[r]);
      sum[r][2 * part + 1] = vpadalq_s16(sum[r][2 * part + 1], high[r]);
    }
  }

  template <int R, int P, bool first>
  [[gnu::noinline]] static void tile(const uint8_t* a, size_t a_stride, const int8_t* w, size_t, size_t k,
                                     int32_t* start, int32_t* acc, size_t acc_stride) {
    static_assert(P == 1);
    constexpr int kSums = R + first;  // the last one, of the first tile, is the row of zeros
    int32x4_t sum[kSums][8];
#pragma GCC unroll 2
    for (int r = 0; r < kSums; ++r)
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) sum[r][i] = vdupq_n_s32(0);
    const uint8x8_t flip = vcreate_u8(0x7F7F7F7F80808080);
    // Past the last column rows are zero, and whatever weights are there cancel.
    for (size_t i = 0; i < k; i += 8, w += 128) {
      int8x16_t even[kSums], odd[kSums];
      if constexpr (first) {
        even[R] = vdupq_n_s8(-128);
        odd[R] = vdupq_n_s8(127);
      }
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) {
        const uint8x8_t eight = veor_u8(vld1_u8(a + static_cast<size_t>(r) * a_stride + i), flip);
        even[r] = vreinterpretq_s8_u32(vdupq_lane_u32(vreinterpret_u32_u8(eight), 0));
        odd[r] = vreinterpretq_s8_u32(vdupq_lane_u32(vreinterpret_u32_u8(eight), 1));
      }
#pragma GCC unroll 4
      for (int part = 0; part < 4; ++part) add_quads<kSums>(even, odd, w, sum, part);
    }
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) {
      int32x4_t from;
      if constexpr (first) {
        from = vnegq_s32(vpaddq_s32(sum[R][2 * part], sum[R][2 * part + 1]));
        vst1q_s32(start + 4 * part, from);
      } else {
        from = vld1q_s32(start + 4 * part);
      }
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r)
        vst1q_s32(acc + static_cast<size_t>(r) * acc_stride + 4 * part,
                  vaddq_s32(from, vpaddq_s32(sum[r][2 * part], sum[r][2 * part + 1])));
    }
  }
};

void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k, size_t panels,
         int32_t* acc, size_t acc_stride) noexcept {
  signed_dot<SmullTiles, 1>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
}

constexpr Dot kDot = {.rows = 32, .panels = 4, .run = dot};
static_assert(fits(kDot));
constexpr DepthwiseI8 kDepthwise = make_depthwise_i8<PlainDepthwise>();

}  // namespace

constinit const VectorKernels neon_vectors = make_vector_kernels<NeonVec>();
constinit const Kernels neon_kernels = {
    .name = "neon", .vectors = &neon_vectors, .byte_dot = kDot, .depthwise = &kDepthwise};

}  // namespace embedrt
