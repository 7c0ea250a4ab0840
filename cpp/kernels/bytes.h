// Rows of bytes with one scale for each column: floats to bytes, bytes times factors, the mean of bytes.
#pragma once

#include "kernels/args.h"

namespace embedrt {
namespace {

// A row of bytes out of value(column), sixteen floats: round(max(min(value, 255), 0)), and zeros past the columns.
template <class V, class Value>
void store_byte_row(uint8_t* out, size_t stride, size_t columns, Value value) {
  typename V::I bytes[4];
  size_t c = 0;
  for (; c + 64 <= columns; c += 64) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) bytes[i] = V::round_to_byte(value(c + 16 * i));
    V::store_clamped_bytes(out + c, bytes);
  }
  for (; c < stride; c += 64) {
    for (size_t i = 0; i < 4; ++i) {
      const size_t at = c + 16 * i;
      if (at + 16 <= columns)
        bytes[i] = V::round_to_byte(value(at));
      else if (at < columns)
        bytes[i] = V::round_to_byte(V::first(value(at), static_cast<int>(columns - at), V::set1(0.0f)));
      else
        bytes[i] = V::set1_int(0);
    }
    V::store_clamped_bytes(out + c, bytes);
  }
}

template <class V>
void quantize_static(const QuantizeStaticArgs& args) noexcept {
  const auto zero = V::set1(args.zero);
  for (size_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    store_byte_row<V>(args.out + row * args.out_stride, args.out_stride, args.columns,
                      [&](size_t c) { return V::fma(V::load(x + c), V::load(args.scale + c), zero); });
  }
}

template <class V>
void gate_rows(const GateArgs& args) noexcept {
  const auto zero = V::set1(args.zero), output_zero = V::set1(args.output_zero);
  for (size_t row = 0; row < args.rows; ++row) {
    if (args.out) {
      const float* x = args.x + row * args.x_stride;
      float* out = args.out + row * args.out_stride;
      for (size_t c = 0; c < args.columns; c += 16) V::store(out + c, V::mul(V::load(x + c), V::load(args.gate + c)));
    } else {
      const uint8_t* x = args.x_u8 + row * args.x_stride;
      store_byte_row<V>(args.out_u8 + row * args.out_stride, args.out_stride, args.columns, [&](size_t c) {
        return V::fma(V::sub(V::to_float(V::load_bytes(x + c)), zero),
                      V::mul(V::load(args.gate + c), V::load(args.scale + c)), output_zero);
      });
    }
  }
}

// Four vectors at a time: whole cache lines of bytes.
template <class V>
void pool_u8(const PoolU8Args& args) noexcept {
  const auto zeros = V::set1_int(-static_cast<int32_t>(args.rows * args.zero));
  for (size_t c = 0; c < args.columns; c += 64) {
    typename V::I sum[4] = {zeros, zeros, zeros, zeros};
    for (size_t row = 0; row < args.rows; ++row)
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i)
        sum[i] = V::add_int(sum[i], V::load_bytes(args.x + row * args.x_stride + c + 16 * i));
    for (size_t i = 0; i < 4 && c + 16 * i < args.columns; ++i)
      V::store(args.out + c + 16 * i, V::mul(V::to_float(sum[i]), V::load(args.scale + c + 16 * i)));
  }
}

}  // namespace
}  // namespace embedrt
