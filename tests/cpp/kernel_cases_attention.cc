// Attention of one segment, in int8 and float32, and the attention of one query.
#include <limits>

#include "kernel_cases.h"

namespace embedrt::test {
namespace {

// What is peculiar about the inputs.
enum class Scene { plain, sharp, sink, extreme, zeros, huge, tiny, special_query, special_key, special_value };
constexpr const char* kScenes[] = {
    "plain",          "sharp",           "sink", "extreme", "zeros", "huge", "tiny", "query is special",
    "key is special", "value is special"};
constexpr size_t kPlainScenes = 7;

struct Shape {
  size_t tokens, heads, head_dim;
  size_t kv_heads = heads;
  size_t width() const { return (heads + 2 * kv_heads) * head_dim; }
  std::string words() const {
    return std::to_string(tokens) + " tokens, " + std::to_string(heads) +
           (kv_heads == heads ? "" : " by " + std::to_string(kv_heads)) + " heads of " + std::to_string(head_dim);
  }
};

void set_scene(Scene scene, const Shape& shape, FloatRows& qkv, Random& random) {
  const size_t queries = shape.heads * shape.head_dim, keys = shape.kv_heads * shape.head_dim;
  const size_t middle = shape.tokens / 2;
  const auto scale_all = [&](float factor) {
    for (size_t j = 0; j < shape.tokens; ++j)
      for (size_t c = 0; c < shape.width(); ++c) qkv.row(j)[c] *= factor;
  };
  switch (scene) {
    case Scene::plain:
      return;
    case Scene::sharp:  // scores far apart: most numerators are zero
      return scale_all(16.0f);
    case Scene::sink:  // every query sees one key far above the rest
      for (size_t j = 0; j < shape.tokens; ++j)
        for (size_t c = 0; c < queries; ++c) qkv.row(j)[c] = 1.0f + 0.125f * qkv.row(j)[c];
      for (size_t c = 0; c < keys; ++c) qkv.row(middle)[queries + c] = 6.0f;
      return;
    case Scene::extreme:  // scores of millions
      return scale_all(1024.0f);
    case Scene::zeros:
      return scale_all(0.0f);
    case Scene::huge:
      return scale_all(0x1p60f);
    case Scene::tiny:  // some rows quantise, others count as zero
      return scale_all(0x1p-101f);
    case Scene::special_query:
    case Scene::special_key:
    case Scene::special_value: {
      const float values[] = {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN(), 3e38f};
      const size_t part = static_cast<size_t>(scene) - static_cast<size_t>(Scene::special_query);
      const size_t first = part == 0 ? 0 : queries + (part - 1) * keys, count = part == 0 ? queries : keys;
      qkv.row(middle)[first + random.below(static_cast<uint32_t>(count))] = values[shape.tokens % 4];
      return;
    }
  }
}

// Which keys a query sees, and the table of their biases: none, plain, or with heads of special numbers.
struct Sight {
  bool causal = false;
  size_t window = 0;
  enum class Bias { none, plain, special } bias = Bias::none;
  size_t unseen = 0;
};

std::string words(const Sight& sight) {
  return std::string(sight.causal ? ", causal" : "") +
         (sight.window > 0 ? ", window " + std::to_string(sight.window) : "") +
         (sight.unseen > 0 ? ", " + std::to_string(sight.unseen) + " unseen" : "") +
         (sight.bias == Sight::Bias::none    ? ""
          : sight.bias == Sight::Bias::plain ? ", bias"
                                             : ", special bias");
}

KernelCase attention_case(bool integer, Shape shape, Scene scene, Sight sight = {}) {
  const std::string what = shape.words() + ", " + kScenes[static_cast<size_t>(scene)] + words(sight);
  return {integer ? "attention_i8" : "attention_f32", what, [=](const Kernels& kernels) {
            Random random(shape.tokens * 1000003 + shape.heads * 1009 + shape.head_dim);
            FloatRows qkv(shape.tokens, shape.width(), Filling::plain, random);
            FloatRows out(shape.tokens, shape.heads * shape.head_dim);
            set_scene(scene, shape, qkv, random);
            const size_t longest = shape.tokens + 3;
            FloatRows bias(shape.heads, 2 * longest - 1,
                           sight.bias == Sight::Bias::special ? Filling::special : Filling::plain, random);
            const auto size = integer ? &Kernels::attention_i8_scratch : &Kernels::attention_f32_scratch;
            Guarded<uint8_t> scratch((kernels.*size)(shape.tokens, shape.head_dim, sight.window));
            (kernels.*(integer ? &Kernels::attention_i8 : &Kernels::attention_f32))({
                .qkv = qkv.row(0),
                .qkv_stride = qkv.stride(),
                .tokens = shape.tokens,
                .heads = shape.heads,
                .kv_heads = shape.kv_heads,
                .head_dim = shape.head_dim,
                .scale = 0.375f,
                .unseen = sight.unseen,
                .causal = sight.causal,
                .window = sight.window,
                .bias = sight.bias == Sight::Bias::none ? nullptr : bias.row(0) + longest - 1,
                .bias_stride = bias.stride(),
                .out = out.row(0),
                .out_stride = out.stride(),
                .scratch = scratch.data(),
            });
            scratch.expect_guards("scratch");
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

std::vector<Sight> sights(bool full) {
  std::vector<Sight> all;
  for (const Sight::Bias bias : {Sight::Bias::none, Sight::Bias::plain, Sight::Bias::special})
    for (const size_t window : full ? std::vector<size_t>{0, 1, 8, 16, 40, 1000} : std::vector<size_t>{0, 3, 40})
      for (const bool causal : {false, true})
        if (window > 0 || bias != Sight::Bias::none) all.push_back({causal, window, bias});
  return all;
}

// Whose one value is not finite.
enum class Spoilt { nothing, query, key, value };
constexpr const char* kSpoilt[] = {"plain", "query is special", "key is special", "value is special"};

KernelCase attention_pool_case(Shape shape, Spoilt spoilt) {
  const std::string what = shape.words() + ", " + kSpoilt[static_cast<size_t>(spoilt)];
  return {"attention_pool", what, [=](const Kernels& kernels) {
            Random random(shape.tokens * 1000003 + shape.heads * 1009 + shape.head_dim);
            const size_t width = shape.heads * shape.head_dim;
            FloatRows kv(shape.tokens, 2 * width, Filling::plain, random), out(1, width);
            FloatRows query(1, width, Filling::plain, random);
            float* row = kv.row(shape.tokens / 2);
            const float bad = shape.tokens % 2 ? std::numeric_limits<float>::infinity() : 3e38f;
            if (spoilt == Spoilt::query) query.row(0)[width / 2] = bad;
            if (spoilt == Spoilt::key) row[width / 2] = -bad;
            if (spoilt == Spoilt::value) row[width + width / 2] = bad;
            Guarded<uint8_t> scratch(4 * (shape.tokens + 16));
            kernels.attention_pool({
                .kv = kv.row(0),
                .kv_stride = kv.stride(),
                .tokens = shape.tokens,
                .heads = shape.heads,
                .head_dim = shape.head_dim,
                .scale = 0.375f,
                .query = query.row(0),
                .out = out.row(0),
                .scratch = scratch.data(),
            });
            scratch.expect_guards("scratch");
            std::vector<uint8_t> result;
            out.collect(result, "output");
            return result;
          }};
}

}  // namespace

std::vector<KernelCase> attention_cases(Amount amount) {
  const bool full = amount == Amount::full;
  const std::vector<size_t> tokens =
      full ? std::vector<size_t>{1, 2, 15, 16, 17, 33, 64, 65, 130, 300} : std::vector<size_t>{1, 2, 17, 65, 130};
  const std::vector<size_t> head_dims =
      full ? std::vector<size_t>{1, 4, 8, 10, 12, 16, 20, 32, 64, 80} : std::vector<size_t>{4, 10, 32};
  std::vector<KernelCase> cases;
  for (const bool integer : {true, false}) {
    for (const size_t t : tokens)
      for (const size_t d : head_dims) {
        cases.push_back(attention_case(integer, {t, 1, d}, Scene::plain));
        if (t <= 65) cases.push_back(attention_case(integer, {t, 3, d}, Scene::plain));
        if (t >= 15) cases.push_back(attention_case(integer, {t, 2, d}, Scene::plain, {.causal = true}));
        if (t <= 65) cases.push_back(attention_case(integer, {t, 6, d, 2}, Scene::plain));
      }
    for (const size_t t : std::initializer_list<size_t>{1, 2, 3, 4, 17, 66, 67, 68, 69})
      for (size_t scene = 0; scene < std::size(kScenes); ++scene)
        for (const bool causal : {false, true})
          for (const size_t kv_heads : {size_t{2}, size_t{1}})
            cases.push_back(
                attention_case(integer, {t, 2, 12, kv_heads}, static_cast<Scene>(scene), {.causal = causal}));
    for (const Sight& sight : sights(full))
      for (const size_t t : tokens) {
        cases.push_back(attention_case(integer, {t, 3, 12}, Scene::plain, sight));
        cases.push_back(attention_case(integer, {t, 3, 12, 1}, Scene::plain, sight));
        if (sight.bias == Sight::Bias::special)
          cases.push_back(attention_case(integer, {t, 14, 4}, Scene::plain, sight));
        for (size_t scene = 1; scene < std::size(kScenes) && t <= 65; ++scene)
          cases.push_back(attention_case(integer, {t, 1, 10}, static_cast<Scene>(scene), sight));
      }
    for (const size_t t : tokens)
      for (const size_t seen : std::initializer_list<size_t>{1, t / 2, t - 1})
        if (seen >= 1 && seen < t)
          for (const bool causal : {false, true}) {
            const size_t unseen = t - seen;
            cases.push_back(attention_case(integer, {t, 2, 12}, Scene::plain, {.causal = causal, .unseen = unseen}));
            cases.push_back(
                attention_case(integer, {t, 2, 16, 1}, Scene::plain, {causal, unseen + 2, Sight::Bias::plain, unseen}));
          }
    cases.push_back(attention_case(integer, {33, 1, kMostHeadDim}, Scene::plain));
    if (full)
      for (size_t scene = 0; scene < kPlainScenes; ++scene)
        for (const size_t d : {size_t{8}, size_t{16}})
          cases.push_back(attention_case(integer, {1100, 1, d}, static_cast<Scene>(scene)));
  }
  // Every remainder of keys by vectors, panels and tiles.
  for (size_t t = 1; t <= 70; t += full ? 1 : 7)
    for (const size_t d : {size_t{12}, size_t{16}})
      for (const bool causal : {false, true})
        cases.push_back(attention_case(true, {t, 2, d}, Scene::plain, {.causal = causal}));
  for (size_t window = 1; window <= 70; window += full ? 3 : 11)
    for (const size_t t : std::initializer_list<size_t>{65, 90, 200})
      for (const bool causal : {false, true})
        cases.push_back(attention_case(true, {t, 1, 12}, Scene::plain, {.causal = causal, .window = window}));
  for (const size_t t : tokens)
    for (const size_t d : head_dims)
      for (const size_t heads : {size_t{1}, size_t{3}})
        cases.push_back(attention_pool_case({t, heads, d}, Spoilt::nothing));
  for (const size_t t : std::initializer_list<size_t>{1, 2, 17, 66})
    for (const Spoilt spoilt : {Spoilt::query, Spoilt::key, Spoilt::value})
      cases.push_back(attention_pool_case({t, 3, 10}, spoilt));
  // More keys than a tile of queries has room for, and more than 12-bit numerators could take.
  if (full)
    for (const size_t window : std::initializer_list<size_t>{0, 250, 2000})
      cases.push_back(attention_case(true, {4200, 1, 4}, Scene::sink, {.window = window}));
  return cases;
}

}  // namespace embedrt::test
