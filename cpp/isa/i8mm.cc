// aarch64 with the matrix instructions: USMMLA multiplies two rows of eight unsigned bytes with two columns of eight
// signed ones.
#include <arm_neon.h>

#include "isa/loads_in_turn.h"
#include "isa/tables.h"
#include "kernels/dot.h"
#include "kernels/dot_tiles.h"
#include "kernels/probe.h"

namespace embedrt {
namespace {

// One to three rows: SUDOT, four bytes of a row against four of each of four columns, which takes weights and rows as
// they lie. Such a product is bound by loading the weights.
struct FewRowsTiles {
  // With two panels 24 of 32 registers are sums.
  template <int P>
  static constexpr int rows_for() {
    return 3;
  }

  template <int R, int P>
  static void tile(const uint8_t* a, size_t a_stride, const int8_t* w, size_t panel_stride, size_t k, int32_t* acc,
                   size_t acc_stride) {
    int32x4_t sum[R][P][4];
#pragma GCC unroll 3
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part) sum[r][p][part] = vdupq_n_s32(0);
    // Rows are zero past k: whatever the weights' bytes are there adds nothing.
    for (size_t at = 0; at < k; at += 8) {
      uint8x8_t row[R];
#pragma GCC unroll 3
      for (int r = 0; r < R; ++r) row[r] = vld1_u8(a + static_cast<size_t>(r) * a_stride + at);
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) {
        const int8_t* lines = w + static_cast<size_t>(p) * panel_stride + at * 16;
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part) {
          const int8x16_t first = vld1q_s8(lines + 16 * part), second = vld1q_s8(lines + 64 + 16 * part);
#pragma GCC unroll 3
          for (int r = 0; r < R; ++r) {
            sum[r][p][part] = vsudotq_lane_s32(sum[r][p][part], first, row[r], 0);
            sum[r][p][part] = vsudotq_lane_s32(sum[r][p][part], second, row[r], 1);
          }
        }
      }
    }
#pragma GCC unroll 3
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part)
          vst1q_s32(acc + static_cast<size_t>(r) * acc_stride + 16 * p + 4 * part, sum[r][p][part]);
  }
};

// Rows and k of a block that is packed at a time: it stays in the first-level cache beside the weights of a panel.
constexpr size_t kBlockRows = 24, kBlockK = 512;

// A block of pairs of rows; products of one step are `Pairs` operands of rows × 2 · Groups operands of columns, each
// two × two sums over eight k.
template <int Pairs, int Groups>
struct MatrixBlock {
  static constexpr size_t kStep = 16 * Pairs;

  // [k / 8][Pairs][2][8], every line of it an operand. Rows are readable, and zero, up to a multiple of 64 k.
  static void pack(const uint8_t* a, size_t a_stride, size_t k, uint8_t* packed) {
#pragma GCC unroll 1
    for (size_t pair = 0; pair < Pairs; ++pair, a += 2 * a_stride) {
      uint8_t* to = packed + 16 * pair;
      for (size_t at = 0; at < k; at += 16, to += 2 * kStep) {
        const int64x2_t even = vreinterpretq_s64_u8(vld1q_u8(a + at));
        const int64x2_t odd = vreinterpretq_s64_u8(vld1q_u8(a + a_stride + at));
        vst1q_u8(to, vreinterpretq_u8_s64(vzip1q_s64(even, odd)));
        vst1q_u8(to + kStep, vreinterpretq_u8_s64(vzip2q_s64(even, odd)));
      }
    }
  }

