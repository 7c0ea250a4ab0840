"""The core's integer ops: to the bit where float32 can be spelled out in NumPy, else against the reference.

The reference computes scales in float64, the core in float32: x · inverse + z is off by three roundings (of the range,
its inverse and the sum) of a number up to 255, 5e-5 at most, so less than that share of entries round to the other side
of a tie. FEW is what the tests allow; of 16 bits, where the number is up to 65535, 257 times as many.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numeric_programs import LENGTHS, UNIT, Float32, Float64, RowsProgram, fma, normal, offsets_of, rng
from numpy.typing import NDArray

from embedrt_convert import reference
from embedrt_convert.builder import Instruction, Tensor

ROWS = sum(LENGTHS)
FEW = 2e-4
TINY = np.float32(2.0**-100)


def awkward_rows(columns: int) -> Float32:
    """Plain rows, and zeros, one value, subnormals, outliers, one sign, huge, ranges around the smallest."""
    x = normal(rng(columns), 40, columns)
    x[1] = 0
    x[2] = 0.75
    x[3] = -0.75
    x[4] *= np.float32(1e-40)
    x[5, 0] = 100
    x[6] = -np.abs(x[6])
    x[7] = np.abs(x[7]) + 3
    x[8] *= np.float32(1e33)
    x[9] = 0
    x[9, -1] = TINY
    x[10] = 0
    x[10, -1] = np.nextafter(TINY, np.float32(0))
    x[11] *= np.float32(2.0**-101)
    x[12] = -0.0
    return x


def float32_rows(x: Float32, bits: int = 8) -> tuple[NDArray[np.int64], Float32, Float32]:
    """Quantised rows exactly as docs/numerics.md has them, in float32: bytes, scale, offset."""
    low, high = x.min(axis=1, initial=0)[:, None], x.max(axis=1, initial=0)[:, None]
    span = high - low
    top = np.float32(2**bits - 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        s = np.where(span < TINY, np.float32(0), span / top)
        inverse = np.where(span < TINY, np.float32(0), top / span)
    z = np.rint(np.minimum(-low * inverse, top))
    a = np.clip(np.rint(fma(x, inverse, z)), 0, top)
    assert s.dtype == inverse.dtype == z.dtype == a.dtype == np.float32
    return a.astype(np.int64), s, -(s * z)


def float32_sums(a: NDArray[np.int64], weight: NDArray[np.int8], bits: int) -> Float32:
    """The exact products of quantised rows and weights as the epilogue sees them."""
    if bits == 8:
        return (a @ weight.T.astype(np.int64)).astype(np.float32)
    high, low = ((plane @ weight.T.astype(np.int64)).astype(np.float32) for plane in (a >> 8, a & 255))
    return fma(high, np.full_like(high, 256), low)


def random_weight(n: int, k: int) -> tuple[NDArray[np.int8], Float32]:
    random = rng(n, k)
    return random.integers(-127, 128, (n, k)).astype(np.int8), random.uniform(0.001, 0.02, n).astype(np.float32)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 17), (16, 16), (64, 33), (100, 48), (384, 50), (5000, 20)])
@pytest.mark.parametrize("bits", [8, 16])
def test_linear_int8_is_the_contract_to_the_bit(k: int, n: int, bits: int) -> None:
    x = awkward_rows(k)
    weight, scale = random_weight(n, k)
    bias = normal(rng(n), n)
    case = RowsProgram(x)
    case.linear_int8(weight, scale, bias, input_bits=bits)
    a, s, offset = float32_rows(x, bits)
    acc = float32_sums(a, weight, bits)
    correction = weight.sum(axis=1, dtype=np.int64).astype(np.float32) * scale
    expected = fma(acc, s * scale, fma(offset, correction, bias))
    found = case.core()
    assert np.array_equal(found, expected)  # the sign of a zero is not spelled out here


@pytest.mark.parametrize("bits", [8, 16])
def test_linear_int8_at_the_ends_of_the_zero_point(bits: int) -> None:
    """Rows of one sign far from zero, whose zero points are 0 and the top: the offset's part is all of the sum, or
    none.
    """
    k, n = 1536, 33
    x = normal(rng(10), 8, k) * np.float32(1e-3)
    x += np.float32([[1000], [-1000], [1e-3], [-1e-3], [1e30], [-1e30], [1], [-1]]) * np.abs(x).max()
    weight, scale = random_weight(n, k)
    case = RowsProgram(x)
    case.linear_int8(weight, scale, input_bits=bits)
    a, s, offset = float32_rows(x, bits)
    assert {0, 2**bits - 1} <= set(np.rint(-offset / s)[:, 0])
    # The same integers in float64: each part is rounded as one, in a product of scales, and in two sums.
    whole = np.abs(a @ weight.T.astype(np.float64)) * s + np.abs(offset * weight.sum(axis=1, dtype=np.float64))
    exact = (a @ weight.T.astype(np.float64)) * s + offset * weight.sum(axis=1, dtype=np.float64)
    roundings = 5
    if bits == 16:  # the sums of either plane, and the two together
        roundings = 6
        whole = whole + np.abs((a & 255) @ weight.T.astype(np.float64)) * s
    assert (np.abs(case.core() - exact * scale) <= roundings * UNIT * whole * scale).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_quantised_rows_against_the_reference(bits: int) -> None:
    """An identity weight shows the quantised rows themselves, as y / s."""
    columns, rows = 97, 3000
    x = normal(rng(1), rows, columns) * rng(2).uniform(0.01, 100, (rows, 1)).astype(np.float32)
    case = RowsProgram(x)
    case.linear_int8(np.eye(columns, dtype=np.int8), np.ones(columns, np.float32), input_bits=bits)
    a, s, offset = reference.quantise_rows(x.astype(np.float64), bits)
    found = np.rint(case.core() / s)
    difference = np.abs(found - np.rint(a + offset / s))
    assert difference.max() <= 1
    assert (difference != 0).mean() <= (FEW if bits == 8 else 257 * FEW)


@pytest.mark.parametrize("activation", sorted(reference.ACTIVATIONS))
@pytest.mark.parametrize("bias", [False, True])
def test_linear_int8_against_the_reference(activation: str, bias: bool) -> None:
    n, k = 50, 100
    x = normal(rng(3), ROWS, k)
    weight, scale = random_weight(n, k)
    case = RowsProgram(x, lengths=LENGTHS)
    case.linear_int8(weight, scale, normal(rng(4), n) if bias else None, activation)
    expected, found = case.reference(), case.core()
    # One entry of a row off by one quantum moves an output by s · scale · |w|.
    a, s, offset = reference.quantise_rows(x.astype(np.float64))
    quantum = (s * scale * 127).max()
    error = np.abs(found - expected)
    assert error.max() <= 1.13 * quantum
    # Six roundings of either part, counting those of s and the offset, which the steepest activation enlarges; then the
    # largest error of an activation, of its argument or its value.
    wide, sums = weight.astype(np.float64), weight.sum(axis=1, dtype=np.float64)
    parts = (np.abs(a @ wide.T) * s + np.abs(offset * sums)) * scale + (np.abs(normal(rng(4), n)) if bias else 0)
    rounding = 1.13 * 6 * UNIT * parts + 6.4e-7 * (parts + np.abs(expected))
    rows_that_moved = (error > rounding).any(axis=1).mean()
    assert rows_that_moved <= FEW * k + 1 / ROWS


@pytest.mark.parametrize("bits", [8, 16])
def test_an_outlier_channel_costs_a_quantum_and_no_more(bits: int) -> None:
    """One channel at 100σ: the quantum grows with it, and the error of an output stays below quanta · Σ|w|. An entry
    has the noise of its rounding, beside a variance of 1.
    """
    k, n = 384, 64
    x = normal(rng(5), 200, k)
    x[:, 7] = 100 + x[:, 7]
    weight, scale = random_weight(n, k)
    case = RowsProgram(x)
    case.linear_int8(weight, scale, input_bits=bits)
    wide = x.astype(np.float64)
    exact = wide @ (weight * scale[:, None].astype(np.float64)).T
    quantum = np.ptp(np.concatenate([wide, np.zeros((200, 1))], axis=1), axis=1)[:, None] / (2**bits - 1)
    # Half a quantum for each entry, half for the zero point.
    bound = quantum * np.abs(weight.astype(np.float64)).sum(axis=1) * scale
    error = np.abs(case.core() - exact)
    assert (error <= bound).all()
    noise = (error**2).mean(axis=0) / exact.var(axis=0)
    np.testing.assert_allclose(noise.mean(), (quantum**2).mean() / 12, rtol=0.1)


def test_rows_of_zeros_give_the_bias() -> None:
    x = np.zeros((3, 20), np.float32)
    x[1] = 1e-41
    x[2] = -0.0
    weight, scale = random_weight(9, 20)
    bias = normal(rng(6), 9)
    case = RowsProgram(x)
    case.linear_int8(weight, scale, bias)
    assert np.array_equal(case.core(), np.tile(bias, (3, 1)))


@pytest.mark.parametrize("columns", [1, 16, 63, 64, 65, 384])
def test_lookup_of_int8_is_one_rounding(columns: int) -> None:
    table = rng(columns).integers(-127, 128, (30, columns)).astype(np.int8)
    scale = rng(7).uniform(0, 1, 30).astype(np.float32)
    case = RowsProgram(np.zeros((30, columns), np.float32))
    lookup = case.program.instructions[0]
    tensors = {"table": Tensor("table", "table_i8", table), "scale": Tensor("scale", "vector_f32", scale)}
    case.program.instructions[0] = Instruction("lookup", lookup.inputs, tensors, lookup.attributes)
    case.output_is(case.inputs[0])
    assert np.array_equal(case.core(), table.astype(np.float32) * scale[:, None])


def attention_case(
    lengths: tuple[int, ...], heads: int, kv_heads: int, head_dim: int, sharpness: float = 1.0, **operands: object
) -> RowsProgram:
    rows, queries, keys = sum(lengths), heads * head_dim, kv_heads * head_dim
    x = normal(rng(heads, head_dim, rows), rows, queries + 2 * keys)
    x[:, : queries + keys] *= np.float32(sharpness)
    x[:, queries : queries + keys] += 5  # keys with a mean, which softmax does not see
    case = RowsProgram(x, lengths=lengths)
    scale = 1 / math.sqrt(head_dim)
    case.op("attention", heads=heads, kv_heads=kv_heads, scale=scale, precision="int8", **operands)
    return case


@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim"), [(1, 1, 4), (3, 3, 10), (2, 2, 16), (1, 1, 64), (2, 2, 80), (6, 2, 10)]
)
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("lengths", [LENGTHS, (130,), (1, 300)])
@pytest.mark.parametrize(("mask", "window"), [("none", 0), ("none", 20), ("causal", 20)])
@pytest.mark.parametrize("biased", [False, True])
def test_attention_int8_against_the_reference(
    heads: int,
    kv_heads: int,
    head_dim: int,
    sharpness: float,
    lengths: tuple[int, ...],
    mask: str,
    window: int,
    *,
    biased: bool,
) -> None:
    """Where an entry rounds to the other side: one of v moves its column by a quantum and less; one of q or k moves a
    score by δ, then p by less than δ · p(1 - p), and the output by δ / 2 of v. Elsewhere the rounding of p remains.
    """
    bias = normal(rng(heads), heads, 2 * max(lengths) - 1, scale=2) if biased else None
    case = attention_case(lengths, heads, kv_heads, head_dim, sharpness, mask=mask, window=window, bias=bias)
    x = case.program.instructions[0].tensors["table"].data
    parts = np.split(x, [heads * head_dim, (heads + kv_heads) * head_dim], axis=1)
    q, k, v = (np.abs(part - mean).max() for part, mean in zip(parts, (0, 5, 0), strict=True))
    delta = q * k / 127 / math.sqrt(head_dim)
    error = np.abs(case.core() - case.reference())
    assert error.max() <= v * (1 / 127 + delta / 2)
    # An entry of k reaches every query of its head.
    assert (error > 2e-5 * v).mean() <= 0.05


@pytest.mark.parametrize("tokens", [*range(1, 71), 1100, 4200])
def test_attention_of_equal_values_is_the_value(tokens: int) -> None:
    """Scores of a million: each numerator is lowered by a factor, which the quotient cancels."""
    d = 16
    x = normal(rng(tokens), tokens, 3 * d) * np.float32(250)
    x[:, 2 * d :] = x[0, 2 * d :]
    case = RowsProgram(x, lengths=(tokens,))
    case.op("attention", heads=1, scale=1.0, precision="int8")
    np.testing.assert_allclose(case.core(), x[:, 2 * d :], rtol=2.0**-21)
    np.testing.assert_allclose(case.reference(), x[:, 2 * d :], rtol=1e-12)


def test_attention_of_one_token_is_its_value() -> None:
    x = normal(rng(8), 5, 3 * 12)
    case = RowsProgram(x, lengths=(1,) * 5)
    case.op("attention", heads=2, scale=0.5, precision="int8")
    np.testing.assert_allclose(case.core(), x[:, 24:], rtol=2.0**-21)


def int8_rows_of_attention(q: Float64, k: Float64, v: Float64, scale: float) -> tuple[Float64, Float64]:
    """(numerators as whole numbers, output) of some queries against all keys: int8 attention in float64."""

    def symmetric(x: Float64, axis: int) -> tuple[Float64, Float64]:
        largest = np.abs(x).max(axis=axis, keepdims=True)
        return np.rint(x * (127 / largest)), largest / 127

    q8, sq = symmetric(q, 1)
    k8, sk = symmetric(k - k.mean(axis=0), 1)
    v8, sv = symmetric(v, 0)
    scores = (q8 @ k8.T) * (sq * scale * sk.T) / math.log(2)
    top = scores.max(axis=1, keepdims=True)
    p = np.rint(65535 * np.exp2(scores - (top + np.abs(top) * 2.0**-22)))
    return p, p @ v8 * sv / p.sum(axis=1, keepdims=True)


def test_attention_with_a_sink_at_8192_keys() -> None:
    """One key stands e^9 above the rest, which together weigh as much: 12 bits of p would lose most of them."""
    tokens, d, sink = 8192, 16, 3000
    random = rng(9)
    x = normal(random, tokens, 3 * d, scale=0.1)
    x[:, 0] = 3  # queries agree on one direction,
    x[:, d] = 0  # which only the sink has
    x[sink, d] = 9 / 3
    x[sink, 2 * d :] = 0
    x[np.arange(tokens) != sink, 2 * d] = 1  # the first column of v is then the weight of all the other keys
    case = RowsProgram(x, lengths=(tokens,))
    case.op("attention", heads=1, scale=1.0, precision="int8")
    found = case.core()

    some = slice(0, tokens, 16)
    q, k, v = (x[:, part * d : (part + 1) * d].astype(np.float64) for part in range(3))
    scores = q[some] @ k.T
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    exact = p @ v / p.sum(axis=1, keepdims=True)
    assert 0.4 < exact[:, 0].mean() < 0.6

    p16, expected = int8_rows_of_attention(q[some], k, v, 1.0)
    assert (p16[:, 0] <= 16).all()  # of 65,535
    quantum = np.abs(v).max(axis=0) / 127
    error = np.abs(found[some] - expected)
    assert (error <= quantum).all()
    assert (error > 2e-5 * np.abs(v).max(axis=0)).mean() <= 0.01
    # Beside float64 attention: the integers cost a few per cent of the tail's weight in a row, and no bias over rows.
    assert np.abs(found[some, 0] - exact[:, 0]).max() <= 0.03
    assert abs((found[some, 0] - exact[:, 0]).mean()) <= 0.005


def test_offsets_cover_the_ragged_lengths() -> None:
    assert offsets_of(LENGTHS)[-1] == ROWS and 0 in LENGTHS and 1 in LENGTHS
