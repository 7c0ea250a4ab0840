// AMX int8 tiles beside AVX-512: a row of a B tile is one line of the packed layout (four k of sixteen columns), so
// weights load as they lie in the file.
#include <immintrin.h>

#include "isa/tables.h"
#include "kernels/dot.h"

namespace embedrt {
namespace {

// What LDTILECFG reads (Intel SDM, volume 1, chapter 18): palette 1, eight tiles of up to 16 rows × 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

void begin() noexcept {
  // In static memory: GCC's intrinsic names only the first 8 bytes as read, so that it drops the writing of a local
  // one.
  static constexpr TileConfig config;
  _tile_loadconfig(&config);
}

void end() noexcept {
  _tile_release();
}

// One or two tiles of sixteen rows against one or two panels, all of k in tiles. Steps of 64 k: past k the rows hold
// zeros, so whatever the weights' bytes are there adds nothing.
template <int R, int P>
void block(const uint8_t* a, size_t a_stride, const int8_t* w, size_t panel_stride, size_t k, int32_t* acc,
           size_t acc_stride) {
  _tile_zero(0);
  if constexpr (P == 2) _tile_zero(1);
  if constexpr (R == 2) _tile_zero(2);
  if constexpr (R == 2 && P == 2) _tile_zero(3);
  for (size_t at = 0; at < k; at += 64) {
    _tile_loadd(4, a + at, a_stride);
    _tile_loadd(6, w + at * 16, 64);
    _tile_dpbusd(0, 4, 6);
    if constexpr (P == 2) {
      _tile_loadd(7, w + panel_stride + at * 16, 64);
      _tile_dpbusd(1, 4, 7);
    }
    if constexpr (R == 2) {
      _tile_loadd(5, a + 16 * a_stride + at, a_stride);
      _tile_dpbusd(2, 5, 6);
      if constexpr (P == 2) _tile_dpbusd(3, 5, 7);
    }
  }
  _tile_stored(0, acc, acc_stride * 4);
  if constexpr (P == 2) _tile_stored(1, acc + 16, acc_stride * 4);
  if constexpr (R == 2) _tile_stored(2, acc + 16 * acc_stride, acc_stride * 4);
  if constexpr (R == 2 && P == 2) _tile_stored(3, acc + 16 * acc_stride + 16, acc_stride * 4);
}

template <int P>
void rows_of(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
             int32_t* acc, size_t acc_stride) {
  size_t row = 0;
  for (; row + 16 < rows; row += 32)
    block<2, P>(a + row * a_stride, a_stride, w, panel_stride, k, acc + row * acc_stride, acc_stride);
  if (row < rows) block<1, P>(a + row * a_stride, a_stride, w, panel_stride, k, acc + row * acc_stride, acc_stride);
}

void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k, size_t panels,
         int32_t* acc, size_t acc_stride) noexcept {
  // A few rows are bound by reading the weights: vpdpbusd does that as fast and wastes no rows of a tile.
  if (rows <= 4) return avx512vnni_kernels.byte_dot.run(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
  size_t panel = 0;
  for (; panel + 2 <= panels; panel += 2)
    rows_of<2>(a, a_stride, rows, w + panel * panel_stride, panel_stride, k, acc + panel * 16, acc_stride);
  if (panel < panels)
    rows_of<1>(a, a_stride, rows, w + panel * panel_stride, panel_stride, k, acc + panel * 16, acc_stride);
}

// Compilers keep every tile instruction, whether or not its result is read.
uint64_t probe(const ProbeArgs& args) noexcept {
  begin();
  _tile_loadd(4, args.data, 64);
  _tile_loadd(5, static_cast<const uint8_t*>(args.data) + 1024, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (uint64_t pass = 0; pass < args.passes; ++pass) {
    _tile_dpbusd(0, 4, 5);
    _tile_dpbusd(1, 4, 5);
    _tile_dpbusd(2, 4, 5);
    _tile_dpbusd(3, 4, 5);
  }
  end();
  return args.passes * 4 * 16 * 16 * 64;
}

constexpr Dot kDot = {.rows = 32, .panels = 2, .begin = begin, .end = end, .run = dot, .probe = probe};
static_assert(fits(kDot));

}  // namespace

constinit const Kernels amx_kernels = {
    .name = "amx", .vectors = &avx512_vectors, .byte_dot = kDot, .depthwise = &avx512vnni_depthwise};

}  // namespace embedrt
