// exp, the normal distribution's Φ, tanh, log: polynomials in fused multiply-add, one source for every instruction set.
// And the activations made of them.
#pragma once

#include "kernels/args.h"

#ifdef __FAST_MATH__
#error "-ffast-math breaks the numerics contract (docs/numerics.md)"
#endif

namespace embedrt {
namespace {

template <class V>
struct Math {
  using F = typename V::F;
  using I = typename V::I;

  // e^x. x is clamped to [-87, 88]: below, the result is e^-87 (1.6e-38); above, 1.7e38. x = n·ln2 + r with |r| <=
  // ln2/2, ln2 in two parts (Cody and Waite), e^r by interpolation of degree 6 at Chebyshev nodes; relative error
  // below 1.2e-7. NaN stays NaN: it is the second operand of max and min.
  static F exp(F x) { return exp_below_88(V::min(V::set1(88.0f), x)); }
  static F exp_below_88(F x) {
    x = V::max(V::set1(-87.0f), x);
    const I n = V::round(V::mul(x, V::set1(1.44269504f)));
    const F nf = V::to_float(n);
    F r = V::fma(nf, V::set1(-0.693359375f), x);
    r = V::fma(nf, V::set1(2.12194440e-4f), r);
    F p = V::set1(0.001394116086885333f);
    p = V::fma(p, r, V::set1(0.008375167846679688f));
    p = V::fma(p, r, V::set1(0.04166635125875473f));
    p = V::fma(p, r, V::set1(0.16666415333747864f));
    p = V::fma(p, r, V::set1(0.5f));
    p = V::fma(p, r, V::set1(1.0f));
    p = V::fma(p, r, V::set1(1.0f));
    return V::mul(p, V::bits_to_float(V::template shift_left<23>(V::add_int(n, V::set1_int(127)))));
  }

  // round(65535 · 2^x) for x <= 0; x below -64 counts as -64, which gives 0. x = n + f with |f| <= ½; 65535 · 2^f by a
  // polynomial of degree 4, exact at 0, its relative error minimised (Lawson's iteration): 2.9e-6, a fifth of a unit in
  // the last place of 16 bits. NaN counts as -64.
  [[gnu::always_inline]] static I exp2_16_bits(F x) {
    x = V::max(x, V::set1(-64.0f));
    // Adding 1.5·2^23 rounds to the integer n and leaves it in the low bits.
    const F magic = V::set1(12582912.0f);
    const F shifted = V::add(x, magic);
    const F f = V::sub(x, V::sub(shifted, magic));
    F p = V::set1(0x1.3a0196p+9f);
    p = V::fma(p, f, V::set1(0x1.c9fa7ep+11f));
    p = V::fma(p, f, V::set1(0x1.ec018cp+13f));
    p = V::fma(p, f, V::set1(0x1.62dfcap+15f));
    p = V::fma(p, f, V::set1(65535.0f));
    return V::round(V::bits_to_float(V::add_int(V::float_bits(p), V::template shift_left<23>(V::float_bits(shifted)))));
  }

