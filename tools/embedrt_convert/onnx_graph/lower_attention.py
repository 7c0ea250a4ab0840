"""Attention to a program: q, k and v of one value side by side, whatever layers, scales and rotations made them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.onnx_graph.forms import ABSENT, ZERO, Array, Form, Index, Part, add, is_scalar, scalar, scaled
from embedrt_convert.onnx_graph.lower import Lowering, RefusedError, Vector, column, columns_of, expanded, op, operand
from embedrt_convert.onnx_graph.lower_grids import activated_grid, gate_of_rows
from embedrt_convert.onnx_graph.recognise import equal, in_place
from embedrt_convert.onnx_graph.terms import Activation, Affine, Attention, Elementwise, Linear, Scores

_MASKED = -1e4  # what is added to scores that do not count; of float16 graphs it may be no less


@dataclass(frozen=True)
class Heads:
    """Rows of a layer of `linear.x` for each head: weight [heads, d, K], bias [heads, d], times `scale`.

    `cos` and `sin` [positions, d] turn column j of the first half with column j of the second; `order` says which
    columns of the graph's these are.
    """

    linear: Linear
    columns: NDArray[np.int64]  # [heads, d], of the linear layer
    factor: NDArray[np.float64]  # [heads, d]
    bias: NDArray[np.float64]  # [heads, d]
    scale: float
    cos: NDArray[np.float32] | None = None
    sin: NDArray[np.float32] | None = None
    order: tuple[int, ...] = ()


@op(Attention)
def _attention(lowering: Lowering, term: Attention) -> int:
    scores, factor, bias = _of_scores(term)
    q = _heads(term, scores.q, scores.q_columns[term.heads])
    k = _heads(term, scores.k, scores.k_columns[term.heads])
    v = _unscaled(_heads(term, term.v, term.v_columns))
    if not (q.linear.x is k.linear.x is v.linear.x) and not (
        equal(q.linear.x, k.linear.x) and equal(q.linear.x, v.linear.x)
    ):
        raise RefusedError(term.node, "queries, keys and values are of different values: attention between two inputs")
    if q.columns.shape != v.columns.shape or v.cos is not None:
        raise RefusedError(term.node, "values have other columns than queries")
    group = _group(k, v)
    k, v = (_every(each, group) for each in (k, v))
    heads: dict[str, Any] = {"heads": len(q.columns), "kv_heads": len(k.columns) if group > 1 else 0}
    weights, biases = [], []
    x = None
    for each in (q, k, v):
        x, weight, shift = operand(lowering, each.linear)
        columns, factors = each.columns.reshape(-1), each.factor.reshape(-1)
        weights.append(weight[columns] if np.all(factors == 1) else weight[columns] * factors[:, None])
        biases.append(each.bias.reshape(-1) + factors * shift[columns])
    assert x is not None
    value = lowering.program.op(
        "linear",
        x,
        name=lowering.name("qkv", term),
        weight=np.concatenate(weights).astype(np.float32),
        bias=np.concatenate(biases).astype(np.float32),
    )
    if (q.cos is None) != (k.cos is None):
        raise RefusedError(term.node, "only one of queries and keys is rotated")
    if q.order != k.order:
        raise RefusedError(term.node, "columns of queries are rotated in other pairs than those of keys")
    if q.cos is not None and q.sin is not None and k.cos is not None and k.sin is not None:
        if not (np.allclose(q.cos, k.cos, atol=1e-6) and np.allclose(q.sin, k.sin, atol=1e-6)):
            raise RefusedError(term.node, "queries and keys are rotated by different angles")
        value = lowering.program.op("rope", value, name=lowering.name("rope", term), cos=q.cos, sin=q.sin, **heads)
    extra: dict[str, Any] = _positions(term, bias[term.heads])
    scale = _exact(factor * q.scale * k.scale, q.columns.shape[1])
    return lowering.program.op("attention", value, scale=scale, precision="float32", **heads, **extra)


def _group(k: Heads, v: Heads) -> int:
    """How many queries next to each other, everywhere alike, see the same keys and values."""
    made = np.concatenate([part for each in (k, v) for part in (each.columns, each.factor, each.bias)], axis=1)
    sizes = (size for size in range(len(made), 0, -1) if len(made) % size == 0)
    return next(size for size in sizes if np.array_equal(made, np.repeat(made[::size], size, axis=0)))


def _every(heads: Heads, group: int) -> Heads:
    """The first head of each group."""
    return replace(heads, columns=heads.columns[::group], factor=heads.factor[::group], bias=heads.bias[::group])


def _exact(scale: float, width: int) -> float:
    """The usual scale, 1 / √width, where a product of float32 numbers is it but for its last digits."""
    usual = 1 / float(np.sqrt(width))
    return usual if abs(scale / usual - 1) < 1e-6 else scale


def _of_scores(term: Attention) -> tuple[Scores, float, NDArray[np.float64]]:
    """The scores, their factor, and what is added to them [heads, queries, keys]: -inf where they do not count."""
    form = flattened(term.softmax.x)
    if len(form.parts) != 1 or not isinstance(form.parts[0].term, Scores):
        raise RefusedError(term.node, "a softmax of something else than products of queries and keys")
    part = form.parts[0]
    scores = part.term
    assert isinstance(scores, Scores)
    if scores.rows != len(scores.q_columns) * scores.columns:
        raise RefusedError(term.node, "queries are of other tokens than keys")
    if form.shape != (scores.rows, scores.columns) or not np.array_equal(
        part.index, np.arange(scores.rows * scores.columns).reshape(form.shape)
    ):
        raise RefusedError(term.node, "scores are reordered before the softmax")
    factors = np.broadcast_to(part.factor, form.shape)
    added = np.broadcast_to(form.offset, form.shape).astype(np.float64)
    masked = added <= _MASKED
    if not np.isfinite(added[~masked]).all():
        raise RefusedError(term.node, "numbers are added to scores that are not finite")
    kept = factors[~masked]
    if kept.size == 0 or kept[0] == 0 or not np.all(kept == kept[0]):
        raise RefusedError(term.node, "scores are scaled unequally")
    bias = np.where(masked, -np.inf, added)
    heads = len(scores.q_columns)
    return scores, float(kept[0]), bias.reshape(heads, -1, scores.columns)


def _positions(term: Attention, bias: NDArray[np.float64]) -> dict[str, Any]:
    """The attributes and the tensor of a mask and of a bias by distance."""
    length = bias.shape[1]
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]  # key - query
    counts = np.isfinite(bias[0])
    if not np.all(np.isfinite(bias) == counts):
        raise RefusedError(term.node, "heads have different masks")
    if not np.all(np.diagonal(counts)):
        raise RefusedError(term.node, "tokens are masked from themselves")
    found: dict[str, Any] = {}
    after = int(distance[counts].max())
    before = int(-distance[counts].min())
    if not np.array_equal(counts, (distance <= after) & (-distance <= before)):
        raise RefusedError(term.node, "a mask that is neither full, causal nor a window")
    if after == 0 and length > 1:
        found["mask"] = "causal"
    window = before if after == 0 else after
    if window == 0 and length > 1:
        raise RefusedError(term.node, "every token is masked from all others")
    if after not in (0, before):
        raise RefusedError(term.node, "a window that reaches further to one side than to the other")
    if window < length - 1:
        found["window"] = window
    table = _by_distance(bias, counts, distance)
    if table is None:
        # What is added to all scores of a query changes no softmax: the bias for the query itself is 0.
        table = _by_distance(bias - np.diagonal(bias, axis1=1, axis2=2)[:, :, None], counts, distance)
    if table is None:
        raise RefusedError(term.node, "a bias that does not depend on the distance alone")
    if np.any(table):
        found["bias"] = table.astype(np.float32)
    return found


def _by_distance(bias: Array, counts: Array, distance: Array) -> NDArray[np.float64] | None:
    """[heads, 2 · length - 1]: one of the numbers that count along each diagonal; None where they differ by more than
    rounding.
    """
    length = bias.shape[1]
    table = np.zeros((len(bias), 2 * length - 1))
    for head, of_head in enumerate(bias):
        table[head, (distance + length - 1)[counts]] = of_head[counts]
    expected = table[:, distance + length - 1]
    return table if np.allclose(expected[:, counts], bias[:, counts], rtol=1e-6, atol=1e-6) else None


def _heads(term: Attention, form: Form, columns: Index) -> Heads:
    """The layer that makes columns [heads, d] of a form."""
    form = flattened(form)
    sources = {part.term.number: part.term for part in form.parts}
    linear = next(iter(sources.values()), None)
    if len(sources) != 1 or not isinstance(linear, Linear) or len(form.parts) > 2:
        raise RefusedError(term.node, "queries, keys or values that no linear layer makes")
    rows = np.arange(form.shape[0])[:, None]
    for part in form.parts:
        if len(rows) != linear.rows or not np.all((part.index // linear.columns == rows) | (part.index == ABSENT)):
            raise RefusedError(term.node, "queries, keys or values of a token that are made of other tokens")
    if len(form.parts) == 2:
        return _rotated(term, form, linear, columns)
    (part,) = form.parts
    factor, bias = column(part.factor, form.shape), column(form.offset, form.shape)
    if factor is None or bias is None or np.any(part.index == ABSENT):
        raise RefusedError(term.node, "queries, keys or values that differ from row to row by more than their layer")
    scale = scalar(factor)
    if scale is not None and scale != 0:
        # One factor of all is the scale of the scores: the layer stays what it was.
        factor, bias = np.ones_like(factor), bias / scale
    else:
        scale = 1.0
    of = (part.index[0] % linear.columns).astype(np.int64)
    return Heads(linear, of[columns], factor[columns], bias[columns], scale)


def _unscaled(heads: Heads) -> Heads:
    """With the scale in the layer: that of values does not go with the scores."""
    return replace(heads, factor=heads.factor * heads.scale, bias=heads.bias * heads.scale, scale=1.0)


def flattened(form: Form) -> Form:
    """A form without affine terms: what they are sums of stands in their place."""
    while any(isinstance(part.term, Affine) for part in form.parts):
        made = Form(form.shape, (), form.offset)
        for part in form.parts:
            made = add(made, _inner(part, form.shape) if isinstance(part.term, Affine) else _alone(part, form.shape))
        form = made
    return form


def _alone(part: Part, shape: tuple[int, ...]) -> Form:
    return Form(shape, (part,), ZERO)


def _inner(part: Part, shape: tuple[int, ...]) -> Form:
    """An affine term's elements as what they are made of."""
    assert isinstance(part.term, Affine)
    x, there = part.term.x, part.index != ABSENT

    def of(values: Array, absent: float) -> Array:
        taken: Array = np.broadcast_to(values, x.shape).reshape(-1)[np.where(there, part.index, 0)]
        return np.where(there, taken, absent)

    parts = tuple(
        Part(each.term, of(each.index, ABSENT).astype(np.int32), of(each.factor, 0) * part.factor) for each in x.parts
    )
    return Form(shape, parts, of(x.offset, 0) * part.factor)


