"""The core's float ops against float64: NumPy written out here, and the reference interpreter.

Bounds are derived from UNIT, the error of one rounding. A sum over the columns of a row runs in sixteen lanes and a
tree: each term goes through at most columns / 16 + 5 additions. A sum over rows goes through one for each row.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from image_programs import MADE
from numeric_programs import LENGTHS, UNIT, Float64, RowsProgram, core_model, normal, offsets_of, rng

from embedrt_convert import reference

ROWS = sum(LENGTHS)
COLUMNS = [1, 15, 16, 17, 50, 384]
PARTS = [slice(begin, end) for begin, end in itertools.pairwise(offsets_of(LENGTHS))]

# Errors of the core's activations (tests/cpp/test_math.cc): relative to the value, or to the argument for the GELUs.
ACTIVATION_ERRORS = {"none": 0, "relu": 0, "gelu": 6.4e-7, "gelu_tanh": 2.8e-7, "silu": 2.4e-7, "tanh": 1.8e-7}
ACTIVATION_ERRORS |= {"sigmoid": 2.4e-7, "log1p_relu": 1.5e-7}
STEEPEST = 1.13  # no activation's slope is above that of the GELUs


def depth(columns: int) -> float:
    """Roundings that a term of a sum over columns goes through."""
    return columns / 16 + 5


def check(found: np.ndarray, expected: Float64, bound: Float64 | float) -> None:
    """`found` is within `bound` of `expected`, entry by entry; a tenth more for second-order terms."""
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    excess = np.abs(found - expected) - 1.1 * np.asarray(bound)
    assert excess.max(initial=-1) <= 0, f"above the bound by {excess.max()}, error {np.abs(found - expected).max()}"


def both_references(case: RowsProgram, expected: Float64) -> Float64:
    """`expected`, after the reference interpreter agreed with it."""
    np.testing.assert_allclose(case.reference(), expected, rtol=1e-12, atol=1e-14)
    return expected


@pytest.mark.parametrize("columns", COLUMNS)
def test_lookup_hands_rows_on_unchanged(columns: int) -> None:
    x = normal(rng(columns), ROWS, columns)
    case = RowsProgram(x, lengths=LENGTHS)
    case.output_is(case.inputs[0])
    assert case.core().tobytes() == x.tobytes()


def test_lookup_of_types() -> None:
    table = normal(rng(3), 5, 17)
    case = RowsProgram(normal(rng(4), ROWS, 1), lengths=LENGTHS)
    case.output_is(case.program.op("lookup", 0, name="types", index="type", offset=2, table=table))
    case.program.instructions.pop(0)
    case.output_is(1)
    model = core_model(case.program)
    assert model.types_count == 3
    types = rng(5).integers(0, 3, ROWS).astype(np.int32)
    offsets = offsets_of(LENGTHS)
    typed = reference.run(case.program, case.ids, offsets, "token_embeddings", types=types)
    np.testing.assert_array_equal(typed, table[2 + types])
    assert model.run(case.ids, offsets, "token_embeddings", types=types).tobytes() == table[2 + types].tobytes()
    assert case.core().tobytes() == table[np.full(ROWS, 2)].tobytes()
    np.testing.assert_array_equal(case.reference(), table[np.full(ROWS, 2)])


@pytest.mark.parametrize("columns", COLUMNS)
def test_add_is_one_rounding(columns: int) -> None:
    a, b = normal(rng(columns), ROWS, columns), normal(rng(columns, 1), ROWS, columns)
    case = RowsProgram(a, b, lengths=LENGTHS)
    case.op("add")
    assert case.core().tobytes() == (a + b).tobytes()


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("mean", [0.0, 30.0])
@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_norm(columns: int, mean: float, kind: str) -> None:
    random = rng(columns)
    x = (normal(random, ROWS, columns) + np.float32(mean)).astype(np.float32)
    weight, bias, epsilon = normal(random, columns), normal(random, columns), np.float32(1e-3)
    case = RowsProgram(x, lengths=LENGTHS)
    case.op("norm", weight=weight, bias=bias, kind=kind, epsilon=float(epsilon))

    wide = x.astype(np.float64)
    m = wide.mean(axis=1, keepdims=True) if kind == "layer" else np.zeros((ROWS, 1))
    d = wide - m
    variance = (d * d).mean(axis=1, keepdims=True)
    length = np.sqrt(variance + epsilon)
    expected = both_references(case, d / length * weight + bias)

    # The mean, then d = x − m; d² has twice d's relative error, and r = 1 / sqrt(v + ε) half of v's.
    mean_error = (depth(columns) + 1) * UNIT * np.abs(wide).mean(axis=1, keepdims=True) if kind == "layer" else 0.0
    d_error = mean_error + UNIT * np.abs(d)
    v_error = 2 * (np.abs(d) * d_error).mean(axis=1, keepdims=True) + (d_error**2).mean(axis=1, keepdims=True)
    v_error = v_error + (depth(columns) + 2) * UNIT * (variance + epsilon)
    r_error = 0.5 * v_error / (variance + epsilon) + 2 * UNIT
    bound = np.abs(weight) / length * (d_error + np.abs(d) * (r_error + UNIT)) + UNIT * np.abs(expected)
    check(case.core(), expected, bound)


@pytest.mark.parametrize("columns", COLUMNS)
def test_normalize(columns: int) -> None:
    x = normal(rng(columns), ROWS, columns)
    x[3] = 0
    x[4] *= np.float32(1e-10)
    case = RowsProgram(x, lengths=LENGTHS)
    case.op("normalize", epsilon=1e-6)
    length = np.sqrt((x.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    expected = both_references(case, x / np.maximum(length, np.float32(1e-6)))
    # The sum's relative error, halved by the root, then the root's own and the quotient's.
    check(case.core(), expected, (depth(columns) / 2 + 2) * UNIT * np.abs(expected))


POOLS: dict[str, Callable[[Float64], Float64]] = {
    "mean": lambda rows: rows.sum(axis=0) / len(rows),
    "sum": lambda rows: rows.sum(axis=0),
    "mean_sqrt": lambda rows: rows.sum(axis=0) / math.sqrt(len(rows)),
    "weighted_mean": lambda rows: (
        (np.arange(1, len(rows) + 1)[:, None] * rows).sum(axis=0) / (len(rows) * (len(rows) + 1) / 2)
    ),
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
    "max": lambda rows: rows.max(axis=0),
}


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("kind", sorted(POOLS))
def test_pool(columns: int, kind: str) -> None:
    x = normal(rng(columns), ROWS, columns)
    case = RowsProgram(x, lengths=LENGTHS)
    case.op("pool", kind=kind)
    expected, bound = np.zeros((2, len(LENGTHS), columns))
    for item, part in enumerate(PARTS):
        rows = x[part].astype(np.float64)
        if len(rows) == 0:
            continue
        expected[item] = POOLS[kind](rows)
        if kind not in ("first", "last", "max"):
            bound[item] = (len(rows) + 2) * UNIT * POOLS[kind](np.abs(rows))
    check(case.core(), both_references(case, expected), bound)


@pytest.mark.parametrize("kind", sorted(POOLS))
def test_pool_of_spans(kind: str) -> None:
    """Against pooling texts that are those rows: the same bits. The program's own kind is another."""
    x = normal(rng(8), ROWS, 50)
    case = RowsProgram(x, lengths=LENGTHS)
    case.op("pool", kind="mean" if kind == "first" else "first")
    offsets = offsets_of(LENGTHS)
    spans = np.array(
        [[i, j] for part in PARTS for i in range(part.start, part.stop) for j in range(i + 1, part.stop + 1)]
    )
    found = core_model(case.program, 2).run(case.ids, offsets, "sentence_embedding", spans=spans, pooling=kind)

    parts = RowsProgram(x, lengths=LENGTHS)
    parts.op("pool", kind=kind)
    rows = np.concatenate([np.arange(begin, end) for begin, end in spans.tolist()]).astype(np.int32)
    alone = core_model(parts.program).run(
        rows, offsets_of([end - begin for begin, end in spans.tolist()]), "sentence_embedding"
    )
    assert found.tobytes() == alone.tobytes()
    expected = np.array([POOLS[kind](x[begin:end].astype(np.float64)) for begin, end in spans.tolist()])
    made = reference.run(case.program, case.ids, offsets, spans=spans, pooling=kind)
    np.testing.assert_allclose(made, expected, rtol=1e-12, atol=1e-14)


