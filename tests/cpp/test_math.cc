// The float functions of the contract against double libm, with their error bounds; and the software fused multiply-add
// against the library's.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "check.h"
#include "guarded.h"
#include "kernels/math.h"
#include "kernels/vec_scalar.h"

namespace embedrt::test {
namespace {

using Function = ScalarVec::F (*)(ScalarVec::F);

// What an error is measured by: the exact value, or the argument, for functions that cancel near their zeros.
enum class Measure { value, argument };

// The largest error of `function` over the normal floats of [from, to], every 499th of them.
double worst(Function function, double (*exact)(double), Measure measure, float from, float to) {
  constexpr uint64_t kStep = 499, kSmallest = 0x00800000;
  double largest = 0;
  const auto visit = [&](float sign, float limit) {
    for (uint64_t first = kSmallest; first <= std::bit_cast<uint32_t>(limit); first += 16 * kStep) {
      float in[16], out[16];
      for (uint64_t i = 0; i < 16; ++i)
        in[i] = sign * std::min(std::bit_cast<float>(static_cast<uint32_t>(first + i * kStep)), limit);
      ScalarVec::store(out, function(ScalarVec::load(in)));
      for (int i = 0; i < 16; ++i) {
        const double x = in[i], wanted = exact(x);
        const double error = std::fabs(static_cast<double>(out[i]) - wanted);
        const double relative = error / std::fabs(measure == Measure::value ? wanted : x);
        if (!(relative <= largest)) largest = relative;  // a NaN stays, and fails
      }
    }
  };
  visit(1.0f, to);
  visit(-1.0f, -from);
  return largest;
}

void check_bound(const char* name, double found, double bound) {
  check(found <= bound, name, __FILE__, __LINE__,
        "error " + std::to_string(found * 1e7) + "e-7, bound " + std::to_string(bound * 1e7) + "e-7");
}

float one(Function function, float x) {
  float out[16];
  ScalarVec::store(out, function(ScalarVec::set1(x)));
  return out[0];
}

double exact_gelu(double x) {
  return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
}
double exact_gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}
double exact_sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}
double exact_silu(double x) {
  return x / (1 + std::exp(-x));
}
double exact_hard_sigmoid(double x) {
  return std::clamp(x + 3, 0.0, 6.0) / 6;
}
double exact_hard_swish(double x) {
  return x * exact_hard_sigmoid(x);
}
double exact_quick_gelu(double x) {
  return x / (1 + std::exp(-1.702 * x));
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

bool same(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

// A float with a random sign and mantissa, and this exponent field (kept within the floats).
float with_exponent(int exponent, Random& random) {
  const uint32_t field = static_cast<uint32_t>(std::clamp(exponent, 0, 254));
  return std::bit_cast<float>((random.next() & 0x807FFFFFu) | field << 23);
}
// The same with few bits in the mantissa, so that products and sums land on ties.
float with_few_bits(int exponent, Random& random) {
  const float x = with_exponent(exponent, random);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & (0xFFFFFFFFu << (11 + random.below(12))));
}

}  // namespace

TEST(math_exp) {
  const Function exp = Math<ScalarVec>::exp;
  check_bound("exp", worst(exp, std::exp, Measure::value, -87.0f, 88.0f), 1.2e-7);
  CHECK(one(exp, 0.0f) == 1.0f);
  CHECK(one(exp, -1e30f) == one(exp, -87.0f) && one(exp, -kInfinity) == one(exp, -87.0f));
  CHECK(one(exp, 1e30f) == one(exp, 88.0f) && one(exp, kInfinity) == one(exp, 88.0f));
  CHECK(std::isnan(one(exp, kNan)));
}