def _rotated(term: Attention, form: Form, linear: Linear, columns: Index) -> Heads:
    """x · cos + turned x · sin: of x and the partner of each column, with tables of any numbers."""
    whole = [part for part in form.parts if not np.any(part.index == ABSENT)]
    if not whole:
        raise RefusedError(term.node, "queries or keys of which no layer makes every column")
    # Where both parts are whole, the one whose columns are in order.
    straight = min(whole, key=lambda part: np.count_nonzero(np.diff(part.index[0]) != 1))
    other = next(part for part in form.parts if part is not straight)
    cos, sin = (np.broadcast_to(part.factor, form.shape)[:, columns] for part in (straight, other))  # [rows, heads, d]
    if not (np.all(cos == cos[:, :1]) and np.all(sin == sin[:, :1])):
        raise RefusedError(term.node, "heads are rotated by different angles")
    of = (straight.index[0] % linear.columns).astype(np.int64)
    # Rows that stand for the whole picture are not turned: there is nothing of the other part in them.
    partners = np.where(other.index == ABSENT, ABSENT, other.index % linear.columns)
    partner = partners.max(axis=0)
    if not np.all((partners == ABSENT) | (partners == partner)):
        raise RefusedError(term.node, "columns are rotated in no pairs")
    pairs = [_halves(term, of[each], partner[each], sin[:, 0]) for each in columns]
    order = pairs[0]
    if any(other != order for other in pairs):
        raise RefusedError(term.node, "heads are rotated in different pairs")
    columns, cos, sin = columns[:, order], cos[:, 0, order], sin[:, 0, order]
    # At position 0 nothing is turned: what all columns are multiplied by there is the scale of the scores.
    scale = None if np.any(sin[0]) else scalar(cos[0])
    scale = scale or 1.0
    cos, sin = cos / scale, sin / scale

    half = len(order) // 2
    signs = np.where(np.arange(len(order)) < half, -1.0, 1.0)
    bias = _turned_back(term, np.broadcast_to(form.offset, form.shape)[:, columns] / scale, cos, sin)
    # The op turns (a, b) into (a·cos - b·sin, b·cos + a·sin): the sign of the first half is its own.
    ones = np.ones(columns.shape)
    turned = cos.astype(np.float32), (sin * signs).astype(np.float32)
    return Heads(linear, of[columns], ones, bias, scale, *turned, tuple(order))


