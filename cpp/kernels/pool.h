// One segment's rows → one row. Sums run in row order.
#pragma once

#include "kernels/args.h"

namespace embedrt {
namespace {

template <class V>
void pool_segment(const PoolArgs& args) noexcept {
  using F = typename V::F;
  const F none = V::set1(0.0f);
  const float tokens = static_cast<float>(args.tokens);
  const auto column = [&](size_t row, size_t c) { return V::load(args.x + row * args.x_stride + c); };
  F divisor = V::set1(1.0f);
  switch (args.kind) {
    case PoolKind::mean:
      divisor = V::set1(tokens);
      break;
    case PoolKind::mean_sqrt:
      divisor = V::sqrt(V::set1(tokens));
      break;
    case PoolKind::weighted_mean:
      divisor = V::set1(static_cast<float>(args.tokens * (args.tokens + 1) / 2));
      break;
    case PoolKind::first:
    case PoolKind::last:
    case PoolKind::max:
    case PoolKind::sum:
      break;
  }
  for (size_t c = 0; c < args.columns; c += 16) {
    F y = none;
    if (args.tokens != 0) {
      switch (args.kind) {
        case PoolKind::first:
          y = column(0, c);
          break;
        case PoolKind::last:
          y = column(args.tokens - 1, c);
          break;
        case PoolKind::max: {
          y = column(0, c);
          F bad = none;  // NaN as soon as one value is not finite: max alone would pass it over
          for (size_t row = 0; row < args.tokens; ++row) {
            y = V::max(y, column(row, c));
            bad = V::fma(column(row, c), none, bad);
          }
          y = V::add(y, bad);
          break;
        }
        case PoolKind::weighted_mean:
          for (size_t row = 0; row < args.tokens; ++row)
            y = V::fma(column(row, c), V::set1(static_cast<float>(row + 1)), y);
          break;
        case PoolKind::mean:
        case PoolKind::mean_sqrt:
        case PoolKind::sum:
          for (size_t row = 0; row < args.tokens; ++row) y = V::add(y, column(row, c));
          break;
      }
      y = V::div(y, divisor);
    }
    V::store(args.out + c, y);
  }
}

}  // namespace
}  // namespace embedrt
