// AVX2 without VNNI. vpmaddubsw saturates at 16 bits, so the product of bytes goes one of two exact ways round it.
//
// Many rows: both sides are widened to 16 bits once for a block, and pairs are multiplied by Winograd's inner product,
//   a0·w0 + a1·w1 = (a0 + w1)·(a1 + w0) − a0·a1 − w0·w1,
// where the products that are taken off belong to a row or to a column alone. 32 products are two vpaddw, a vpmaddwd
// and a vpaddd: as many instructions as two vpmaddwd and two vpaddd, the plain way, and half the multiplications, which
// Haswell and Zen 2 start on one port only. Sums wrap modulo 2^32, and the result is within 32 bits.
//
// Few rows, which do not pay for widening the weights: a row is split into nibbles, a = 16·high + low, so that a pair
// of products is within 15·128·2 = 3840, and eight pairs add up in 16 bits before a vpmaddwd widens them.
#include <cstring>

#include "isa/avx2_depthwise.h"
#include "isa/tables.h"
#include "kernels/table.h"
#include "kernels/vec_avx2.h"

namespace embedrt {
namespace {

constexpr size_t kBlock = 256;      // k of a block: 32 KB of widened rows, 8 KB of one panel's widened weights
constexpr size_t kManyRows = 64;    // rows of a block, to pay for widening the weights
constexpr size_t kFewRows = 8;      // up to here, splitting the rows is faster than widening the weights
constexpr size_t kQuadsAtOnce = 8;  // of k in four: one register of a row

__m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

void store(void* p, __m256i v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}

__m256i broadcast(const void* p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  return _mm256_set1_epi32(four);
}

// One load into a register, for all rows of a tile: GCC would fold it into each instruction that uses it, and the tile
// would wait for the load ports.
[[gnu::always_inline]] inline __m256i load_once(const void* p) {
  __m256i v = load(p);
  __asm__("" : "+x"(v));
  return v;
}

// sum += x, in its register: GCC 12 would otherwise reorder the sums of a tile, copy and spill them.
[[gnu::always_inline]] inline void add_ints(__m256i& sum, __m256i x) {
  __asm__("vpaddd %1, %0, %0" : "+x"(sum) : "x"(x));
}
[[gnu::always_inline]] inline void add_words(__m256i& sum, __m256i x) {
  __asm__("vpaddw %1, %0, %0" : "+x"(sum) : "x"(x));
}

int32_t reduce_ints(__m256i v) {
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

// A block of rows and of k. `quads`: its k in fours. A panel of sixteen columns is two registers a quad, its halves.
class ManyRows {
 public:
  void set_rows(const uint8_t* a, size_t a_stride, size_t count, size_t quads) {
    for (size_t r = 0; r < count; ++r) {
      __m256i products = _mm256_setzero_si256();
      for (size_t q = 0; q < quads; q += kQuadsAtOnce) {
        const __m256i bytes = load(a + r * a_stride + 4 * q);
        const __m256i even = _mm256_and_si256(bytes, _mm256_set1_epi16(255)), odd = _mm256_srli_epi16(bytes, 8);
        store(rows_[r].even + 2 * q, even);
        store(rows_[r].odd + 2 * q, odd);
        products = _mm256_sub_epi32(products, _mm256_madd_epi16(even, odd));
      }
      row_products_[r] = reduce_ints(products);
    }
  }

  void set_weights(const int8_t* w, size_t quads) {
    __m256i products[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t q = 0; q < quads; ++q)
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half) {
        const __m256i bytes = load(w + q * 64 + 32 * half);
        const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), odd = _mm256_srai_epi16(bytes, 8);
        store(weights_[q].even[half], even);
        store(weights_[q].odd[half], odd);
        products[half] = _mm256_sub_epi32(products[half], _mm256_madd_epi16(even, odd));
      }
    for (size_t half = 0; half < 2; ++half) store(column_products_[half], products[half]);
  }

