"""The reference interpreter against definitions spelled out with loops and whole numbers."""

import itertools
import math

import numpy as np
import pytest

from embedrt import _core
from embedrt_convert import reference, reference_types
from embedrt_convert.optable import op_table
from embedrt_convert.reference import Segments

RNG = np.random.default_rng(7)
LENGTHS = [1, 5, 0, 9]
OFFSETS = np.cumsum([0, *LENGTHS])
SEGMENTS = Segments(OFFSETS)
ROWS = int(OFFSETS[-1])
LONGEST = 12  # that a table of biases is for


def test_every_op_of_the_core_has_a_function():
    assert set(reference.OPS) == {op["name"] for op in _core.ops()}
    choices = {(op.name, a.name): a.choices for op in op_table().values() for a in op.attributes}
    assert set(reference.ACTIVATIONS) == set(choices["linear", "activation"])
    assert set(reference.POOLINGS) == set(choices["pool", "kind"])


def attention_by_loops(x, heads, scale, causal, window, bias):
    width = x.shape[1] // 3
    d = width // heads
    out = np.zeros((len(x), width))
    for begin, end in itertools.pairwise(OFFSETS):
        for head in range(heads):
            q, k, v = (x[begin:end, part * width + head * d : part * width + (head + 1) * d] for part in range(3))
            for i in range(end - begin):
                keys = [
                    j
                    for j in range(end - begin)
                    if not (causal and j > i) and (window == 0 or i - window <= j <= i + window)
                ]
                weights = [math.exp(scale * float(q[i] @ k[j]) + bias[head, LONGEST - 1 + j - i]) for j in keys]
                mixed = sum(w * v[j] for j, w in zip(keys, weights, strict=True))
                out[begin + i, head * d : (head + 1) * d] = mixed / sum(weights)
    return out


@pytest.mark.parametrize(("heads", "d"), [(1, 4), (3, 10), (4, 16)])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-12), ("int8", 0.05)])
@pytest.mark.parametrize("mask", ["none", "causal"])
@pytest.mark.parametrize("window", [0, 1, 3, 8, 100])
@pytest.mark.parametrize("biased", [False, True])
def test_attention(heads, d, precision, tolerance, mask, window, biased):
    x = RNG.normal(size=(ROWS, 3 * heads * d))
    bias = RNG.normal(size=(heads, 2 * LONGEST - 1)).astype(np.float32) * np.float32(2 if biased else 0)
    attributes = {"heads": heads, "kv_heads": 0, "scale": 1 / math.sqrt(d), "precision": precision}
    attributes |= {"mask": mask, "window": window}
    y = reference.attention([x], {"bias": bias} if biased else {}, attributes, SEGMENTS)
    expected = attention_by_loops(x, heads, 1 / math.sqrt(d), mask == "causal", window, bias.astype(np.float64))
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)


def test_attention_int8_of_equal_rows_is_their_value():
    x = np.tile(RNG.normal(size=(1, 24)), (ROWS, 1))
    attributes = {"heads": 2, "kv_heads": 0, "scale": 0.5, "precision": "int8", "mask": "none", "window": 0}
    y = reference.attention([x], {}, attributes, SEGMENTS)
    np.testing.assert_allclose(y, x[:, 16:], atol=np.abs(x).max() / 127)


def test_quantised_rows():
    x = np.array([[0.0, 0.0], [1.0, 3.0], [-3.0, -1.0], [-1.0, 2.0], [1e-35, 0.0]])
    a, s, offset = reference.quantise_rows(x)
    np.testing.assert_allclose(offset[:, 0], [0, 0, -3, -1, 0], atol=1e-12)
    np.testing.assert_array_equal(a, [[0, 0], [85, 255], [0, 170], [0, 255], [0, 0]])
    np.testing.assert_allclose(a * s + offset, [[0, 0], [1, 3], [-3, -1], [-1, 2], [0, 0]], atol=1e-12)


@pytest.mark.parametrize("bits", [8, 16])
def test_linear_int8_is_exact_in_whole_numbers(bits):
    x = RNG.normal(size=(4, 37))
    weight = RNG.integers(-127, 128, (11, 37)).astype(np.int8)
    scale = RNG.uniform(0.01, 0.1, 11).astype(np.float32)
    sums = weight.sum(axis=1, dtype=np.int32)
    tensors = {"weight": weight, "scale": scale, "column_sums": sums}
    y = reference.linear([x], tensors, {"activation": "none", "input_bits": bits}, SEGMENTS)
    a, s, offset = reference.quantise_rows(x, bits)
    assert a.min() == 0 and a.max() == 2**bits - 1 and (a == np.rint(a)).all()
    z = np.rint(-offset / s)
    for row in range(4):
        for column in range(11):
            whole = sum(int(p) * int(w) for p, w in zip(a[row], weight[column], strict=True)) - int(z[row, 0]) * int(
                sums[column]
            )
            assert y[row, column] == pytest.approx(whole * s[row, 0] * float(scale[column]), rel=1e-13, abs=1e-13)


