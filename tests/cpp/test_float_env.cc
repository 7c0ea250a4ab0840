// Another library in the process may have set flush-to-zero or another rounding: results do not change, and its setting
// stays.
#include <cfenv>
#include <limits>
#include <vector>

#include "base/float_env.h"
#include "base/mapped_file.h"
#include "check.h"
#include "file_maker.h"
#include "program/model.h"

namespace embedrt::test {
namespace {

// The control word with subnormals flushed to zero and rounding upwards, while it lives.
class Disturbed {
 public:
#if defined(__SSE__)
  Disturbed() : saved_(_mm_getcsr()) { _mm_setcsr(0x1F80 | 0x8040 | 0x4000); }
  ~Disturbed() { _mm_setcsr(saved_); }
  static bool still() { return (_mm_getcsr() & ~0x3Fu) == (0x1F80 | 0x8040 | 0x4000); }

 private:
  unsigned saved_;
#else
  Disturbed() : saved_(std::fegetround()) { std::fesetround(FE_UPWARD); }
  ~Disturbed() { std::fesetround(saved_); }
  static bool still() { return std::fegetround() == FE_UPWARD; }

 private:
  int saved_;
#endif
};

// At run time: the compiler does not know the values.
float product(float a, float b) {
  const volatile float x = a, y = b;
  return x * y;
}
float sum(float a, float b) {
  const volatile float x = a, y = b;
  return x + y;
}

std::vector<float> vectors(const Model& model) {
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets = {0};
  for (int32_t length = 0; length < 20; ++length) {
    for (int32_t i = 0; i < length; ++i) ids.push_back(7 * i % 50);
    offsets.push_back(static_cast<int64_t>(ids.size()));
  }
  const std::string& output = model.program().outputs.back().name;
  const ValueType type = model.output_type(output);
  std::vector<float> result((type.kind == ValueKind::rows ? ids.size() : offsets.size() - 1) * type.columns);
  model.run(ids, offsets, output, result.data(), [] { return false; });
  return result;
}

}  // namespace

TEST(float_env_sets_and_restores) {
  const Disturbed disturbed;
  CHECK(sum(1.0f, 0x1p-25f) > 1.0f);
  {
    const FloatEnv environment;
    CHECK(product(std::numeric_limits<float>::min(), 0.5f) > 0.0f);
    CHECK(sum(1.0f, 0x1p-25f) == 1.0f);
  }
  CHECK(Disturbed::still());
}

TEST(float_env_of_a_model_on_every_thread) {
  for (const bool quantised : {false, true}) {
    const auto file = make_file(tiny_encoder(quantised));
    for (const unsigned threads : {1u, 3u}) {
      const Model model(MappedFile::copy(file), threads);
      const std::vector<float> expected = vectors(model);
      const Disturbed disturbed;
      CHECK(vectors(model) == expected);
      CHECK(Disturbed::still());
    }
  }
}

}  // namespace embedrt::test
