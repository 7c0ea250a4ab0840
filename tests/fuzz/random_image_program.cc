#include <iterator>

#include "../cpp/image_maker.h"
#include "random_program.h"

namespace embedrt::fuzz {
namespace {

using test::FinishText;
using test::Grid;
using test::ImageMaker;
using test::ProgramMaker;
using test::WindowText;

class Generator {
 public:
  explicit Generator(std::minstd_rand& random) : random_(random), maker_(below(24) + 1, below(24) + 1) {}

  ProgramMaker generate() {
    x_ = convolved(maker_.pixels());
    for (uint32_t i = below(7); i > 0; --i) window_step();
    if (x_.bytes && chance(2)) {
      finish(maker_.pool(x_, 0, below(x_.rows())));
      return std::move(maker_.program);
    }
    if (x_.bytes) x_ = maker_.conv(x_, width(), {}, {.activation = below(11)});
    if (chance(2)) x_ = maker_.place(x_, below(4), true);
    for (uint32_t i = below(5); i > 0; --i) row_step();
    if (chance(2)) {
      maker_.program.outputs.emplace_back("patch_embeddings", x_.value);
      if (chance(2)) return std::move(maker_.program);
    }
    if (chance(3)) {
      const uint32_t heads = below(3) + 1;
      finish(maker_.attention_pool(maker_.linear(x_, 2 * heads * (below(20) + 1), chance(2), 0), heads));
    } else {
      finish(maker_.pool(x_, below(7), below(x_.rows())));
    }
    return std::move(maker_.program);
  }

 private:
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() >> 8) % bound; }
  bool chance(uint32_t one_in) { return below(one_in) == 0; }

  uint32_t width() {
    constexpr uint32_t edges[] = {1, 3, 4, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97};
    return chance(2) ? edges[below(std::size(edges))] : below(40) + 1;
  }

  // One that fits x; `same`: whose outputs are as many as the pixels of x.
  WindowText window(const Grid& x, bool same) {
    const uint32_t kernel = chance(2) ? 3 : chance(10) ? below(20) + 1 : below(6) + 1;
    if (same) return {kernel, 1, {kernel / 2, kernel / 2, (kernel - 1) / 2, (kernel - 1) / 2}};
    WindowText window{kernel, chance(3) ? below(5) + 1 : 1};
    for (uint32_t& pad : window.pads) pad = below(kernel);
    const bool fits = x.height + window.pads[0] + window.pads[2] >= kernel &&
                      x.width + window.pads[1] + window.pads[3] >= kernel &&
                      (x.value != 0 || (kernel <= x.height && kernel <= x.width));
    return fits ? window : WindowText{};
  }

  FinishText finish_text() {
    FinishText finish{.activation = chance(2) ? below(11) : 0, .bytes = chance(2)};
    if (finish.bytes) finish.zero = chance(2) ? 0 : below(256);
    finish.output_scale = finish.bytes && (finish.activation > 0 || chance(2));
    return finish;
  }

  Grid convolved(const Grid& x) { return maker_.conv(x, width(), window(x, false), finish_text(), nullptr, chance(2)); }

  // A value of the shape of x, of either element.
  Grid like(const Grid& x) {
    if (chance(2)) return x;
    if (!x.bytes) return chance(2) ? maker_.quantize(x, below(256)) : maker_.norm(x, 0);
    return maker_.conv(x, x.columns, {}, {});
  }

  void window_step() {
    switch (below(6)) {
      case 0:
        x_ = convolved(x_);
        break;
      case 1: {
        const Grid residual = like(x_);
        x_ = maker_.conv(x_, x_.columns, window(x_, true), finish_text(), &residual);
        break;
      }
      case 2:
        x_ = maker_.depthwise(x_, window(x_, chance(2)), finish_text());
        break;
      case 3:
        x_ = maker_.max_pool(x_, window(x_, chance(2)));
        break;
      case 4:
        x_ = x_.bytes ? x_ : maker_.quantize(x_, below(256));
        break;
      default: {
        const uint16_t pooled = maker_.pool(x_, 0, 0);
        x_ = maker_.gate(
            x_, maker_.program.linear(Layout::panel_f32, {pooled}, x_.columns, x_.columns, below(11), chance(2)),
            x_.bytes ? below(256) : 0);
      }
    }
  }

  void row_step() {
    switch (below(6)) {
      case 0: {
        const uint32_t heads = below(3) + 1, dim = chance(3) ? 16 : 2 * (below(9) + 1);
        Grid qkv = maker_.linear(x_, 3 * heads * dim, chance(2), 0);
        if (chance(3)) qkv = maker_.head_norm(qkv, heads, below(2));
        if (chance(2)) qkv = maker_.rope(qkv, heads);
        x_ = maker_.attention(qkv, heads, below(2), below(2), chance(3) ? below(40) : 0, chance(3));
        break;
      }
      case 1:
        x_ = maker_.norm(x_, below(2));
        break;
      case 2:
        x_ = maker_.glu(maker_.linear(x_, 2 * width(), chance(2), 0), below(11));
        break;
      case 3:
        x_ = maker_.linear(maker_.norm(x_, 0), x_.columns, chance(2), below(11), &x_);
        break;
      case 4:
        x_ = maker_.normalize(x_);
        break;
      default:
        x_ = maker_.add(x_, maker_.linear(x_, x_.columns, chance(2), below(11)));
    }
  }

  void finish(uint16_t row) {
    constexpr const char* names[] = {"image_embedding", "class_token", "patch_mean", "logits"};
    maker_.program.outputs.emplace_back(names[below(4)], row);
  }

  std::minstd_rand& random_;
  ImageMaker maker_;
  Grid x_;
};

}  // namespace

ProgramMaker random_image_program(std::minstd_rand& random) {
  return Generator(random).generate();
}

}  // namespace embedrt::fuzz
