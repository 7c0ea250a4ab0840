"""Nodes that only move elements: followed with index arrays, whatever they do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from embedrt._extras import extra
from embedrt_convert.onnx_graph.flow import Flow, Inputs, handles
from embedrt_convert.onnx_graph.forms import Array, Form, NotUnderstoodError, check_size, concatenated, flat, moved
from embedrt_convert.onnx_graph.graph import Node

with extra("onnx"):
    from onnx import TensorProto

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


def data(inputs: Inputs, place: int = 0) -> Form:
    """The input at a place where there must be one."""
    form = inputs[place] if place < len(inputs) else None
    if form is None:
        raise NotUnderstoodError(f"input {place} is missing")
    return form


def numbers(inputs: Inputs, place: int) -> Array | None:
    """The value of an input that the data must not decide, or None where it is left out."""
    form = inputs[place] if place < len(inputs) else None
    if form is None:
        return None
    if not form.known:
        raise NotUnderstoodError(f"input {place} depends on the data")
    return form.numbers()


def integers(node: Node, inputs: Inputs, place: int, name: str) -> list[int] | None:
    """What newer versions of an op take as an input and older ones as an attribute."""
    if name in node.attributes:
        return [int(each) for each in np.atleast_1d(node.attributes[name])]
    values = numbers(inputs, place)
    return None if values is None else [int(each) for each in np.atleast_1d(values)]


def axis_of(axis: int, rank: int) -> int:
    """An axis that may be counted from the end."""
    if not -rank <= axis < rank:
        raise NotUnderstoodError(f"there is no axis {axis} among {rank}")
    return axis % rank


def reshaped(form: Form, shape: Sequence[int]) -> Form:
    def move(values: Array) -> Array:
        made = values.reshape(shape)
        return flat(made.shape) if values is flat(values.shape) else made

    return moved(form, move)


@handles("Identity")
def _identity(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    return [data(inputs)]


@handles("Dropout")
def _dropout(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    training = numbers(inputs, 2)
    if training is not None and np.any(training):
        raise NotUnderstoodError("values are dropped at random, as in training")
    return [data(inputs)]


@handles("Cast")
def _cast(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    if node.attributes["to"] not in _FLOATS:
        raise NotUnderstoodError("values of the data become whole numbers, or ones of few bits")
    return [data(inputs)]


@handles("CastLike")
def _cast_like(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    like = data(inputs, 1)
    if like.known and np.asarray(like.offset).dtype.kind != "f":
        raise NotUnderstoodError("values of the data become whole numbers")
    return [data(inputs)]


@handles("Reshape")
def _reshape(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    shape = numbers(inputs, 1)
    assert shape is not None
    x = data(inputs)
    keep = not node.attributes.get("allowzero", 0)
    wanted = [
        x.shape[place] if extent == 0 and keep else int(extent) for place, extent in enumerate(np.atleast_1d(shape))
    ]
    return [reshaped(x, wanted)]


@handles("Flatten")
def _flatten(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    axis = int(node.attributes.get("axis", 1))
    axis += len(x.shape) * (axis < 0)
    return [reshaped(x, (math.prod(x.shape[:axis]), -1))]


@handles("Squeeze")
def _squeeze(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    axes = integers(node, inputs, 1, "axes")
    if axes is None:
        axes = [axis for axis, extent in enumerate(x.shape) if extent == 1]
    gone = {axis_of(axis, len(x.shape)) for axis in axes}
    return [reshaped(x, [extent for axis, extent in enumerate(x.shape) if axis not in gone])]


@handles("Unsqueeze")
def _unsqueeze(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    axes = integers(node, inputs, 1, "axes") or []
    rank = len(x.shape) + len(axes)
    new = {axis_of(axis, rank) for axis in axes}
    rest = iter(x.shape)
    return [reshaped(x, [1 if axis in new else next(rest) for axis in range(rank)])]


@handles("Transpose")
def _transpose(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    axes = node.attributes.get("perm")
    return [moved(data(inputs), lambda values: np.transpose(values, axes))]


@handles("Expand")
def _expand(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x, wanted = data(inputs), numbers(inputs, 1)
    assert wanted is not None
    shape = np.broadcast_shapes(x.shape, tuple(int(each) for each in wanted))
    return [x if shape == x.shape else moved(x, lambda values: np.broadcast_to(values, shape))]


@handles("Tile")
def _tile(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    repeats = numbers(inputs, 1)
    assert repeats is not None
    x, times = data(inputs), [int(each) for each in repeats]
    check_size((*x.shape, *times))
    return [moved(x, lambda values: np.tile(values, times))]


@handles("Slice")
def _slice(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    starts, ends = integers(node, inputs, 1, "starts") or [], integers(node, inputs, 2, "ends") or []
    axes = integers(node, inputs, 3, "axes") or list(range(len(starts)))
    steps = integers(node, inputs, 4, "steps") or [1] * len(starts)
    place = [slice(None)] * len(x.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        extent = x.shape[axis]
        # Backwards to before the first element has no number of its own in Python, nor has a start before it.
        stop = None if step < 0 and end < -extent else end
        place[axis] = slice(max(start, -extent), stop, step)
    return [moved(x, lambda values: values[tuple(place)])]


@handles("Split")
def _split(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    axis = int(node.attributes.get("axis", 0))
    sizes = integers(node, inputs, 1, "split")
    if sizes is None:
        each = -(-x.shape[axis] // len(node.outputs))
        sizes = [min(each, x.shape[axis] - each * number) for number in range(len(node.outputs))]
    ends = np.cumsum(sizes)
    return [
        moved(x, lambda values, a=int(end) - size, b=int(end): np.take(values, range(a, b), axis))  # type: ignore[misc]
        for end, size in zip(ends, sizes, strict=True)
    ]


@handles("Gather")
def _gather(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    index = numbers(inputs, 1)
    x = data(inputs)
    axis = axis_of(int(node.attributes.get("axis", 0)), len(x.shape))
    assert index is not None
    check_size((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))
    return [moved(x, lambda values: np.take(values, np.asarray(index, np.int64), axis))]


@handles("GatherND")
def _gather_nd(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    if node.attributes.get("batch_dims", 0):
        raise NotUnderstoodError("batch_dims is not supported")
    index = numbers(inputs, 1)
    assert index is not None
    return [moved(data(inputs), lambda values: values[tuple(np.moveaxis(index, -1, 0))])]


@handles("GatherElements")
def _gather_elements(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    index = numbers(inputs, 1)
    assert index is not None
    axis = int(node.attributes.get("axis", 0))
    return [moved(data(inputs), lambda values: np.take_along_axis(values, index, axis))]


@handles("Concat")
def _concat(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    forms = [form for form in inputs if form is not None]
    filled = [form for form in forms if np.prod(form.shape)]
    return [concatenated(filled, axis_of(int(node.attributes["axis"]), len(forms[0].shape)))]


@handles("Pad")
def _pad(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    sizes = integers(node, inputs, 1, "pads") or []
    if node.attributes.get("mode", b"constant") != b"constant" or min(sizes) < 0:
        raise NotUnderstoodError("only padding with a constant is supported")
    value = numbers(inputs, 2)
    filler = float(node.attributes.get("value", 0.0)) if value is None else float(value.reshape(-1)[0])
    axes = integers(node, inputs, 3, "axes") or list(range(len(x.shape)))
    widths = [(0, 0)] * len(x.shape)
    for place, axis in enumerate(axes):
        widths[axis] = (sizes[place], sizes[place + len(axes)])
    if not any(before or after for before, after in widths):
        return [x]
    check_size(tuple(extent + sum(width) for extent, width in zip(x.shape, widths, strict=True)))
    return [padded(x, widths, filler)]


def padded(form: Form, widths: list[tuple[int, int]], filler: float) -> Form:
    """With places around it where only `filler` is."""
    for axis, sizes in enumerate(widths):
        before, after = (
            [Form((*form.shape[:axis], size, *form.shape[axis + 1 :]), (), np.array(filler))] if size else []
            for size in sizes
        )
        form = concatenated([*before, form, *after], axis)
    return form
