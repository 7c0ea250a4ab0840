"""What turns and norms the heads of q and k, with k and v of as many heads or fewer: the core against float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numeric_programs import LENGTHS, UNIT, Float32, Float64, RowsProgram, normal, offsets_of, rng
from numpy.typing import NDArray

ROWS = sum(LENGTHS)
POSITIONS = np.concatenate([np.arange(end - begin) for begin, end in itertools.pairwise(offsets_of(LENGTHS))])
HEADS = [(1, 0, 2), (3, 3, 10), (6, 2, 34), (4, 1, 64)]


def check(case: RowsProgram, expected: Float64, bound: NDArray[np.float64]) -> None:
    """The reference interpreter agrees with `expected`, and the core is within `bound`."""
    np.testing.assert_allclose(case.reference(), expected, rtol=1e-12, atol=1e-14)
    assert (np.abs(case.core() - expected) <= 1.1 * bound).all()


def parts(x: Float32, heads: int, kv_heads: int, head_dim: int) -> tuple[Float64, Float64, Float64]:
    """q and k as [rows, heads, head_dim], v as [rows, columns]."""
    kv = kv_heads or heads
    q, k, v = np.split(x.astype(np.float64), [heads * head_dim, (heads + kv) * head_dim], axis=1)
    return q.reshape(len(x), heads, head_dim), k.reshape(len(x), kv, head_dim), v


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), HEADS)
def test_rope(heads: int, kv_heads: int, head_dim: int) -> None:
    x = normal(rng(heads), ROWS, (heads + 2 * (kv_heads or heads)) * head_dim)
    angles = normal(rng(head_dim), max(LENGTHS), head_dim)
    cos, sin = np.cos(angles), np.sin(angles)
    case = RowsProgram(x, lengths=LENGTHS)
    case.op("rope", heads=heads, kv_heads=kv_heads, cos=cos, sin=sin)

    q, k, v = parts(x, heads, kv_heads, head_dim)
    expected, bound = [], []
    for part in (q, k):
        swapped = np.roll(part, head_dim // 2, axis=2)  # the other half, with its sign
        swapped[:, :, : head_dim // 2] *= -1
        straight, across = part * cos[POSITIONS][:, None], swapped * sin[POSITIONS][:, None]
        expected.append((straight + across).reshape(ROWS, -1))
        # One product is rounded, then the sum.
        bound.append(UNIT * (np.abs(straight) + np.abs(straight + across)).reshape(ROWS, -1))
    check(case, np.concatenate([*expected, v], axis=1), np.concatenate([*bound, 0 * v], axis=1))


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [*HEADS, (2, 1, 1), (2, 2, 17)])
@pytest.mark.parametrize("mean", [0.0, 30.0])
@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_head_norm(heads: int, kv_heads: int, head_dim: int, mean: float, kind: str) -> None:
    x = normal(rng(heads), ROWS, (heads + 2 * (kv_heads or heads)) * head_dim) + np.float32(mean)
    query, key, epsilon = normal(rng(1), head_dim), normal(rng(2), head_dim), np.float32(1e-3)
    case = RowsProgram(x, lengths=LENGTHS)
    operands = {"heads": heads, "kv_heads": kv_heads, "kind": kind, "epsilon": float(epsilon)}
    case.op("head_norm", query=query, key=key, **operands)

    q, k, v = parts(x, heads, kv_heads, head_dim)
    expected, bound = [], []
    depth = head_dim / 16 + 5  # roundings that a term of a sum goes through
    for part, weight in ((q, query), (k, key)):
        m = part.mean(axis=2, keepdims=True) if kind == "layer" else np.zeros((1, 1, 1))
        d = part - m
        variance = (d * d).mean(axis=2, keepdims=True) + epsilon
        y = d / np.sqrt(variance) * weight
        # As of `norm`: the mean, d = x - m, twice that in d², half of the sum's in its root, then two products.
        mean_error = (depth + 1) * UNIT * np.abs(part).mean(axis=2, keepdims=True) if kind == "layer" else 0.0
        d_error = mean_error + UNIT * np.abs(d)
        v_error = (2 * np.abs(d) * d_error + d_error**2).mean(axis=2, keepdims=True) + (depth + 2) * UNIT * variance
        r_error = 0.5 * v_error / variance + 2 * UNIT
        error = np.abs(weight) / np.sqrt(variance) * (d_error + np.abs(d) * (r_error + UNIT)) + UNIT * np.abs(y)
        expected.append(y.reshape(ROWS, -1))
        bound.append(error.reshape(ROWS, -1))
    check(case, np.concatenate([*expected, v], axis=1), np.concatenate([*bound, 0 * v], axis=1))
