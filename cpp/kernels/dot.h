// The limits of `Dot`, and its use.
#pragma once

#include "kernels/kernels.h"

namespace embedrt {
namespace {

// The most of Dot::rows, and of its sums: rows × panels of sixteen.
constexpr size_t kMostDotRows = 64, kMostDotSums = 48 * 6 * 16;

constexpr bool fits(const Dot& dot) {
  return dot.rows % 16 == 0 && dot.rows <= kMostDotRows && dot.rows * dot.panels * 16 <= kMostDotSums;
}

// While it lives, products may run.
class DotInUse {
 public:
  explicit DotInUse(const Dot& dot) : dot_(dot) {
    if (dot_.begin) dot_.begin();
  }
  ~DotInUse() {
    if (dot_.end) dot_.end();
  }
  DotInUse(const DotInUse&) = delete;
  DotInUse& operator=(const DotInUse&) = delete;

 private:
  const Dot& dot_;
};

}  // namespace
}  // namespace embedrt