// Every 97th float from -2^-40 to -16.5, where the result comes to 0.7, and what lies beyond. The polynomial is within
// 2.9e-6 of the value and its five roundings within 2^-22 of it, and the result is rounded to a whole number.
TEST(math_exp2_16_bits) {
  const auto function = [](const float* x, int32_t* p) {
    ScalarVec::store_int(p, Math<ScalarVec>::exp2_16_bits(ScalarVec::load(x)));
  };
  double largest = 0;  // in units of what is allowed
  constexpr uint32_t kStep = 97, kFirst = std::bit_cast<uint32_t>(0x1p-40f), kLast = std::bit_cast<uint32_t>(16.5f);
  for (uint32_t first = kFirst; first <= kLast; first += 16 * kStep) {
    float x[16];
    int32_t p[16];
    for (uint32_t i = 0; i < 16; ++i) x[i] = -std::min(std::bit_cast<float>(first + i * kStep), 16.5f);
    function(x, p);
    for (int i = 0; i < 16; ++i) {
      const long double exact = 65535.0L * std::exp2(static_cast<long double>(x[i]));
      const double error = static_cast<double>(std::fabs(static_cast<long double>(p[i]) - exact));
      largest = std::max(largest, error / (0.5 + static_cast<double>(exact) * (2.9e-6 + 0x1p-22)));
      if (p[i] < 0 || p[i] > 65535) largest = 1e9;
    }
  }
  check_bound("exp2_16_bits", largest, 1.0);
  // Zero from where the value is below a half, and for a NaN.
  const float ends[16] = {0.0f,   -0.0f,  -1.0f,  -2.0f,  -15.0f,     -16.0f,     -17.5f, -18.0f,
                          -63.0f, -64.0f, -64.5f, -65.0f, -kInfinity, -3.402e38f, kNan,   -kNan};
  const int32_t expected[16] = {65535, 65535, 32768, 16384, 2, 1};
  int32_t found[16];
  function(ends, found);
  for (int i = 0; i < 16; ++i) CHECK(found[i] == expected[i]);
}

// The polynomial is off by 4.0e-7. Its two chains end near ±¼ and are multiplied by up to 5.25: 1.2e-7 of rounding; u
// and Φ add half of that, and the last product as much.
TEST(math_gelu) {
  const Function gelu = Math<ScalarVec>::gelu;
  check_bound("gelu", worst(gelu, exact_gelu, Measure::argument, -1e30f, 1e30f), 6.4e-7);
  CHECK(one(gelu, 0.0f) == 0.0f && one(gelu, 6.0f) == 6.0f && one(gelu, -6.0f) == 0.0f);
  CHECK(one(gelu, kInfinity) == kInfinity && std::isnan(one(gelu, -kInfinity)));
}

// Two roundings of exp's result and one of the quotient or difference, each half a unit of 2^-24 = 6e-8.
TEST(math_tanh) {
  const Function tanh = Math<ScalarVec>::tanh;
  check_bound("tanh", worst(tanh, std::tanh, Measure::value, -1e30f, 1e30f), 1.8e-7);
  CHECK(one(tanh, 0.0f) == 0.0f && one(tanh, kInfinity) == 1.0f && one(tanh, -kInfinity) == -1.0f);
  CHECK(std::isnan(one(tanh, kNan)));
}

TEST(math_sigmoid_silu) {
  const Function sigmoid = Math<ScalarVec>::sigmoid, silu = Math<ScalarVec>::silu;
  check_bound("sigmoid", worst(sigmoid, exact_sigmoid, Measure::value, -87.0f, 1e30f), 2.4e-7);
  check_bound("silu", worst(silu, exact_silu, Measure::value, -87.0f, 1e30f), 2.4e-7);
  CHECK(one(sigmoid, 0.0f) == 0.5f && one(sigmoid, kInfinity) == 1.0f && one(sigmoid, -kInfinity) < 1e-37f);
  CHECK(one(silu, 0.0f) == 0.0f && one(silu, 100.0f) == 100.0f);
  CHECK(std::isnan(one(sigmoid, kNan)) && std::isnan(one(silu, kNan)));
}

