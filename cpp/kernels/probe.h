// Loops that reach the ceilings of a CPU with the kernels' own instructions: what the kernels can be judged by.
// Operands come from memory and results go there, so that no compiler foresees or drops the work.
#pragma once

#include "kernels/args.h"

namespace embedrt {
namespace {

// As many independent sums as a tile of linear_f32 has.
template <class V>
uint64_t probe_fma(const ProbeArgs& args) noexcept {
  constexpr int kSums = V::kFloatRows * V::kFloatPanels;
  static_assert(kSums * 64 <= kProbeResultBytes);
  const auto* data = static_cast<const float*>(args.data);
  auto* result = static_cast<float*>(args.result);
  const auto factor = V::load(data);
  typename V::F sum[kSums];
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) sum[i] = V::load(data + 16 * (i + 1));
  for (uint64_t pass = 0; pass < args.passes; ++pass)
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sum[i] = V::fma(sum[i], factor, factor);
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) V::store(result + 16 * i, sum[i]);
  return args.passes * kSums * 16;
}

template <class V>
uint64_t probe_read(const ProbeArgs& args) noexcept {
  const auto* data = static_cast<const int32_t*>(args.data);
  const size_t count = args.bytes / sizeof(int32_t);
  typename V::I sum[4];
  for (auto& s : sum) s = V::set1_int(0);
  for (uint64_t pass = 0; pass < args.passes; ++pass)
    for (size_t at = 0; at + 64 <= count; at += 64)
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) sum[i] = V::add_int(sum[i], V::load_int(data + at + 16 * i));
  for (size_t i = 0; i < 4; ++i) V::store_int(static_cast<int32_t*>(args.result) + 16 * i, sum[i]);
  return args.passes * (count / 64 * 256);
}

// kSums independent chains of `dot`, which multiplies every byte of a Vector once, in registers.
template <class Vector, int kSums, class Dot>
uint64_t probe_chains(const ProbeArgs& args, Dot dot) {
  const auto* data = static_cast<const Vector*>(args.data);
  auto* result = static_cast<Vector*>(args.result);
  const Vector row = data[kSums], columns = data[kSums + 1];
  Vector sum[kSums];
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) sum[i] = data[i];
  for (uint64_t pass = 0; pass < args.passes; ++pass)
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sum[i] = dot(sum[i], row, columns);
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) result[i] = sum[i];
  return args.passes * kSums * sizeof(Vector);
}

}  // namespace
}  // namespace embedrt
