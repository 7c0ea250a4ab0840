// Quantised rows on every instruction set: what the bytes stand for, at the ends of the range and at its ties.
#include <cmath>
#include <limits>
#include <optional>

#include "check.h"
#include "isa/dispatch.h"
#include "kernel_cases.h"
#include "kernels/vec_scalar.h"

namespace embedrt::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr size_t kColumns = 80;  // a store of 64 bytes, and one of 16
constexpr size_t kStride = quantized_stride(kColumns);

struct Row {
  uint8_t bytes[kStride];
  float scale, offset;
};

Row quantize(const std::string& isa, const float* x) {
  Guarded<float> in(kColumns), scale(1), offset(1);
  Guarded<uint8_t> data(16 * kStride);
  std::copy(x, x + kColumns, in.data());
  kernels_of(isa)->quantize({in.data(), kColumns, 1, kColumns, {data.data(), kStride, scale.data(), offset.data()}});
  Row row{{}, scale[0], offset[0]};
  std::copy(data.data(), data.data() + kStride, row.bytes);
  return row;
}

// Zeros, with these values first and last: one of the wide store, one of the narrow.
struct Values {
  float x[kColumns] = {};
  Values(float first, float last) {
    x[0] = x[1] = first;
    x[kColumns - 1] = x[2] = last;
  }
};

// A range [lo, hi] whose end at lo is a hair below −½ before it is rounded, because the zero point is rounded from a
// float that came to a tie.
std::optional<Values> below_a_tie(Random& random) {
  for (int i = 0; i < 1 << 22; ++i) {
    const float lo = random.unit() - 1.0f, hi = random.unit() + 1.0f;
    const float inverse = 255.0f / (hi - lo), zero = -lo * inverse;
    if (std::fma(lo, inverse, std::nearbyint(zero)) < -0.5f) return Values(lo, hi);
  }
  return std::nullopt;
}

}  // namespace

// x = lo and x = hi give 0 and 255, or the neighbours where the zero point was rounded the other way; every x is within
// half a step of what its byte stands for, or the ends would be out of the bytes' range by another half.
TEST(quantize_error_and_ends) {
  Random random(5);
  std::vector<Values> rows;
  for (int i = 0; i < 300; ++i) {
    const float size = std::ldexp(1.0f, static_cast<int>(random.below(180)) - 90);
    Values row(random.unit() * size, random.unit() * size);
    for (float& x : row.x)
      if (x == 0.0f) x = random.unit() * size;
    rows.push_back(row);
  }
  for (int i = 0; i < 20; ++i) {
    const auto row = below_a_tie(random);
    CHECK(row.has_value());
    if (row) rows.push_back(*row);
  }
  for (const std::string& isa : available_isas())
    for (const Values& row : rows) {
      const Row found = quantize(isa, row.x);
      float lo = 0.0f, hi = 0.0f;
      for (const float x : row.x) {
        lo = std::min(lo, x);
        hi = std::max(hi, x);
      }
      CHECK(found.scale == (hi - lo) / 255.0f);
      for (size_t c = 0; c < kColumns; ++c) {
        // Half a step, up to another where the end is clamped, and the roundings of 255 / range, s and their products.
        const double step = found.scale, stands_for = found.bytes[c] * step + static_cast<double>(found.offset);
        const bool end = found.bytes[c] == 0 || found.bytes[c] == 255;
        CHECK(std::fabs(stands_for - static_cast<double>(row.x[c])) <= step * ((end ? 1.0 : 0.5) + 255 * 0x1p-21));
        if (row.x[c] == lo) CHECK(found.bytes[c] <= 1);
        if (row.x[c] == hi) CHECK(found.bytes[c] >= 254);
        if (row.x[c] == 0.0f) CHECK(found.offset == -(found.scale * static_cast<float>(found.bytes[c])));
      }
      for (size_t c = kColumns; c < kStride; ++c) CHECK(found.bytes[c] == 0);
    }
}

// Ranges of 255, where the products are exact.
TEST(quantize_ties) {
  struct Case {
    float lo, hi;
    uint8_t first, last;
    float zero;
  };
  const Case cases[] = {
      {0.0f, 255.0f, 0, 255, 0},    {-255.0f, 0.0f, 0, 255, 255}, {-0.5f, 254.5f, 0, 254, 0},
      {-1.5f, 253.5f, 0, 255, 2},  // 255.5 is 256 before the clamp
      {-254.5f, 0.5f, 0, 254, 254}, {-253.5f, 1.5f, 0, 255, 254}, {-127.5f, 127.5f, 0, 255, 128},
  };
  for (const std::string& isa : available_isas())
    for (const Case& one : cases)
      for (const float size : {1.0f, 0x1p-90f, 0x1p100f}) {
        const Values row(one.lo * size, one.hi * size);
        const Row found = quantize(isa, row.x);
        CHECK(found.scale == size && found.offset == -one.zero * size);
        CHECK(found.bytes[0] == one.first && found.bytes[1] == one.first);
        CHECK(found.bytes[2] == one.last && found.bytes[kColumns - 1] == one.last);
        CHECK(found.bytes[3] == static_cast<uint8_t>(one.zero));
      }
}

TEST(quantize_what_counts_as_zero) {
  for (const std::string& isa : available_isas())
    for (const float x : {0.0f, -0.0f, 0x1p-149f, -0x1p-127f, 0x1.fffffep-101f, -0x1.fffffep-101f}) {
      const Row found = quantize(isa, Values(x, x).x);
      CHECK(found.scale == 0.0f && found.offset == 0.0f);
      for (const uint8_t byte : found.bytes) CHECK(byte == 0);
    }
}

TEST(quantize_not_finite) {
  constexpr float kMost = std::numeric_limits<float>::max();
  const Values rows[] = {{kInfinity, 1.0f},  {1.0f, kInfinity},      {-kInfinity, 1.0f}, {-kInfinity, kInfinity},
                         {kNan, 1.0f},       {1.0f, -kNan},          {kNan, kInfinity},  {-kMost, kMost},
                         {kNan, -kInfinity}, {-0.75f * kMost, kMost}};
  for (const std::string& isa : available_isas())
    for (const Values& row : rows) {
      const Row found = quantize(isa, row.x);
      CHECK(std::isnan(found.scale) && std::isnan(found.offset));
      for (const uint8_t byte : found.bytes) CHECK(byte == 0);
    }
  for (const std::string& isa : available_isas()) CHECK(quantize(isa, Values(-1.0f, kMost).x).bytes[0] == 0);
}

// The definitions; the kernels' cases compare the others with them.
TEST(quantize_scalar_stores) {
  ScalarVec::I rows[4];
  for (int r = 0; r < 4; ++r)
    for (int i = 0; i < 16; ++i) rows[r].v[i] = 16 * r + i - 31;
  int8_t quads[256] = {};
  ScalarVec::store_quads(quads, rows);
  for (int r = 0; r < 4; ++r)
    for (int i = 0; i < 16; ++i) CHECK(quads[64 * (i / 4) + 4 * r + i % 4] == 16 * r + i - 31);
  const int32_t in[] = {-32768, -1, 0, 1, 254, 255, 256, 32767}, out[] = {0, 0, 0, 1, 254, 255, 255, 255};
  for (int i = 0; i < 64; ++i) rows[i / 16].v[i % 16] = in[i % 8];
  uint8_t bytes[64];
  ScalarVec::store_clamped_bytes(bytes, rows);
  for (int i = 0; i < 64; ++i) CHECK(bytes[i] == out[i % 8]);
}

}  // namespace embedrt::test