TEST(math_gelu_tanh) {
  const Function gelu_tanh = Math<ScalarVec>::gelu_tanh;
  // tanh(u) is off by 1.8e-7, and by the rounding of u where its slope is 1 and more: another 1e-7 of the argument.
  check_bound("gelu_tanh", worst(gelu_tanh, exact_gelu_tanh, Measure::argument, -1e12f, 1e12f), 2.8e-7);
  CHECK(one(gelu_tanh, 0.0f) == 0.0f && std::isnan(one(gelu_tanh, kNan)));
}

TEST(math_relu) {
  const Function relu = Math<ScalarVec>::relu;
  CHECK(same(one(relu, 2.5f), 2.5f) && same(one(relu, -2.5f), 0.0f) && one(relu, -0.0f) == 0.0f);
  CHECK(one(relu, kInfinity) == kInfinity && std::isnan(one(relu, kNan)));
}

TEST(math_relu6) {
  const Function relu6 = Math<ScalarVec>::relu6;
  CHECK(same(one(relu6, 2.5f), 2.5f) && same(one(relu6, -2.5f), 0.0f) && one(relu6, -0.0f) == 0.0f);
  CHECK(one(relu6, 6.0f) == 6.0f && one(relu6, 0x1.800002p2f) == 6.0f && one(relu6, 0x1.7ffffep2f) == 0x1.7ffffep2f);
  CHECK(one(relu6, kInfinity) == 6.0f && one(relu6, -kInfinity) == 0.0f && std::isnan(one(relu6, kNan)));
}

// The sum and the product are rounded to 2^-24 = 6e-8 of themselves, and the factor is off by 3.0e-8 of 1/6; hard_swish
// has one product more.
TEST(math_hard_sigmoid_swish) {
  const Function hard_sigmoid = Math<ScalarVec>::hard_sigmoid, hard_swish = Math<ScalarVec>::hard_swish;
  check_bound("hard_sigmoid", worst(hard_sigmoid, exact_hard_sigmoid, Measure::value, -2.999f, 1e30f), 1.5e-7);
  check_bound("hard_swish", worst(hard_swish, exact_hard_swish, Measure::argument, -1e30f, 1e30f), 2.1e-7);
  for (const float x : {-3.0f, -3.5f, -1e30f}) CHECK(one(hard_sigmoid, x) == 0.0f && one(hard_swish, x) == 0.0f);
  for (const float x : {3.0f, 3.5f, 1e30f}) CHECK(one(hard_sigmoid, x) == 1.0f && one(hard_swish, x) == x);
  CHECK(one(hard_sigmoid, 0.0f) == 0.5f && one(hard_swish, 0.0f) == 0.0f);
  CHECK(one(hard_sigmoid, kInfinity) == 1.0f && one(hard_sigmoid, -kInfinity) == 0.0f);
  CHECK(one(hard_swish, kInfinity) == kInfinity && std::isnan(one(hard_swish, -kInfinity)));
  CHECK(std::isnan(one(hard_sigmoid, kNan)) && std::isnan(one(hard_swish, kNan)));
}

// Of the argument: t = 1.702 x is off by 1.2e-7 of itself, and t · sigmoid'(t) is 0.23 at most; exp is off by 1.2e-7,
// and that counts by sigmoid · (1 − sigmoid), at most ¼; the sum and the quotient are rounded.
TEST(math_quick_gelu) {
  const Function quick_gelu = Math<ScalarVec>::quick_gelu;
  check_bound("quick_gelu", worst(quick_gelu, exact_quick_gelu, Measure::argument, -1e30f, 1e30f), 1.8e-7);
  CHECK(one(quick_gelu, 0.0f) == 0.0f && one(quick_gelu, 100.0f) == 100.0f && one(quick_gelu, kInfinity) == kInfinity);
  CHECK(std::fabs(one(quick_gelu, -100.0f)) < 1e-35f && std::isnan(one(quick_gelu, kNan)));
}