  // 4 × 2 sums, four weights, two broadcasts and their temporaries: 16 registers.
  static constexpr size_t kTileRows = 4;
  template <size_t R>
  void tile(size_t row, size_t quads, bool first, int32_t* acc, size_t acc_stride) const {
    const Row* a = rows_ + row;
    __m256i sum[R][2];
#pragma GCC unroll 4
    for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half)
        sum[r][half] = _mm256_add_epi32(_mm256_set1_epi32(row_products_[row + r]), load(column_products_[half]));
    for (size_t q = 0; q < quads; ++q) {
      __m256i w_even[2], w_odd[2];
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half) {
        w_even[half] = load_once(weights_[q].even[half]);
        w_odd[half] = load_once(weights_[q].odd[half]);
      }
#pragma GCC unroll 4
      for (size_t r = 0; r < R; ++r) {
        const __m256i a_even = broadcast(a[r].even + 2 * q), a_odd = broadcast(a[r].odd + 2 * q);
#pragma GCC unroll 2
        for (size_t half = 0; half < 2; ++half)
          add_ints(sum[r][half],
                   _mm256_madd_epi16(_mm256_add_epi16(a_even, w_odd[half]), _mm256_add_epi16(a_odd, w_even[half])));
      }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half) {
        int32_t* out = acc + r * acc_stride + 8 * half;
        store(out, first ? sum[r][half] : _mm256_add_epi32(sum[r][half], load(out)));
      }
  }

 private:
  // Words of even k and of odd k apart, so that 32 bits are two words of a row, or of a column.
  struct Row {
    int16_t even[kBlock / 2], odd[kBlock / 2];
  };
  struct Quad {
    int16_t even[2][16], odd[2][16];
  };
  alignas(64) Row rows_[kManyRows];
  alignas(64) Quad weights_[kBlock / 4];
  int32_t row_products_[kManyRows];  // −Σ a0·a1
  int32_t column_products_[2][8];    // −Σ w0·w1
};

class FewRows {
 public:
  void set_rows(const uint8_t* a, size_t a_stride, size_t count, size_t quads) {
    const __m256i nibble = _mm256_set1_epi8(15);
    for (size_t r = 0; r < count; ++r)
      for (size_t q = 0; q < quads; q += kQuadsAtOnce) {
        const __m256i bytes = load(a + r * a_stride + 4 * q);
        store(rows_[r].low + 4 * q, _mm256_and_si256(bytes, nibble));
        store(rows_[r].high + 4 * q, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble));
      }
  }

  void set_weights(const int8_t* w, size_t) { weights_ = w; }

  // Eight sums of words, two weights, two broadcasts and their temporaries: 16 registers.
  static constexpr size_t kTileRows = 2;
  template <size_t R>
  void tile(size_t row, size_t quads, bool first, int32_t* acc, size_t acc_stride) const {
    const Row* a = rows_ + row;
    __m256i sum[R][2];
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half)
        sum[r][half] = first ? _mm256_setzero_si256() : load(acc + r * acc_stride + 8 * half);
    // Quads past the last: the rows have zeros there, and weights may be read.
    for (size_t q = 0; q < quads; q += kQuadsAtOnce) {
      __m256i low[R][2], high[R][2];
#pragma GCC unroll 8
      for (size_t i = q; i < q + kQuadsAtOnce; ++i) {
        const __m256i w[2] = {load_once(weights_ + i * 64), load_once(weights_ + i * 64 + 32)};
#pragma GCC unroll 2
        for (size_t r = 0; r < R; ++r) {
          const __m256i a_low = broadcast(a[r].low + 4 * i), a_high = broadcast(a[r].high + 4 * i);
#pragma GCC unroll 2
          for (size_t half = 0; half < 2; ++half) {
            const __m256i low_pairs = _mm256_maddubs_epi16(a_low, w[half]);
            const __m256i high_pairs = _mm256_maddubs_epi16(a_high, w[half]);
            if (i == q) {
              low[r][half] = low_pairs;
              high[r][half] = high_pairs;
            } else {
              add_words(low[r][half], low_pairs);
              add_words(high[r][half], high_pairs);
            }
          }
        }
      }
#pragma GCC unroll 2
      for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (size_t half = 0; half < 2; ++half) {
          add_ints(sum[r][half], _mm256_madd_epi16(low[r][half], _mm256_set1_epi16(1)));
          add_ints(sum[r][half], _mm256_madd_epi16(high[r][half], _mm256_set1_epi16(16)));
        }
    }
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half) store(acc + r * acc_stride + 8 * half, sum[r][half]);
  }

 private:
  struct Row {
    uint8_t low[kBlock], high[kBlock];
  };
  alignas(64) Row rows_[kFewRows];
  const int8_t* weights_;
};