def test_linear_adds_bias_then_activation_then_residual():
    x, r = RNG.normal(size=(3, 5)), RNG.normal(size=(3, 2))
    weight, bias = RNG.normal(size=(2, 5)).astype(np.float32), np.array([1, -1], np.float32)
    y = reference.linear([x, r], {"weight": weight, "bias": bias}, {"activation": "relu"}, SEGMENTS)
    np.testing.assert_allclose(y, np.maximum(x @ weight.T + bias, 0) + r, atol=1e-12)


def test_norm():
    x = RNG.normal(3, 2, size=(4, 19))
    weight, bias = RNG.normal(size=19).astype(np.float32), RNG.normal(size=19).astype(np.float32)
    layer = reference.norm([x], {"weight": weight, "bias": bias}, {"kind": "layer", "epsilon": 1e-5}, SEGMENTS)
    rms = reference.norm([x], {"weight": weight}, {"kind": "rms", "epsilon": 1e-5}, SEGMENTS)
    for row, y, z in zip(x, layer, rms, strict=True):
        np.testing.assert_allclose(y, (row - row.mean()) / math.sqrt(row.var() + 1e-5) * weight + bias, atol=1e-12)
        np.testing.assert_allclose(z, row / math.sqrt((row**2).mean() + 1e-5) * weight, atol=1e-12)


def test_lookup():
    ids = RNG.integers(0, 6, ROWS)
    table = RNG.normal(size=(12, 3)).astype(np.float32)
    inputs = [ids[:, None].astype(float)]
    positions = [p for length in LENGTHS for p in range(length)]
    for index, expected in (("token", ids), ("position", positions), ("constant", [0] * ROWS)):
        y = reference.lookup(inputs, {"table": table}, {"index": index, "offset": 2}, SEGMENTS)
        np.testing.assert_array_equal(y, table[np.array(expected) + 2])
    small, scale = RNG.integers(-127, 128, (6, 3)).astype(np.int8), np.linspace(0.5, 1, 6, dtype=np.float32)
    y = reference.lookup(inputs, {"table": small, "scale": scale}, {"index": "token", "offset": 0}, SEGMENTS)
    np.testing.assert_array_equal(y, small[ids] * scale[ids, None].astype(float))


@pytest.mark.parametrize("kind", sorted(reference.POOLINGS))
def test_pool(kind):
    x = RNG.normal(size=(ROWS, 3))
    y = reference.pool([x], {}, {"kind": kind, "skip": 0}, SEGMENTS)
    for item, length in enumerate(LENGTHS):
        rows = x[OFFSETS[item] : OFFSETS[item + 1]]
        if length == 0:
            assert not y[item].any()
            continue
        expected = {
            "mean": sum(rows) / length,
            "sum": sum(rows),
            "mean_sqrt": sum(rows) / math.sqrt(length),
            "first": rows[0],
            "last": rows[-1],
            "max": [max(column) for column in rows.T],
            "weighted_mean": sum((j + 1) * row for j, row in enumerate(rows)) / sum(range(1, length + 1)),
        }[kind]
        np.testing.assert_allclose(y[item], expected, atol=1e-12)


def test_normalize():
    y = reference.normalize([np.array([[3.0, 4.0], [0.0, 0.0]])], {}, {"epsilon": 1e-12}, SEGMENTS)
    np.testing.assert_allclose(y, [[0.6, 0.8], [0, 0]])


def test_activations():
    x = np.concatenate([np.linspace(-9, 9, 4001), [0.0, -0.0, 1e-300, 40.0, -40.0]])
    logistic = [1 / (1 + math.exp(-v)) for v in x]
    cubic = [math.sqrt(2 / math.pi) * (v + 0.044715 * v**3) for v in x]
    expected = {
        "none": x,
        "relu": [max(v, 0) for v in x],
        "gelu": [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x],
        "gelu_tanh": [0.5 * v * (1 + math.tanh(u)) for v, u in zip(x, cubic, strict=True)],
        "silu": x * logistic,
        "tanh": [math.tanh(v) for v in x],
        "sigmoid": logistic,
        "relu6": [min(max(v, 0), 6) for v in x],
        "hard_swish": [v * min(max(v + 3, 0), 6) / 6 for v in x],
        "hard_sigmoid": [min(max(v + 3, 0), 6) / 6 for v in x],
        "quick_gelu": [v / (1 + math.exp(-1.702 * v)) for v in x],
        "log1p_relu": [math.log1p(max(v, 0)) for v in x],
    }
    for name, function in reference.ACTIVATIONS.items():
        np.testing.assert_allclose(function(x), expected[name], rtol=0, atol=4e-15, err_msg=name)


def test_erf():
    x = np.linspace(-8, 8, 100_001)
    np.testing.assert_allclose(reference_types.erf(x), [math.erf(v) for v in x], rtol=0, atol=5e-16)