def _turned_back(term: Attention, offset: Array, cos: Array, sin: Array) -> NDArray[np.float64]:
    """The bias [heads, d] that a rotation turns into offset [rows, heads, d]."""
    half = cos.shape[1] // 2
    determinant = cos[0, :half] * cos[0, half:] - sin[0, :half] * sin[0, half:]
    first, second = offset[0, :, :half], offset[0, :, half:]
    if np.any(determinant == 0):
        raise RefusedError(term.node, "a rotation that is none")
    bias = np.concatenate(
        [
            (first * cos[0, half:] - second * sin[0, :half]) / determinant,
            (second * cos[0, :half] - first * sin[0, half:]) / determinant,
        ],
        axis=1,
    )
    turned = cos[:, None] * bias + sin[:, None] * np.roll(bias, half, axis=-1)
    if not np.allclose(turned, offset, rtol=1e-4, atol=1e-5):
        raise RefusedError(term.node, "a bias that is not rotated with its column")
    return bias


def _halves(term: Attention, of: NDArray[np.int64], partner: NDArray[np.int64], sin: Array) -> list[int]:
    """The columns of a head in the op's order: the first of each pair, then the second ones; those at rest last."""
    place = {int(each): j for j, each in enumerate(of)}
    partners = [place.get(int(each), ABSENT) for each in partner]
    still = [j for j in range(len(of)) if not np.any(sin[:, j])]
    first = [j for j, other in enumerate(partners) if j not in still and j < other]
    second = [partners[j] for j in first]
    middle = len(still) // 2
    order = first + still[:middle] + second + still[middle:]
    pairs = all(partners[b] == a for a, b in zip(first, second, strict=True))
    if not pairs or len(still) % 2 or sorted(order) != list(range(len(of))):
        raise RefusedError(term.node, "columns are rotated in no pairs")
    return order


