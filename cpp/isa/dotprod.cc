// aarch64 with SDOT: four columns and four k at once.
#include "isa/dotprod_depthwise.h"
#include "isa/loads_in_turn.h"
#include "isa/signed_dot.h"
#include "isa/tables.h"
#include "kernels/dot.h"
#include "kernels/probe.h"

namespace embedrt {
namespace {

struct SdotTiles {
  // A panel is four registers. Of 32, 24 or 20 are sums, and the row of zeros has as many as another row; the others
  // hold weights as they come, sixteen bytes of each row, and what flips them.
  template <int P>
  static constexpr size_t kRows = P == 2 ? 3 : 5;
  template <int P>
  static constexpr size_t kFirstRows = kRows<P> - 1;

  // The four k of one lane of the rows. One weight at a time: with more in flight GCC moves sums about.
  template <int R, int P, int lane, bool first>
  [[gnu::always_inline]] static void add_quads(const int8_t* w, size_t panel_stride, const int8x16_t (&row)[R],
                                               int8x16_t none, int32x4_t (&sum)[R][4 * P], int32x4_t (&zero)[4 * P]) {
#pragma GCC unroll 8
    for (int part = 0; part < 4 * P; ++part) {
      loads_in_turn();
      const int8x16_t columns = vld1q_s8(w + static_cast<size_t>(part / 4) * panel_stride + 16 * (part % 4));
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[r][part] = vdotq_laneq_s32(sum[r][part], columns, row[r], lane);
      if constexpr (first) zero[part] = vdotq_s32(zero[part], columns, none);
    }
  }

  // k in portions of sixteen. Past the last column rows are zero, and whatever weights are there cancel.
  // Not inlined, since GCC would then spend registers on the walk.
  template <int R, int P, bool first>
  [[gnu::noinline]] static void tile(const uint8_t* a, size_t a_stride, const int8_t* w, size_t panel_stride, size_t k,
                                     int32_t* start, int32_t* acc, size_t acc_stride) {
    constexpr int kParts = 4 * P;
    int32x4_t sum[R][kParts], zero[kParts];
#pragma GCC unroll 8
    for (int part = 0; part < kParts; ++part) {
      zero[part] = vdupq_n_s32(0);
      const int32x4_t from = first ? vdupq_n_s32(0) : vld1q_s32(start + 4 * part);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[r][part] = from;
    }
    const uint8x16_t flip = vdupq_n_u8(128);
    const int8x16_t none = vreinterpretq_s8_u8(flip);  // of a row of zeros
    for (size_t i = 0; i < k; i += 16) {
      int8x16_t row[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
        row[r] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(a + static_cast<size_t>(r) * a_stride + i), flip));
      add_quads<R, P, 0, first>(w + 16 * i, panel_stride, row, none, sum, zero);
      add_quads<R, P, 1, first>(w + 16 * i + 64, panel_stride, row, none, sum, zero);
      add_quads<R, P, 2, first>(w + 16 * i + 128, panel_stride, row, none, sum, zero);
      add_quads<R, P, 3, first>(w + 16 * i + 192, panel_stride, row, none, sum, zero);
    }
#pragma GCC unroll 8
    for (int part = 0; part < kParts; ++part) {
      if constexpr (first) vst1q_s32(start + 4 * part, vnegq_s32(zero[part]));
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const int32x4_t sums = first ? vsubq_s32(sum[r][part], zero[part]) : sum[r][part];
        vst1q_s32(acc + static_cast<size_t>(r) * acc_stride + 4 * part, sums);
      }
    }
  }
};

void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k, size_t panels,
         int32_t* acc, size_t acc_stride) noexcept {
  signed_dot<SdotTiles, 2>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
}

uint64_t probe(const ProbeArgs& args) noexcept {
  return probe_chains<int8x16_t, 16>(args, [](int8x16_t sum, int8x16_t row, int8x16_t columns) {
    return vreinterpretq_s8_s32(vdotq_s32(vreinterpretq_s32_s8(sum), row, columns));
  });
}

constexpr Dot kDot = {.rows = 48, .panels = 4, .run = dot, .probe = probe};
static_assert(fits(kDot));

}  // namespace

constinit const DepthwiseI8 dotprod_depthwise = make_depthwise_i8<SdotDepthwise>();
constinit const Kernels dotprod_kernels = {
    .name = "dotprod", .vectors = &neon_vectors, .byte_dot = kDot, .depthwise = &dotprod_depthwise};

}  // namespace embedrt