  // x·Φ(x), the GELU with erf. Φ(x) − ½ = x·P(x²) on |x| <= 5.25, P of degree 12 in u = 2(x/5.25)² − 1, fitted to
  // minimise the largest error of x·P (Lawson's iteration; 4.0e-7, and with its roundings 5.8e-7). x·P is slightly
  // above ½ at the end, so the clamp to [0, 1] makes the tails exact: 0 and x. Even and odd powers of u are two chains:
  // half the latency.
  [[gnu::always_inline]] static F gelu(F x) {
    const F c = V::max(V::min(x, V::set1(5.25f)), V::set1(-5.25f));
    const F u = V::fma(V::mul(c, c), V::set1(0x1.2937260000000p-4f), V::set1(-1.0f));
    const F v = V::mul(u, u);
    F even = V::set1(0x1.441bf00000000p-10f), odd = V::set1(-0x1.8e530c0000000p-9f);
    even = V::fma(even, v, V::set1(0x1.44632c0000000p-9f));
    odd = V::fma(odd, v, V::set1(-0x1.9896640000000p-9f));
    even = V::fma(even, v, V::set1(0x1.14efc80000000p-7f));
    odd = V::fma(odd, v, V::set1(-0x1.cd26620000000p-7f));
    even = V::fma(even, v, V::set1(0x1.30fbac0000000p-6f));
    odd = V::fma(odd, v, V::set1(-0x1.9490fc0000000p-6f));
    even = V::fma(even, v, V::set1(0x1.062d940000000p-5f));
    odd = V::fma(odd, v, V::set1(-0x1.4611c00000000p-5f));
    even = V::fma(even, v, V::set1(0x1.96b8400000000p-5f));
    odd = V::fma(odd, v, V::set1(-0x1.12f2360000000p-4f));
    even = V::fma(even, v, V::set1(0x1.13c8420000000p-3f));
    const F phi = V::fma(V::fma(odd, u, even), c, V::set1(0.5f));
    return V::mul(x, V::max(V::min(phi, V::set1(1.0f)), V::set1(0.0f)));
  }

  // |x| < 0.625: x·P(x²), degree 5, relative error 4e-9 before rounding; above: 1 − 2/(e^2|x| + 1) with the sign of x.
  static F tanh(F x) {
    const F a = V::abs(x);
    const F q = V::mul(x, x);
    F p = V::set1(-0.00567243f);
    p = V::fma(p, q, V::set1(0.02060315f));
    p = V::fma(p, q, V::set1(-0.05372523f));
    p = V::fma(p, q, V::set1(0.13331186f));
    p = V::fma(p, q, V::set1(-0.33333263f));
    p = V::fma(p, q, V::set1(1.0f));
    const F small = V::mul(x, p);
    const F large = V::sub(V::set1(1.0f), V::div(V::set1(2.0f), V::add(exp(V::add(a, a)), V::set1(1.0f))));
    const F signed_large = V::if_less(x, V::set1(0.0f), V::sub(V::set1(0.0f), large), large);
    return V::if_less(a, V::set1(0.625f), small, signed_large);
  }

  static F sigmoid(F x) { return V::div(V::set1(1.0f), V::add(V::set1(1.0f), exp(V::sub(V::set1(0.0f), x)))); }
  static F silu(F x) { return V::div(x, V::add(V::set1(1.0f), exp(V::sub(V::set1(0.0f), x)))); }
  static F gelu_tanh(F x) {
    const F cube = V::mul(V::mul(V::set1(0.044715f), V::mul(x, x)), x);
    const F u = V::mul(V::set1(0.7978845608f), V::add(x, cube));
    return V::mul(V::mul(V::set1(0.5f), x), V::add(V::set1(1.0f), tanh(u)));
  }
  static F relu(F x) { return V::max(V::set1(0.0f), x); }
  static F relu6(F x) { return V::min(V::set1(6.0f), relu(x)); }
  // 6 times the float nearest to 1/6 rounds to 1: exact at both ends.
  static F hard_sigmoid(F x) { return V::mul(relu6(V::add(x, V::set1(3.0f))), V::set1(0.16666667f)); }
  static F hard_swish(F x) { return V::mul(x, hard_sigmoid(x)); }
  static F quick_gelu(F x) { return V::div(x, V::add(V::set1(1.0f), exp(V::mul(x, V::set1(-1.702f))))); }