template <size_t R, class Block>
void dot_tiles(const Block& block, size_t row, size_t rows, size_t quads, bool first, int32_t* acc, size_t acc_stride) {
  for (; row + R <= rows; row += R) block.template tile<R>(row, quads, first, acc + row * acc_stride, acc_stride);
  if constexpr (R > 1)
    if (row < rows) dot_tiles<R - 1>(block, row, rows, quads, first, acc, acc_stride);
}

template <class Block>
void dot_blocks(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k,
                size_t panels, int32_t* acc, size_t acc_stride) {
  Block block;
  for (size_t k0 = 0; k0 < k; k0 += kBlock) {
    const size_t quads = ((k - k0 < kBlock ? k - k0 : kBlock) + 3) / 4;
    block.set_rows(a + k0, a_stride, rows, quads);
    for (size_t panel = 0; panel < panels; ++panel) {
      block.set_weights(w + panel * panel_stride + k0 * 16, quads);
      dot_tiles<Block::kTileRows>(block, 0, rows, quads, k0 == 0, acc + panel * 16, acc_stride);
    }
  }
}

// Depthwise convolutions: words of two lines.
struct WordArithmetic {
  using Pixel = int16_t;
  using Weight = int16_t;
  static constexpr size_t kLines = 2;

  template <class Byte>
  static void unpack(const __m256i* const* lines, __m256i* out) {
    const __m256i a = load(lines[0]), b = load(lines[1]);
    const __m256i pairs[2] = {_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)};
    const __m256i none = _mm256_setzero_si256();
    for (int i = 0; i < 2; ++i) {
      if constexpr (Byte(-1) < 0) {
        store(out + 2 * i, _mm256_srai_epi16(_mm256_unpacklo_epi8(none, pairs[i]), 8));
        store(out + 2 * i + 1, _mm256_srai_epi16(_mm256_unpackhi_epi8(none, pairs[i]), 8));
      } else {
        store(out + 2 * i, _mm256_unpacklo_epi8(pairs[i], none));
        store(out + 2 * i + 1, _mm256_unpackhi_epi8(pairs[i], none));
      }
    }
  }
  static __m256i add(__m256i sums, __m256i x, __m256i w) {
    add_ints(sums, _mm256_madd_epi16(x, w));
    return sums;
  }
};

template <size_t channels>
using Depthwise = Avx2Depthwise<WordArithmetic, channels>;

void dot(const uint8_t* a, size_t a_stride, size_t rows, const int8_t* w, size_t panel_stride, size_t k, size_t panels,
         int32_t* acc, size_t acc_stride) noexcept {
  if (rows <= kFewRows) return dot_blocks<FewRows>(a, a_stride, rows, w, panel_stride, k, panels, acc, acc_stride);
  for (size_t row = 0; row < rows; row += kManyRows)
    dot_blocks<ManyRows>(a + row * a_stride, a_stride, rows - row < kManyRows ? rows - row : kManyRows, w, panel_stride,
                         k, panels, acc + row * acc_stride, acc_stride);
}

// vpmaddwd and vpaddd. Columns are read from the first-level cache: the product of two registers that never change
// would be made once, before the loop.
uint64_t probe(const ProbeArgs& args) noexcept {
  constexpr int kRows = 2, kColumns = 4, kSteps = 16;
  const auto* data = static_cast<const __m256i*>(args.data);
  auto* result = static_cast<__m256i*>(args.result);
  const __m256i row[kRows] = {data[0], data[1]};
  __m256i sum[kRows][kColumns] = {};
  for (uint64_t pass = 0; pass < args.passes; ++pass)
    for (int step = 0; step < kSteps; ++step)
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
        for (int r = 0; r < kRows; ++r)
          sum[r][c] = _mm256_add_epi32(sum[r][c], _mm256_madd_epi16(row[r], data[kColumns * step + c]));
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) result[kColumns * r + c] = sum[r][c];
  return args.passes * kSteps * kColumns * kRows * 16;
}

constexpr Dot kDot = {.rows = kManyRows, .panels = 4, .run = dot, .probe = probe};
static_assert(fits(kDot));
constexpr DepthwiseI8 kDepthwise = make_depthwise_i8<Depthwise>();

}  // namespace

constinit const VectorKernels avx2_vectors = make_vector_kernels<Avx2Vec>();
constinit const Kernels avx2_kernels = {
    .name = "avx2", .vectors = &avx2_vectors, .byte_dot = kDot, .depthwise = &kDepthwise};

}  // namespace embedrt