ACTIVATIONS: dict[str, Callable[[Float64], Float64]] = {
    "none": lambda x: x,
    "relu": lambda x: np.where(x > 0, x, 0),
    "gelu": lambda x: x * 0.5 * np.vectorize(math.erfc)(-x / math.sqrt(2)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "log1p_relu": lambda x: np.log1p(np.where(x > 0, x, 0)),
}


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activate(activation: str) -> None:
    x = normal(rng(50), ROWS, 50, scale=3.0)
    case = RowsProgram(x, lengths=LENGTHS)
    case.op("activate", activation=activation)
    expected = both_references(case, ACTIVATIONS[activation](x.astype(np.float64)))
    measure = np.abs(x) if "gelu" in activation else np.abs(expected)
    check(case.core(), expected, ACTIVATION_ERRORS[activation] * measure)


@pytest.mark.parametrize("columns", [1, 50, 1000])
def test_pool_of_columns_that_never_lie_in_memory(columns: int) -> None:
    x, weight, bias = normal(rng(columns), ROWS, 17), normal(rng(1), columns, 17), normal(rng(2), columns)
    case = RowsProgram(x, lengths=LENGTHS)
    case.op("pool", case.op("linear", weight=weight, bias=bias), kind="max")
    terms = np.abs(x.astype(np.float64)) @ np.abs(weight).T + np.abs(bias)
    products = x.astype(np.float64) @ weight.astype(np.float64).T + bias
    expected, bound = np.zeros((2, len(LENGTHS), columns))
    for item, part in enumerate(PARTS):
        if part.stop > part.start:
            expected[item], bound[item] = products[part].max(axis=0), (17 + 1) * UNIT * terms[part].max(axis=0)
    check(case.core(), both_references(case, expected), bound)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("k", "n"), [(1, 1), (17, 50), (100, 33), (384, 16)])