  // log(1 + y) with y = relu(x), which counts as 2^126 above that. 1 + y = 2^k · (1 + f) with 1 + f in [√½, √2], k from
  // the bits of the rounded sum; f = y · 2^-k + (2^-k − 1) is y itself for k = 0, so that small values keep their bits.
  // log(1 + f) = f + f² · Q(f), Q of degree 7 fitted to minimise the largest relative error of the result (Lawson's
  // iteration; 3.0e-8); ln2 in two parts. A value that is not finite gives NaN, but −∞ what relu makes of it.
  static F log1p_relu(F x) {
    const F given = relu(x);
    const F y = V::min(V::set1(0x1p126f), given);
    constexpr int32_t kRootHalf = 0x3f3504f3, kOne = 0x3f800000;
    const I biased = V::template shift_right<23>(
        V::add_int(V::float_bits(V::add(V::set1(1.0f), y)), V::set1_int(kOne - kRootHalf)));  // k + 127
    const F k = V::to_float(V::add_int(biased, V::set1_int(-127)));
    const F scale = V::bits_to_float(V::template shift_left<23>(V::sub_int(V::set1_int(254), biased)));  // 2^-k
    const F f = V::fma(y, scale, V::sub(scale, V::set1(1.0f)));
    F q = V::set1(0x1.54104p-4f);
    q = V::fma(q, f, V::set1(-0x1.22a0ccp-3f));
    q = V::fma(q, f, V::set1(0x1.34339ap-3f));
    q = V::fma(q, f, V::set1(-0x1.540b3ep-3f));
    q = V::fma(q, f, V::set1(0x1.9895bap-3f));
    q = V::fma(q, f, V::set1(-0x1.fffb7p-3f));
    q = V::fma(q, f, V::set1(0x1.5557c4p-2f));
    q = V::fma(q, f, V::set1(-0x1.00001p-1f));
    const F low = V::fma(k, V::set1(-2.12194440e-4f), V::mul(V::mul(f, f), q));
    const F log = V::fma(k, V::set1(0.693359375f), V::add(f, low));
    return V::fma(given, V::set1(0.0f), log);
  }

  template <Activation activation>
  [[gnu::always_inline]] static F activate(F x) {
    if constexpr (activation == Activation::relu) return relu(x);
    if constexpr (activation == Activation::gelu) return gelu(x);
    if constexpr (activation == Activation::gelu_tanh) return gelu_tanh(x);
    if constexpr (activation == Activation::silu) return silu(x);
    if constexpr (activation == Activation::tanh) return tanh(x);
    if constexpr (activation == Activation::sigmoid) return sigmoid(x);
    if constexpr (activation == Activation::relu6) return relu6(x);
    if constexpr (activation == Activation::hard_swish) return hard_swish(x);
    if constexpr (activation == Activation::hard_sigmoid) return hard_sigmoid(x);
    if constexpr (activation == Activation::quick_gelu) return quick_gelu(x);
    if constexpr (activation == Activation::log1p_relu) return log1p_relu(x);
    return x;
  }
};

// Calls body.operator()<activation>(), so that the activation is a constant in the loops.
template <class Body>
void with_activation(Activation activation, Body body) {
  switch (activation) {
    case Activation::none:
      return body.template operator()<Activation::none>();
    case Activation::relu:
      return body.template operator()<Activation::relu>();
    case Activation::gelu:
      return body.template operator()<Activation::gelu>();
    case Activation::gelu_tanh:
      return body.template operator()<Activation::gelu_tanh>();
    case Activation::silu:
      return body.template operator()<Activation::silu>();
    case Activation::tanh:
      return body.template operator()<Activation::tanh>();
    case Activation::sigmoid:
      return body.template operator()<Activation::sigmoid>();
    case Activation::relu6:
      return body.template operator()<Activation::relu6>();
    case Activation::hard_swish:
      return body.template operator()<Activation::hard_swish>();
    case Activation::hard_sigmoid:
      return body.template operator()<Activation::hard_sigmoid>();
    case Activation::quick_gelu:
      return body.template operator()<Activation::quick_gelu>();
    case Activation::log1p_relu:
      return body.template operator()<Activation::log1p_relu>();
  }
}

}  // namespace
}  // namespace embedrt