  // The block × 4 · Groups columns: added to `acc`, or put there.
  [[gnu::noinline]] static void multiply(const uint8_t* packed, const int8_t* w, size_t k, bool add, int32_t* acc,
                                         size_t acc_stride) {
    int32x4_t sum[Pairs][2 * Groups];
#pragma GCC unroll 12
    for (int r = 0; r < Pairs; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < 2 * Groups; ++c) sum[r][c] = vdupq_n_s32(0);
    for (size_t at = 0; at < k; at += 8, packed += kStep, w += 128) {
      int8x16_t columns[2 * Groups];
#pragma GCC unroll 4
      for (int g = 0; g < Groups; ++g) {
        const int32x4_t low = vreinterpretq_s32_s8(vld1q_s8(w + 16 * g));
        const int32x4_t high = vreinterpretq_s32_s8(vld1q_s8(w + 64 + 16 * g));
        columns[2 * g] = vreinterpretq_s8_s32(vzip1q_s32(low, high));
        columns[2 * g + 1] = vreinterpretq_s8_s32(vzip2q_s32(low, high));
      }
#pragma GCC unroll 12
      for (int r = 0; r < Pairs; ++r) {
        loads_in_turn();
        const uint8x16_t rows = vld1q_u8(packed + 16 * r);
#pragma GCC unroll 8
        for (int c = 0; c < 2 * Groups; ++c) sum[r][c] = vusmmlaq_s32(sum[r][c], rows, columns[c]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < Pairs; ++r)
#pragma GCC unroll 4
      for (int g = 0; g < Groups; ++g) {
        const int64x2_t left = vreinterpretq_s64_s32(sum[r][2 * g]), right = vreinterpretq_s64_s32(sum[r][2 * g + 1]);
        int32x4_t even = vreinterpretq_s32_s64(vzip1q_s64(left, right));
        int32x4_t odd = vreinterpretq_s32_s64(vzip2q_s64(left, right));
        int32_t* to = acc + static_cast<size_t>(2 * r) * acc_stride + 4 * g;
        if (add) {
          even = vaddq_s32(even, vld1q_s32(to));
          odd = vaddq_s32(odd, vld1q_s32(to + acc_stride));
        }
        vst1q_s32(to, even);
        vst1q_s32(to + acc_stride, odd);
      }
  }

  static void dot(const uint8_t* a, size_t a_stride, const int8_t* w, size_t panel_stride, size_t k, size_t panels,
                  int32_t* acc, size_t acc_stride) {
    alignas(64) uint8_t packed[kStep * kBlockK / 8];
    for (size_t at = 0; at < k; at += kBlockK) {
      const size_t length = k - at < kBlockK ? k - at : kBlockK;
      pack(a + at, a_stride, length, packed);
      for (size_t panel = 0; panel < panels; ++panel)
        for (size_t group = 0; group < 4; group += Groups)
          multiply(packed, w + panel * panel_stride + at * 16 + group * 16, length, at > 0,
                   acc + panel * 16 + group * 4, acc_stride);
    }
  }
};

// By pairs of rows. Few pairs take more columns at a time: twelve independent sums hide a latency of three cycles at
// four products a cycle.
constexpr decltype(&MatrixBlock<2, 4>::dot) kBlocks[kBlockRows / 2 + 1] = {nullptr,
                                                                           nullptr,
                                                                           MatrixBlock<2, 4>::dot,
                                                                           MatrixBlock<3, 2>::dot,
                                                                           MatrixBlock<4, 2>::dot,
                                                                           MatrixBlock<5, 2>::dot,
                                                                           MatrixBlock<6, 2>::dot,
                                                                           MatrixBlock<7, 1>::dot,
                                                                           MatrixBlock<8, 1>::dot,
                                                                           MatrixBlock<9, 1>::dot,
                                                                           MatrixBlock<10, 1>::dot,
                                                                           MatrixBlock<11, 1>::dot,
                                                                           MatrixBlock<12, 1>::dot};

void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k, size_t panels,
         int32_t* acc, size_t acc_stride) noexcept {
  if (rows < 4) return dot_panels<FewRowsTiles, 2>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
  // An odd last row has a neighbour: rows rounded up to sixteen can be read and written.
  const size_t pairs = (rows + 1) / 2, most = kBlockRows / 2;
  for (size_t pair = 0; pair < pairs;) {
    const size_t left = pairs - pair, blocks = (left + most - 1) / most;
    const size_t height = (left + blocks - 1) / blocks;  // all of about the same
    kBlocks[height](a + 2 * pair * a_stride, a_stride, w, panel_stride, k, panels, acc + 2 * pair * acc_stride,
                    acc_stride);
    pair += height;
  }
}

uint64_t probe(const ProbeArgs& args) noexcept {
  const auto product = [](int32x4_t sum, int32x4_t rows, int32x4_t columns) {
    return vusmmlaq_s32(sum, vreinterpretq_u8_s32(rows), vreinterpretq_s8_s32(columns));
  };
  return 2 * probe_chains<int32x4_t, 16>(args, product);  // every byte of a row meets two columns
}

constexpr Dot kDot = {.rows = 48, .panels = 6, .run = dot, .probe = probe};
static_assert(fits(kDot));

}  // namespace

constinit const Kernels i8mm_kernels = {
    .name = "i8mm", .vectors = &neon_vectors, .byte_dot = kDot, .depthwise = &dotprod_depthwise};

}  // namespace embedrt
