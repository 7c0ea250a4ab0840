#include "kernel_cases.h"

#include <cmath>
#include <limits>

namespace embedrt::test {
namespace {

constexpr uint32_t kFlavours = 14;

float flavoured(uint32_t flavour, size_t c, size_t columns, Random& random) {
  const float x = random.spread();
  const bool chosen = c == columns / 2;
  switch (flavour) {
    case 1:
      return 0.0f;
    case 2:
      return 0.75f;
    case 3:
      return x * 0x1p-140f;
    case 4:
      return x * 0x1p124f;
    case 5:
      return chosen ? std::numeric_limits<float>::infinity() : x;
    case 6:
      return chosen ? -std::numeric_limits<float>::infinity() : x;
    case 7:
      return chosen ? std::numeric_limits<float>::quiet_NaN() : x;
    case 8:
      return -0.0f;
    case 9:
      return chosen ? 1e4f : x;
    case 10:
      return x * 0x1p-101f;
    case 11:
      return -std::fabs(x);
    case 12:
      return std::fabs(x) + 3.0f;
    case 13:
      return x * 0x1p-70f;
    default:
      return x;
  }
}

}  // namespace

FloatRows::FloatRows(size_t rows, size_t columns)
    : rows_(rows), columns_(columns), stride_(round_up(columns, 16) + 16), data_(rows * stride_ + 16) {}

FloatRows::FloatRows(size_t rows, size_t columns, Filling filling, Random& random) : FloatRows(rows, columns) {
  for (size_t i = 0; i < data_.size(); ++i) data_[i] = std::numeric_limits<float>::quiet_NaN();
  for (size_t r = 0; r < rows; ++r) {
    const uint32_t flavour = filling == Filling::special ? static_cast<uint32_t>(r) % kFlavours : 0;
    for (size_t c = 0; c < columns; ++c) row(r)[c] = flavoured(flavour, c, columns, random);
  }
}

void FloatRows::collect(std::vector<uint8_t>& result, const char* what) {
  const size_t written = round_up(columns_, 16);
  for (size_t r = 0; r < rows_; ++r) {
    append(result, row(r), columns_);
    data_.expect_untouched(r * stride_ + written, stride_ - written, what);
  }
  data_.expect_untouched(rows_ * stride_, data_.size() - rows_ * stride_, what);
  data_.expect_guards(what);
}

void append(std::vector<uint8_t>& result, const void* bytes, size_t count) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  result.insert(result.end(), from, from + count);
}

void append(std::vector<uint8_t>& result, const float* values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const float value = std::isnan(values[i]) ? std::numeric_limits<float>::quiet_NaN() : values[i];
    append(result, static_cast<const void*>(&value), sizeof value);
  }
}

std::vector<KernelCase> all_cases(Amount amount) {
  std::vector<KernelCase> all = product_cases(amount);
  for (auto& more : {row_cases(amount), attention_cases(amount), conv_cases(amount), image_cases(amount)})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace embedrt::test