// The polynomial is off by 3.0e-8, and the sums of its last two steps are rounded.
TEST(math_log1p_relu) {
  const Function log1p_relu = Math<ScalarVec>::log1p_relu;
  const auto exact = [](double x) { return std::log1p(x); };
  check_bound("log1p_relu", worst(log1p_relu, exact, Measure::value, -0.0f, 0x1p126f), 1.5e-7);
  for (const float x : {0.0f, -0.0f, -1e-30f, -2.5f, -kInfinity}) CHECK(same(one(log1p_relu, x), 0.0f));
  CHECK(same(one(log1p_relu, 0x1p-149f), 0x1p-149f) && same(one(log1p_relu, 0x1p-60f), 0x1p-60f));
  CHECK(one(log1p_relu, 0x1.fffffep127f) == one(log1p_relu, 0x1p126f));
  CHECK(std::isnan(one(log1p_relu, kInfinity)) && std::isnan(one(log1p_relu, kNan)) &&
        std::isnan(one(log1p_relu, -kNan)));
}

// Where the compiler has the instruction this compares it with itself; the x86-64 baseline has none.
TEST(math_fused_multiply_add) {
  Random random(1);
  int wrong = 0;
  const auto compare = [&](float a, float b, float c) {
    const float found = fused_multiply_add(a, b, c), wanted = std::fma(a, b, c);
    if (same(found, wanted) || ++wrong > 5) return;
    char message[120];
    std::snprintf(message, sizeof message, "fma(%a, %a, %a) is %a, expected %a", static_cast<double>(a),
                  static_cast<double>(b), static_cast<double>(c), static_cast<double>(found),
                  static_cast<double>(wanted));
    check(false, message, __FILE__, __LINE__);
  };
  for (int i = 0; i < 1000000; ++i) {
    const auto exponent = [&](int from, int to) {
      return from + static_cast<int>(random.below(static_cast<uint32_t>(to - from + 1)));
    };
    // Any bits at all.
    compare(std::bit_cast<float>(random.next()), std::bit_cast<float>(random.next()),
            std::bit_cast<float>(random.next()));
    // An addend near the product: every alignment of their bits.
    int ea = exponent(64, 190), eb = exponent(64, 190);
    compare(with_exponent(ea, random), with_exponent(eb, random),
            with_exponent(ea + eb - 127 + exponent(-30, 30), random));
    // Ties.
    compare(with_few_bits(ea, random), with_few_bits(eb, random),
            with_few_bits(ea + eb - 127 + exponent(-30, 30), random));
    // Subnormal results, and those that vanish.
    ea = exponent(0, 127);
    eb = 127 - ea + exponent(-30, 5);
    compare(with_exponent(ea, random), with_exponent(eb, random), with_exponent(exponent(0, 3), random));
    compare(with_few_bits(ea, random), with_few_bits(eb, random), with_few_bits(exponent(0, 3), random));
    // Overflow, and just not.
    ea = exponent(127, 254);
    eb = 381 - ea + exponent(-3, 1);
    compare(with_exponent(ea, random), with_exponent(eb, random), with_exponent(exponent(225, 254), random));
    // Cancellation: the addend is the rounded product, give or take a unit.
    const float a = with_exponent(exponent(40, 200), random), b = with_exponent(exponent(100, 150), random);
    compare(a, b, std::bit_cast<float>(std::bit_cast<uint32_t>(-(a * b)) + random.below(3) - 1));
  }
  const float special[] = {0.0f,     -0.0f, 1.0f,      -1.0f,      0x1p-149f, 0x1p-126f,    0x1.fffffep127f,
                           0x1p127f, 0.5f,  kInfinity, -kInfinity, kNan,      0x1.000002p0f};
  for (const float a : special)
    for (const float b : special)
      for (const float c : special) compare(a, b, c);
  CHECK(wrong == 0);
}

}  // namespace embedrt::test
