// Another library in the process may have set flush-to-zero or another rounding: results do not change, and its setting
// stays.
#include <cfenv>
#include <limits>
#include <vector>

#include "base/float_env.h"
#include "base/mapped_file.h"
#include "check.h"
#include "image_maker.h"
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

std::vector<float> vectors_of_images(const Model& model) {
  constexpr size_t kImages = 5;
  const ProgramLimits limits = model.program().limits;
  std::vector<uint8_t> pixels(kImages * limits.image_height * limits.image_width * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(31 * i + i / 97);
  std::vector<float> result(kImages * model.output_type("patch_embeddings").item_rows() *
                            model.output_type("patch_embeddings").columns);
  model.run_images(pixels.data(), kImages, "patch_embeddings", result.data(), [] { return false; });
  return result;
}

std::vector<float> vectors(const Model& model) {
  if (model.program().limits.vocabulary == 0) return vectors_of_images(model);
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets = {0};
  for (int32_t length = 0; length < 20; ++length) {
    for (int32_t i = 0; i < length; ++i) ids.push_back(7 * i % 50);
    offsets.push_back(static_cast<int64_t>(ids.size()));
  }
  const std::string& output = model.program().outputs.back().name;
  const ValueType type = model.output_type(output);
  std::vector<float> result((type.kind == ValueKind::rows ? ids.size() : offsets.size() - 1) * type.columns);
  model.run({.ids = ids, .offsets = offsets}, {{output, result.data()}}, [] { return false; });
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
  for (const ProgramMaker& maker : {tiny_encoder(false), tiny_encoder(true), every_image_op()}) {
    const auto file = make_file(maker);
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