@op(Activation)
def _activation(lowering: Lowering, term: Activation) -> int:
    value = lowering.activated(term.x, term.kind)
    if value is None:
        value = activated_grid(lowering, term.x, term.kind)
    if value is None:
        raise RefusedError(term.node, f"{term.kind} of something that no layer makes")
    return value


@op(Elementwise)
def _gated(lowering: Lowering, term: Elementwise) -> int:
    """An activation of one half times the other half: both layers of one value."""
    if term.op != "mul" or term.y is None:
        raise RefusedError(term.node, f"{term.op} is not part of an operation that the core has")
    if (gated := gate_of_rows(lowering, term)) is not None:
        return gated
    for gate, other in ((term.x, term.y), (term.y, term.x)):
        of_gate = gate.parts[0] if len(gate.parts) == 1 and is_scalar(gate.offset, 0) else None
        if of_gate is not None and isinstance(of_gate.term, Activation) and in_place(of_gate, gate):
            # A factor of the activation is one of the other half as well.
            kind, inner, other = of_gate.term.kind, of_gate.term.x, scaled(other, of_gate.factor)
        elif gate is term.y:
            kind, inner = "none", gate
        else:
            continue
        halves = [expanded(inner), expanded(other)]
        if all(len(half.parts) == 1 and isinstance(half.parts[0].term, Linear) for half in halves):
            return _glu(lowering, term, halves, kind)
    raise RefusedError(term.node, "a product of two values that are no halves of one layer")


def _glu(lowering: Lowering, term: Elementwise, halves: list[Form], kind: str) -> int:
    weights: list[Array] = []
    biases: list[Vector] = []
    x = None
    for half in halves:
        part = half.parts[0]
        linear = part.term
        assert isinstance(linear, Linear)
        factor, bias = column(part.factor, half.shape), column(half.offset, half.shape)
        columns = columns_of(part, half.shape)
        if factor is None or bias is None or columns is None:
            raise RefusedError(term.node, "halves that differ from row to row by more than their layer")
        value, weight, shift = operand(lowering, linear)
        if x is not None and value != x:
            raise RefusedError(term.node, "a product of layers of two values")
        x = value
        weights.append(weight[columns] * factor[:, None])
        biases.append(bias + factor * shift[columns])
    assert x is not None
    both = lowering.program.op(
        "linear",
        x,
        name=lowering.name("gated", term),
        weight=np.concatenate(weights).astype(np.float32),
        bias=np.concatenate(biases).astype(np.float32),
    )
    return lowering.program.op("glu", both, activation=kind)