@pytest.mark.parametrize("residual", [False, True])
def test_linear_float32(activation: str, k: int, n: int, residual: bool) -> None:
    random = rng(k, n)
    x, r = normal(random, ROWS, k), normal(random, ROWS, n)
    weight, bias = normal(random, n, k, scale=2 / math.sqrt(k)), normal(random, n)
    case = RowsProgram(x, *([r] if residual else []), lengths=LENGTHS)
    case.op("linear", weight=weight, bias=bias, activation=activation)

    wide, w = x.astype(np.float64), weight.astype(np.float64)
    before = wide @ w.T + bias
    activated = ACTIVATIONS[activation](before)
    expected = both_references(case, activated + r if residual else activated)

    # k fused multiply-adds and the bias; then what the activation makes of that, its own error, and the residual.
    bound = STEEPEST * (k * UNIT * (np.abs(wide) @ np.abs(w).T) + UNIT * np.abs(before))
    own = np.abs(before) if activation.startswith("gelu") else np.abs(activated)
    bound += ACTIVATION_ERRORS[activation] * own + UNIT * np.abs(expected)
    check(case.core(), expected, bound)


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(1, 1, 1), (3, 0, 10), (2, 2, 16), (1, 0, 64), (6, 2, 10)])
@pytest.mark.parametrize("sharpness", [1.0, 6.0])
@pytest.mark.parametrize(("mask", "window"), [("none", 0), ("none", 6), ("causal", 0), ("causal", 6)])
@pytest.mark.parametrize("biased", [False, True])
def test_attention_float32(
    heads: int, kv_heads: int, head_dim: int, sharpness: float, mask: str, window: int, *, biased: bool
) -> None:
    width, kv, scale = heads * head_dim, kv_heads or heads, np.float32(1 / math.sqrt(head_dim))
    x = normal(rng(heads, head_dim), ROWS, width + 2 * kv * head_dim)
    x[:, : width + kv * head_dim] *= np.float32(sharpness)
    case = RowsProgram(x, lengths=LENGTHS)
    bias = normal(rng(heads, 1), heads, 2 * max(LENGTHS) - 1, scale=2) if biased else None
    operands = {"heads": heads, "scale": float(scale), "precision": "float32", "mask": mask, "window": window}
    case.op("attention", bias=bias, kv_heads=kv_heads, **operands)

    expected, bound = np.zeros((2, ROWS, width))
    for part in PARTS:
        tokens = part.stop - part.start
        for head in range(heads if tokens else 0):
            columns = slice(head * head_dim, (head + 1) * head_dim)
            shared = head // (heads // kv)
            q, k, v = (
                x[part, at * head_dim : (at + 1) * head_dim].astype(np.float64)
                for at in (head, heads + shared, heads + kv + shared)
            )
            scores = q @ k.T * scale
            distance = np.arange(tokens) - np.arange(tokens)[:, None]
            if bias is not None:
                scores += bias[head, max(LENGTHS) - 1 + distance]
            seen = (distance <= 0 if mask == "causal" else True) & (np.abs(distance) <= (window or tokens))
            scores[~seen] = -np.inf
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            expected[part, columns] = p @ v
            # Each score, the greatest of its row, their difference; exp; then sums over keys of p and of p·v.
            score = (head_dim + 2) * UNIT * (np.abs(q) @ np.abs(k).T * scale) + UNIT * np.abs(scores)
            score = np.where(seen, score, 0)
            far = np.where(seen, UNIT * np.abs(scores - scores.max(axis=1, keepdims=True)), 0)
            relative = score + score.max(axis=1, keepdims=True) + far + 1.2e-7
            worst = (2 * relative.max(axis=1, keepdims=True)) + (tokens + depth(tokens) + 2) * UNIT
            bound[part, columns] = worst * (p @ np.abs(v))
    check(case.core(), both_references(case, expected), bound)


def test_every_op_is_tested_here_or_beside() -> None:
    """A new op wants its own numeric test; this list is where one notices."""
    of_images = {each.op for make in MADE.values() for each in make("int8").instructions}  # test_image_programs.py
    of_texts = {"lookup", "add", "norm", "linear", "attention", "pool", "normalize", "activate"}
    beside = {"head_norm"}  # test_head_ops.py
    assert set(reference.OPS) == of_texts | beside | of_images
