// Every instruction set of this CPU against scalar, to the bit; and scalar's integer products against plain loops.
#include <algorithm>
#include <bit>
#include <cmath>

#include "check.h"
#include "isa/dispatch.h"
#include "kernel_cases.h"

namespace embedrt::test {
namespace {

void compare_with_scalar(const std::vector<KernelCase>& cases) {
  const Kernels* scalar = kernels_of("scalar");
  CHECK(scalar != nullptr);
  for (const KernelCase& one : cases) {
    std::vector<uint8_t> expected;
    for (const std::string& isa : available_isas()) {
      const std::string where = isa + ", " + one.kernel + ", " + one.what;
      std::vector<uint8_t> found;
      try {
        if (expected.empty()) expected = one.run(*scalar);
        found = one.run(*kernels_of(isa));
      } catch (const std::runtime_error& error) {
        check(false, error.what(), __FILE__, __LINE__, where);
        continue;
      }
      const auto at = std::mismatch(expected.begin(), expected.end(), found.begin(), found.end()).first;
      check(expected == found, "differs from scalar", __FILE__, __LINE__,
            where + ", at byte " + std::to_string(at - expected.begin()));
    }
  }
}

// W[n, k] of packed panels.
int32_t weight_at(const int8_t* panels, size_t panel_stride, size_t n, size_t k) {
  return panels[n / 16 * panel_stride + k / 4 * 64 + n % 16 * 4 + k % 4];
}

}  // namespace

TEST(kernels_product) {
  compare_with_scalar(product_cases(Amount::full));
}
TEST(kernels_rows) {
  compare_with_scalar(row_cases(Amount::full));
}
TEST(kernels_attention) {
  compare_with_scalar(attention_cases(Amount::full));
}
TEST(kernels_image) {
  compare_with_scalar(image_cases(Amount::full));
}

TEST(kernels_conv) {
  compare_with_scalar(conv_cases(Amount::full));
}

TEST(kernels_scalar_dot_is_the_product) {
  for (const size_t k : std::initializer_list<size_t>{1, 4, 7, 64, 129}) {
    constexpr size_t kRows = 3, kPanels = 2;
    const size_t stride = round_up(k, 64), panel_stride = round_up(k, 4) * 16;
    Random random(k);
    Guarded<uint8_t> a(16 * stride);
    Guarded<int8_t> w(kPanels * panel_stride + 1024);
    Guarded<int32_t> acc(16 * 16 * kPanels);
    for (size_t i = 0; i < a.size(); ++i) a[i] = i % stride < k ? static_cast<uint8_t>(random.next() >> 24) : 0;
    for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<int8_t>(random.next() >> 24);
    kernels_of("scalar")->dot(a.data(), stride, kRows, w.data(), panel_stride, k, kPanels, acc.data(), 16 * kPanels);
    for (size_t r = 0; r < kRows; ++r)
      for (size_t n = 0; n < 16 * kPanels; ++n) {
        int32_t sum = 0;
        for (size_t c = 0; c < k; ++c) sum += a[r * stride + c] * weight_at(w.data(), panel_stride, n, c);
        CHECK(acc[r * 16 * kPanels + n] == sum);
      }
  }
}

TEST(kernels_probe) {
  constexpr size_t kWords = 4096;
  Guarded<float> data(kWords);
  uint32_t words = 0;  // their sum
  for (size_t i = 0; i < kWords; ++i) {
    data[i] = 0.5f + static_cast<float>(i % 97) / 256.0f;
    words += std::bit_cast<uint32_t>(data[i]);
  }
  for (const std::string& isa : available_isas()) {
    Guarded<uint32_t> result(kProbeResultBytes / sizeof(uint32_t));
    const auto run = [&](Probe probe, uint64_t passes) {
      return kernels_of(isa)->probe({.probe = probe,
                                     .passes = passes,
                                     .data = data.data(),
                                     .bytes = kWords * sizeof(float),
                                     .result = result.data()});
    };
    const uint64_t dot = run(Probe::int8_dot, 1);
    CHECK((dot > 0) == (isa != "scalar" && isa != "neon"));
    CHECK(run(Probe::int8_dot, 3) == 3 * dot);

    CHECK(run(Probe::read, 1) == kWords * sizeof(float));
    uint32_t sum = 0;
    for (size_t i = 0; i < 64; ++i) sum += result[i];
    CHECK(sum == words);

    const uint64_t fma = run(Probe::fp32_fma, 2);
    CHECK(fma > 0 && fma % 32 == 0);
    for (size_t i = 0; i < fma / 2; ++i) {
      const float factor = data[i % 16], once = std::fma(data[16 + i], factor, factor);
      CHECK(std::bit_cast<float>(result[i]) == std::fma(once, factor, factor));
    }
    result.expect_guards("probe");
  }
}

// The names are unique, each is found again, and scalar, the definition, is always the last resort.
TEST(kernels_names) {
  const auto names = available_isas();
  CHECK(!names.empty() && names.back() == "scalar");
  for (const std::string& name : names) {
    CHECK(kernels_of(name) != nullptr && kernels_of(name)->name == name);
    CHECK(std::count(names.begin(), names.end(), name) == 1);
  }
  CHECK(kernels_of("") == nullptr);
  CHECK(kernels_of("sse9") == nullptr);
}

}  // namespace embedrt::test
