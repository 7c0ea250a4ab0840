#include "random_program.h"

#include <map>

namespace embedrt::fuzz {
namespace {

using test::ProgramMaker;

constexpr uint32_t kMax = 3;  // of the kinds of pool

class Generator {
 public:
  explicit Generator(std::minstd_rand& random)
      : random_(random), program_(below(40) + 1, chance(8) ? below(2000) + 1 : below(40) + 1) {}

  ProgramMaker generate() {
    columns_ = width();
    x_ = lookup(columns_);
    for (uint32_t i = below(6); i > 0; --i) step(true);
    if (chance(2)) {
      program_.outputs.emplace_back("token_embeddings", x_);
      if (chance(2)) return std::move(program_);
    }
    const uint32_t kind = chance(3) ? kMax : below(7);
    if (kind == kMax && chance(2)) {  // which absorbs it
      const uint32_t n = width();
      x_ = linear({x_}, n, below(12));
      columns_ = n;
    }
    x_ = program_.instruction("pool", {x_}, {}, {{0, kind}});
    for (uint32_t i = below(3); i > 0; --i) step(false);
    program_.outputs.emplace_back("sentence_embedding", x_);
    return std::move(program_);
  }

 private:
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() >> 8) % bound; }
  bool chance(uint32_t one_in) { return below(one_in) == 0; }

  // Mostly around the widths of vectors and panels, where tails begin and end.
  uint32_t width() {
    constexpr uint32_t edges[] = {1, 3, 4, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65};
    return chance(2) ? edges[below(std::size(edges))] : below(70) + 1;
  }

  uint16_t lookup(uint32_t columns) {
    const uint32_t index = below(4);
    return program_.lookup(index == 1 || chance(2) ? Layout::matrix_f32 : Layout::table_i8, columns, index);
  }

  uint16_t vector(uint32_t columns) { return program_.tensor(Layout::vector_f32, 1, columns); }
  uint16_t table(uint32_t rows, uint32_t columns) { return program_.tensor(Layout::matrix_f32, rows, columns); }

  uint16_t linear(std::vector<uint16_t> inputs, uint32_t n, uint32_t activation) {
    const Layout panel = chance(3) ? Layout::panel_f32 : Layout::panel_i8;
    const uint32_t bits = panel == Layout::panel_i8 && chance(3) ? 16 : 8;
    return program_.linear(panel, std::move(inputs), n, columns_, activation, chance(2), bits);
  }

  void attention() {
    const uint32_t group = chance(2) ? 1 : below(3) + 1, kv = below(3) + 1, heads = group * kv;
    const uint32_t dim = chance(4) ? width() : below(9) + 1, kv_heads = group == 1 && chance(2) ? 0 : kv;
    uint16_t qkv = linear({x_}, (heads + 2 * kv) * dim, 0);
    if (chance(3)) {
      const std::vector<uint16_t> weights = {vector(dim), vector(dim)};
      qkv = program_.instruction("head_norm", {qkv}, weights, {{0, heads}, {1, kv_heads}, {2, below(2)}});
    }
    if (dim % 2 == 0 && chance(3)) {
      const std::vector<uint16_t> angles = {table(program_.max_tokens, dim), table(program_.max_tokens, dim)};
      qkv = program_.instruction("rope", {qkv}, angles, {{0, heads}, {1, kv_heads}});
    }
    const uint32_t scale = chance(2) ? 0x3f800000 : 0x3e000000 + (below(64) << 20);
    std::vector<uint16_t> bias;
    if (chance(3)) bias = {table(heads, 2 * program_.max_tokens - 1)};
    const uint32_t window = chance(3) ? below(40) : 0;
    x_ = program_.instruction("attention", {qkv}, bias,
                              {{0, heads}, {1, scale}, {2, below(2)}, {3, below(2)}, {4, window}, {5, kv_heads}});
    columns_ = heads * dim;
  }

  // One op or two on x, which stays of its kind. `rows`: that is one row for each token.
  void step(bool rows) {
    const uint32_t kind = below(7);
    if (kind == 0 && rows) {
      attention();
    } else if (kind == 1) {
      x_ = program_.norm(x_, columns_, below(2), chance(2));
    } else if (kind == 2) {
      x_ = program_.instruction("normalize", {x_}, {});
    } else if (kind == 3) {
      x_ = program_.instruction("activate", {x_}, {}, {{0, below(12)}});
    } else if (kind == 4) {
      x_ = program_.instruction("add", {x_, rows && chance(2) ? lookup(columns_) : x_}, {});
    } else {
      const bool square = chance(2);
      const uint32_t n = square ? columns_ : width();
      const uint16_t residual = x_;
      if (square && chance(2)) x_ = program_.norm(x_, columns_, 0, false);
      std::vector<uint16_t> inputs = {x_};
      if (square) inputs.push_back(residual);
      x_ = linear(std::move(inputs), n, below(7));
      columns_ = n;
    }
  }

  std::minstd_rand& random_;
  ProgramMaker program_;
  uint32_t columns_ = 0;
  uint16_t x_ = 0;
};

}  // namespace

ProgramMaker random_program(std::minstd_rand& random) {
  return Generator(random).generate();
}

}  // namespace embedrt::fuzz
