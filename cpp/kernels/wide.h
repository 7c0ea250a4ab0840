// N vectors side by side with the interface of one. A polynomial is a chain of dependent instructions, and a CPU's
// scheduler holds only a few such chains when they stand one after another in the program; side by side they fill the
// units. The bits are those of one vector.
#pragma once

#include <cstdint>

namespace embedrt {
namespace {

template <class V, int N>
struct Wide {
  struct F {
    typename V::F v[N];
  };
  struct I {
    typename V::I v[N];
  };

  template <class G>
  static F make(G g) {
    F r;
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) r.v[i] = g(i);
    return r;
  }
  template <class G>
  static I make_int(G g) {
    I r;
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) r.v[i] = g(i);
    return r;
  }

  static F set1(float x) {
    return make([&](int) { return V::set1(x); });
  }
  static F add(F a, F b) {
    return make([&](int i) { return V::add(a.v[i], b.v[i]); });
  }
  static F sub(F a, F b) {
    return make([&](int i) { return V::sub(a.v[i], b.v[i]); });
  }
  static F mul(F a, F b) {
    return make([&](int i) { return V::mul(a.v[i], b.v[i]); });
  }
  static F div(F a, F b) {
    return make([&](int i) { return V::div(a.v[i], b.v[i]); });
  }
  static F fma(F a, F b, F c) {
    return make([&](int i) { return V::fma(a.v[i], b.v[i], c.v[i]); });
  }
  static F max(F a, F b) {
    return make([&](int i) { return V::max(a.v[i], b.v[i]); });
  }
  static F min(F a, F b) {
    return make([&](int i) { return V::min(a.v[i], b.v[i]); });
  }
  static F abs(F a) {
    return make([&](int i) { return V::abs(a.v[i]); });
  }
  static F if_less(F a, F b, F x, F y) {
    return make([&](int i) { return V::if_less(a.v[i], b.v[i], x.v[i], y.v[i]); });
  }
  static I round(F a) {
    return make_int([&](int i) { return V::round(a.v[i]); });
  }
  static F to_float(I a) {
    return make([&](int i) { return V::to_float(a.v[i]); });
  }
  static F bits_to_float(I a) {
    return make([&](int i) { return V::bits_to_float(a.v[i]); });
  }
  static I float_bits(F a) {
    return make_int([&](int i) { return V::float_bits(a.v[i]); });
  }
  static I set1_int(int32_t x) {
    return make_int([&](int) { return V::set1_int(x); });
  }
  static I add_int(I a, I b) {
    return make_int([&](int i) { return V::add_int(a.v[i], b.v[i]); });
  }
  static I sub_int(I a, I b) {
    return make_int([&](int i) { return V::sub_int(a.v[i], b.v[i]); });
  }
  template <int bits>
  static I shift_right(I a) {
    return make_int([&](int i) { return V::template shift_right<bits>(a.v[i]); });
  }
  template <int bits>
  static I shift_left(I a) {
    return make_int([&](int i) { return V::template shift_left<bits>(a.v[i]); });
  }
};

}  // namespace
}  // namespace embedrt
