"""Nodes that reduce: over a row's columns, which norms do, or over an item's rows, which is pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embedrt_convert.onnx_graph.flow import Flow, Inputs, handles
from embedrt_convert.onnx_graph.flow_math import power, product, row_reduce
from embedrt_convert.onnx_graph.flow_move import axis_of, data, integers, numbers, reshaped
from embedrt_convert.onnx_graph.forms import (
    ONE,
    Array,
    Form,
    NotUnderstoodError,
    add,
    canonical,
    is_scalar,
    known,
    scaled,
    view,
)
from embedrt_convert.onnx_graph.graph import Node
from embedrt_convert.onnx_graph.terms import Elementwise, Norm, Pool, Softmax

_KINDS = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceL2": "l2", "ReduceSumSquare": "square"}


@handles(*_KINDS)
def _reduce(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    axes = integers(node, inputs, 1, "axes")
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        raise NotUnderstoodError("a reduction over no axes")
    if not axes:
        axes = list(range(len(x.shape)))
    return [reduced(node, _KINDS[node.op], x, axes, keep=node.attributes.get("keepdims", 1) == 1)]


@handles("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    kind = "mean" if node.op == "GlobalAveragePool" else "max"
    return [reduced(node, kind, x, list(range(2, len(x.shape))), keep=True)]


def reduced(node: Node, kind: str, x: Form, axes: list[int], *, keep: bool) -> Form:
    """x reduced over axes: "mean", "sum", "max", "l2" or "square", the sum of squares."""
    rank = len(x.shape)
    gone = sorted({axis_of(axis, rank) for axis in axes})
    kept = [axis for axis in range(rank) if axis not in gone]
    shape = [1 if axis in gone else extent for axis, extent in enumerate(x.shape)]
    if not keep:
        shape = [x.shape[axis] for axis in kept]
    if all(x.shape[axis] == 1 for axis in gone) and kind in ("mean", "sum", "max"):
        return reshaped(x, shape)
    if kind in ("l2", "square"):
        total = reduced(node, "sum", power(node, x, 2.0), axes, keep=keep)
        return power(node, total, 0.5) if kind == "l2" else total

    (matrix,), layout = canonical(x)
    rows, columns = matrix.shape
    # [what is kept, what is reduced] -> the rows and columns of the matrix.
    flatter = layout.transpose(kept + gone).reshape(int(np.prod([x.shape[axis] for axis in kept])), -1)
    row, column = flatter // columns, flatter % columns
    if kind in ("mean", "sum", "max") and _covers(column, columns) and np.all(row == row[:, :1]):
        return view(row_reduce(node, kind, matrix), row[:, 0].reshape(shape))
    if np.all(column == column[:, :1]) and np.all(np.sort(row, axis=1) == np.sort(row[0])):
        first = int(row.min())
        if not _covers(row - first, rows - first):
            raise NotUnderstoodError("rows are pooled that do not reach to the last one")
        if kind == "sum" and first == 0 and (weighted := _weighted(matrix)) is not None:
            kind, matrix, factor = weighted
        else:
            factor = 1.0
        term = Pool(rows=1, columns=columns, node=node, kind=kind, x=matrix, skip=first)
        return scaled(view(term, column[:, 0].reshape(shape)), np.array(factor))
    raise NotUnderstoodError("the reduction is neither over whole rows nor over whole columns")


def _weighted(matrix: Form) -> tuple[str, Form, float] | None:
    """(kind, x, factor) of a sum of weighted rows: of equal weights, or of weights that grow as 1, 2, 3 …"""
    of_rows = np.broadcast_to(matrix.parts[0].factor, matrix.shape)
    if not np.all(of_rows == of_rows[:, :1]) or np.any(of_rows[:, 0] == 0):
        return None
    by = 1 / of_rows[:, :1]
    if is_scalar(by, 1):
        return None
    parts = tuple(replace(part, factor=np.broadcast_to(part.factor * by, matrix.shape)) for part in matrix.parts)
    # Up to rounding: what was multiplied by the weights was the same in all rows.
    settled = tuple(replace(part, factor=_of_all_rows(part.factor)) for part in parts)
    x = Form(matrix.shape, settled, _of_all_rows(np.broadcast_to(matrix.offset * by, matrix.shape)))
    weights = of_rows[:, 0]
    if np.allclose(weights, weights[0], rtol=1e-6):
        return "sum", x, float(weights[0])
    if np.allclose(weights, weights[0] * np.arange(1, len(weights) + 1), rtol=1e-6):
        return "weighted_mean", x, float(weights.sum())
    return None


def _of_all_rows(values: Array) -> Array:
    """One row in place of rows that are equal up to rounding."""
    if np.allclose(values, 1, rtol=1e-12, atol=0):
        return ONE
    one: Array = values[:1]
    return one if np.allclose(values, one, rtol=1e-6, atol=0) else values


def _covers(values: Array, count: int) -> bool:
    """Whether each line of values [n, count] is 0…count - 1 in some order."""
    return values.shape[1] == count and bool(np.all(np.sort(values, axis=1) == np.arange(count)))


@handles("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def _norm(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    axis = axis_of(int(node.attributes.get("axis", -1)), len(x.shape))
    (matrix,), layout = canonical(x)
    rows, columns = matrix.shape
    flatter = layout.reshape(int(np.prod(x.shape[:axis])), -1)
    if not _covers(flatter % columns, columns) or not np.all(flatter // columns == flatter[:, :1] // columns):
        raise NotUnderstoodError("the norm is not over the columns of rows")
    kind = "layer" if node.op == "LayerNormalization" else "rms"
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    term = Norm(rows=rows, columns=columns, node=node, kind=kind, x=matrix, epsilon=epsilon)
    weight, bias = numbers(inputs, 1), numbers(inputs, 2)
    form = scaled(view(term, layout), np.ones(()) if weight is None else weight)
    return [form if bias is None else add(form, known(bias))]


@handles("LpNormalization")
def _lp_normalization(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    if node.attributes.get("p", 2) != 2:
        raise NotUnderstoodError("p is not 2")
    x = data(inputs)
    length = reduced(node, "l2", x, [int(node.attributes.get("axis", -1))], keep=True)
    # Rows of zeros stay zeros: the op's own definition.
    (column,), layout = canonical(length)
    bound = Elementwise(rows=column.shape[0], columns=1, node=node, op="clip", x=column, low=1e-12)
    return [product(node, x, power(node, view(bound, layout), -1.0))]


@handles("Softmax")
def _softmax(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    axis = axis_of(int(node.attributes.get("axis", -1 if flow.graph.opset >= 13 else 1)), len(x.shape))
    if flow.graph.opset < 13 and axis != len(x.shape) - 1:
        raise NotUnderstoodError("a softmax over several axes")
    (matrix,), layout = canonical(x)
    rows, columns = matrix.shape
    last = np.moveaxis(layout, axis, -1).reshape(-1, x.shape[axis])
    if not np.array_equal(last, last[:, :1] // columns * columns + np.arange(columns)):
        raise NotUnderstoodError("the softmax is not over the columns of rows")
    return [view(Softmax(rows=rows, columns=columns, node=node, x=matrix), layout)]


@handles("BatchNormalization")
def _batch_norm(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    if node.attributes.get("training_mode", 0):
        raise NotUnderstoodError("means of the batch are taken, as in training")
    scale, shift, mean, variance = (np.asarray(numbers(inputs, place), np.float64) for place in range(1, 5))
    if variance.min() < 0:
        raise NotUnderstoodError("variances below 0")
    factor = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))
    columns = (1, -1) + (1,) * (len(x.shape) - 2)
    return [add(scaled(x, factor.reshape(columns)), known((shift - mean * factor).reshape(columns)))]
