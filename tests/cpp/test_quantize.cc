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
constexpr size_t kPlane = quantized_stride(kColumns);
constexpr uint32_t kBits[] = {8, 16};

// The largest integer of so many bits.
constexpr uint32_t largest(uint32_t bits) {
  return (1u << bits) - 1;
}

struct Row {
  uint32_t a[kPlane];
  float scale, offset;
};

Row quantize(const std::string& isa, uint32_t bits, const float* x) {
  const uint32_t planes = bits / 8;
  Guarded<float> in(kColumns), scale(1), offset(1);
  Guarded<uint8_t> data(16 * planes * kPlane);
  std::copy(x, x + kColumns, in.data());
  kernels_of(isa)->quantize(
      {in.data(), kColumns, 1, kColumns, {data.data(), planes * kPlane, scale.data(), offset.data(), planes}});
  Row row{{}, scale[0], offset[0]};
  for (size_t c = 0; c < kPlane; ++c) row.a[c] = planes == 2 ? 256u * data[c] + data[kPlane + c] : data[c];
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
std::optional<Values> below_a_tie(uint32_t bits, Random& random) {
  for (int i = 0; i < 1 << 22; ++i) {
    const float lo = random.unit() - 1.0f, hi = random.unit() + 1.0f;
    const float inverse = static_cast<float>(largest(bits)) / (hi - lo), zero = -lo * inverse;
    if (std::fma(lo, inverse, std::nearbyint(zero)) < -0.5f) return Values(lo, hi);
  }
  return std::nullopt;
}

// x = lo and x = hi give 0 and the top, or the neighbours where the zero point was rounded the other way; every x is
// within half a step of what its integer stands for, or the ends would be out of the range by another half.
void test_error_and_ends(uint32_t bits) {
  Random random(5);
  const uint32_t top = largest(bits);
  std::vector<Values> rows;
  for (int i = 0; i < 300; ++i) {
    const float size = std::ldexp(1.0f, static_cast<int>(random.below(180)) - 90);
    Values row(random.unit() * size, random.unit() * size);
    for (float& x : row.x)
      if (x == 0.0f) x = random.unit() * size;
    rows.push_back(row);
  }
  for (int i = 0; i < 20; ++i) {
    const auto row = below_a_tie(bits, random);
    CHECK(row.has_value());
    if (row) rows.push_back(*row);
  }
  for (const std::string& isa : available_isas())
    for (const Values& row : rows) {
      const Row found = quantize(isa, bits, row.x);
      float lo = 0.0f, hi = 0.0f;
      for (const float x : row.x) {
        lo = std::min(lo, x);
        hi = std::max(hi, x);
      }
      CHECK(found.scale == (hi - lo) / static_cast<float>(top));
      for (size_t c = 0; c < kColumns; ++c) {
        // Half a step, up to another where the end is clamped, and the roundings of top / range, s and their products.
        const double step = found.scale, stands_for = found.a[c] * step + static_cast<double>(found.offset);
        const bool end = found.a[c] == 0 || found.a[c] == top;
        CHECK(std::fabs(stands_for - static_cast<double>(row.x[c])) <= step * ((end ? 1.0 : 0.5) + top * 0x1p-21));
        if (row.x[c] == lo) CHECK(found.a[c] <= 1);
        if (row.x[c] == hi) CHECK(found.a[c] >= top - 1);
        if (row.x[c] == 0.0f) CHECK(found.offset == -(found.scale * static_cast<float>(found.a[c])));
      }
      for (size_t c = kColumns; c < kPlane; ++c) CHECK(found.a[c] == 0);
    }
}

// Ranges of the largest integer, where the products are exact.
void test_ties(uint32_t bits) {
  struct Case {
    float lo;
    uint32_t first, last, zero;
  };
  const uint32_t t = largest(bits);
  const float top = static_cast<float>(t);
  const Case cases[] = {
      {0.0f, 0, t, 0},
      {-top, 0, t, t},
      {-0.5f, 0, t - 1, 0},
      {-1.5f, 0, t, 2},  // the end is t + ½, and t + 1 before the clamp
      {0.5f - top, 0, t - 1, t - 1},
      {1.5f - top, 0, t, t - 1},
      {-0.5f * top, 0, t, (t + 1) / 2},
  };
  for (const std::string& isa : available_isas())
    for (const Case& one : cases)
      for (const float size : {1.0f, 0x1p-90f, 0x1p100f}) {
        const Values row(one.lo * size, (one.lo + top) * size);
        const Row found = quantize(isa, bits, row.x);
        CHECK(found.scale == size && found.offset == -static_cast<float>(one.zero) * size);
        CHECK(found.a[0] == one.first && found.a[1] == one.first);
        CHECK(found.a[2] == one.last && found.a[kColumns - 1] == one.last);
        CHECK(found.a[3] == one.zero);
      }
}

}  // namespace

TEST(quantize_error_and_ends) {
  for (const uint32_t bits : kBits) test_error_and_ends(bits);
}
TEST(quantize_ties) {
  for (const uint32_t bits : kBits) test_ties(bits);
}

TEST(quantize_what_counts_as_zero) {
  for (const std::string& isa : available_isas())
    for (const uint32_t bits : kBits)
      for (const float x : {0.0f, -0.0f, 0x1p-149f, -0x1p-127f, 0x1.fffffep-101f, -0x1.fffffep-101f}) {
        const Row found = quantize(isa, bits, Values(x, x).x);
        CHECK(found.scale == 0.0f && found.offset == 0.0f);
        for (const uint32_t a : found.a) CHECK(a == 0);
      }
}

TEST(quantize_not_finite) {
  constexpr float kMost = std::numeric_limits<float>::max();
  const Values rows[] = {{kInfinity, 1.0f},  {1.0f, kInfinity},      {-kInfinity, 1.0f}, {-kInfinity, kInfinity},
                         {kNan, 1.0f},       {1.0f, -kNan},          {kNan, kInfinity},  {-kMost, kMost},
                         {kNan, -kInfinity}, {-0.75f * kMost, kMost}};
  for (const std::string& isa : available_isas())
    for (const uint32_t bits : kBits) {
      for (const Values& row : rows) {
        const Row found = quantize(isa, bits, row.x);
        CHECK(std::isnan(found.scale) && std::isnan(found.offset));
        for (const uint32_t a : found.a) CHECK(a == 0);
      }
      CHECK(quantize(isa, bits, Values(-1.0f, kMost).x).a[0] == 0);
    }
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
