"""Matrix products: with a constant a linear layer, of two values of the data the two halves of attention."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from embedrt_convert.onnx_graph.flow import Flow, Inputs, handles
from embedrt_convert.onnx_graph.flow_math import settled
from embedrt_convert.onnx_graph.flow_move import data, reshaped
from embedrt_convert.onnx_graph.flow_reduce import reduced
from embedrt_convert.onnx_graph.forms import (
    Array,
    Form,
    Index,
    NotUnderstoodError,
    add,
    broadcast,
    canonical,
    flat,
    moved,
    scaled,
    view,
)
from embedrt_convert.onnx_graph.graph import Node
from embedrt_convert.onnx_graph.terms import Attention, Linear, Scores, Softmax


@handles("MatMul")
def _matmul(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    a, b = data(inputs), data(inputs, 1)
    if b.known:
        return [times_constant(node, a, b.numbers())]
    if a.known:
        # Wᵀ·x, columns first: the same layer of the transposed value.
        if len(a.shape) < 2 or len(b.shape) < 2:
            raise NotUnderstoodError("a product of a constant and a vector")
        turned = times_constant(node, _swapped(b), np.swapaxes(a.numbers(), -1, -2))
        return [_swapped(turned)]
    return [product(node, a, b)]


@handles("Gemm")
def _gemm(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    a, b = data(inputs), data(inputs, 1)
    if node.attributes.get("transA", 0):
        a = _swapped(a)
    if not b.known:
        raise NotUnderstoodError("the weight depends on the data")
    weight = b.numbers()
    made = linear(node, a, weight.T if node.attributes.get("transB", 0) else weight)
    made = scaled(made, np.array(float(node.attributes.get("alpha", 1.0))))
    if len(inputs) > 2 and inputs[2] is not None:
        made = add(made, scaled(data(inputs, 2), np.array(float(node.attributes.get("beta", 1.0)))))
    return [made]


@handles("Einsum")
def _einsum(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    equation = node.attributes["equation"].decode().replace(" ", "")
    operands, _, out = equation.partition("->")
    labels = operands.split(",")
    if len(labels) != 2 or "..." in equation or not out or any(len(set(each)) != len(each) for each in labels):
        raise NotUnderstoodError(f"the equation {equation}")
    left, right = labels
    a, b = data(inputs), data(inputs, 1)
    extents = {**dict(zip(left, a.shape, strict=True)), **dict(zip(right, b.shape, strict=True))}
    groups = [label for label in out if label in left and label in right]
    summed = [label for label in left if label in right and label not in out]
    rows = [label for label in left if label not in right]
    columns = [label for label in right if label not in left]
    if set(out) != {*groups, *rows, *columns}:
        raise NotUnderstoodError(f"the equation {equation}")

    def arranged(form: Form, labels: str, *order: list[str]) -> Form:
        turned = moved(form, lambda values: values.transpose([labels.index(each) for axis in order for each in axis]))
        sizes = [extents[each] for each in groups] + [math.prod(extents[each] for each in axis) for axis in order[1:]]
        return reshaped(turned, sizes)

    a, b = arranged(a, left, groups, rows, summed), arranged(b, right, groups, summed, columns)
    if b.known and math.prod(extents[each] for each in groups) == 1:
        made = times_constant(node, a, b.numbers().reshape(b.shape[-2:]))
    elif a.known and math.prod(extents[each] for each in groups) == 1:
        made = _swapped(times_constant(node, _swapped(b), a.numbers().reshape(a.shape[-2:]).T))
    else:
        made = product(node, a, b)
    order = [*groups, *rows, *columns]
    whole = reshaped(made, [extents[each] for each in order])
    return [moved(whole, lambda values: values.transpose([order.index(each) for each in out]))]


def _swapped(form: Form) -> Form:
    return moved(form, lambda values: np.swapaxes(values, -1, -2))


def times_constant(node: Node, x: Form, weight: Array) -> Form:
    """x [..., K] · weight [K, N]: a layer of its columns, or, for one weight for each row, a pooling of its rows."""
    try:
        return linear(node, x, weight)
    except NotUnderstoodError:
        if weight.size != x.shape[-1] or weight.shape[-1] != 1:
            raise
    return reduced(node, "sum", scaled(settled(node, x), weight.reshape(-1)), [-1], keep=True)


def linear(node: Node, x: Form, weight: Array) -> Form:
    """x [..., K] · weight [K, N]."""
    if weight.ndim > 2 and set(weight.shape[:-2]) == {1}:
        x = reshaped(x, (1,) * (weight.ndim - len(x.shape)) + x.shape)
        weight = weight.reshape(weight.shape[-2:])
    if weight.ndim != 2 or len(x.shape) < 2:
        raise NotUnderstoodError(f"a product of {list(x.shape)} and a constant {list(weight.shape)}")
    (matrix,), layout = canonical(x)
    rows, columns = matrix.shape
    of_row, of_column = rows_and_columns(layout, columns)
    if not np.array_equal(np.sort(of_row, axis=None), np.arange(rows)):
        raise NotUnderstoodError("the rows of a product are not those of its operand")
    full = np.zeros((weight.shape[1], columns), np.float32)
    np.add.at(full.T, of_column, weight.astype(np.float32))
    n = weight.shape[1]
    term = Linear(rows=rows, columns=n, node=node, x=matrix, weight=full)
    index = of_row[..., None] * n + np.arange(n, dtype=np.int32)
    return view(term, flat(index.shape) if np.array_equal(index, flat(index.shape)) else index.astype(np.int32))


def rows_and_columns(layout: Index, columns: int) -> tuple[Index, Index]:
    """The row of each line of a layout [..., K], and the columns of its elements [K], the same for each line."""
    row, column = layout // columns, layout % columns
    lines = column.reshape(-1, column.shape[-1])
    if not np.all(row == row[..., :1]) or not np.all(lines == lines[:1]):
        raise NotUnderstoodError("the lines of a product are no rows of its operand")
    return row[..., 0], lines[0]


def product(node: Node, a: Form, b: Form) -> Form:
    """a [..., m, k] · b [..., k, n], both of the data."""
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise NotUnderstoodError("a product of vectors of the data")
    groups = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (broadcast(each, (*groups, *each.shape[-2:])) for each in (a, b))
    source = softmax_of(a)
    return _scores(node, a, b, groups) if source is None else _mixed(node, source, a, b, groups)


def softmax_of(form: Form) -> Softmax | None:
    part = form.plain
    return part.term if part is not None and isinstance(part.term, Softmax) else None


def _scores(node: Node, q: Form, kt: Form, groups: tuple[int, ...]) -> Form:
    q, k = _in_heads(q), _in_heads(_swapped(kt))
    (queries,), q_layout = canonical(q)
    (keys,), k_layout = canonical(k)
    term = Scores(
        rows=q.shape[0] * q.shape[1],
        columns=k.shape[1],
        node=node,
        q=queries,
        k=keys,
        q_columns=_columns_of_heads(q_layout, queries),
        k_columns=_columns_of_heads(k_layout, keys),
    )
    return view(term, flat((*groups, q.shape[1], k.shape[1])))


def _mixed(node: Node, softmax: Softmax, p: Form, v: Form, groups: tuple[int, ...]) -> Form:
    p, v = _in_heads(p), _in_heads(v)
    heads, queries, keys = p.shape
    block = queries * keys
    first = p.parts[0].index[:, 0, 0].astype(np.int64)
    if not np.array_equal(p.parts[0].index, first[:, None, None] + flat((queries, keys))) or np.any(first % block):
        raise NotUnderstoodError("a softmax is reordered before its product with values")
    (values,), layout = canonical(v)
    columns = _columns_of_heads(layout, values)
    width = columns.shape[1]
    term = Attention(
        rows=queries,
        columns=heads * width,
        node=node,
        softmax=softmax,
        heads=first // block,
        v=values,
        v_columns=columns,
    )
    index = np.arange(queries)[None, :, None] * (heads * width) + np.arange(heads)[:, None, None] * width
    index = (index + np.arange(width)).reshape(*groups, queries, width).astype(np.int32)
    return view(term, index)


def _in_heads(form: Form) -> Form:
    """[..., rows, columns] as [heads, rows, columns]."""
    return moved(form, lambda values: values.reshape(-1, *values.shape[-2:]))


def _columns_of_heads(layout: Index, matrix: Form) -> Index:
    """[heads, d]: which columns of a matrix each head has; the rows must be its rows, in order."""
    rows, columns = matrix.shape
    if layout.shape[1] != rows or not np.array_equal(
        layout // columns, np.broadcast_to(np.arange(rows)[:, None], layout.shape)
    ):
        raise NotUnderstoodError("heads that do not have all rows of an item, in order")
    of_heads = layout % columns
    if not np.all(of_heads == of_heads[:, :1]):
        raise NotUnderstoodError("heads whose columns differ from row to row")
    result: Index = of_heads[:, 0]
    return result
