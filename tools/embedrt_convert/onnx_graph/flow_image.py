"""Nodes on grids of pixels: convolutions and pooling of windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedrt_convert.onnx_graph.flow import Flow, Inputs, handles
from embedrt_convert.onnx_graph.flow_move import data, numbers
from embedrt_convert.onnx_graph.flow_product import linear
from embedrt_convert.onnx_graph.flow_reduce import reduced
from embedrt_convert.onnx_graph.forms import (
    Array,
    Form,
    Index,
    NotUnderstoodError,
    add,
    canonical,
    known,
    moved,
    of_grid,
    view,
)
from embedrt_convert.onnx_graph.graph import Node
from embedrt_convert.onnx_graph.terms import Activation, Conv, MaxPool, Pixels
from embedrt_convert.onnx_graph.windows import Window, unpadded, window

_NOT_NEGATIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid")


@handles("Conv")
def _conv(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x, weight, bias = data(inputs), numbers(inputs, 1), numbers(inputs, 2)
    assert weight is not None
    groups = int(node.attributes.get("group", 1))
    if len(x.shape) != 4:
        return [_pointwise(node, x, weight, bias, groups)]
    x, padded = unpadded(x, 0.0)
    columns, matrix = _grid(x)
    of = window(node, _extent(x), weight.shape[2:], padded)
    squared = of.square(weight)
    # The core has depthwise convolutions of floats only, not of pixels.
    of_pixels = any(isinstance(part.term, Pixels) for part in matrix.parts)
    if groups == len(columns) == len(weight) > 1 and not of_pixels:
        order = np.argsort(columns)
        made = _term(node, of, matrix, squared[order], None if bias is None else bias[order], depthwise=True)
        places = of_grid(*of.size, made.columns)
        in_order = np.array_equal(columns, np.arange(len(columns)))
        return [view(made, places if in_order else np.take(places, columns, axis=1))]
    dense = squared if groups == 1 else _ungrouped(squared, groups)
    ordered = np.zeros_like(dense)
    ordered[:, columns] = dense
    made = _term(node, of, matrix, ordered, bias, depthwise=False)
    return [view(made, of_grid(*of.size, made.columns))]


def _term(node: Node, of: Window, x: Form, weight: Array, bias: Array | None, *, depthwise: bool) -> Conv:
    height, width = of.size
    return Conv(
        rows=height * width,
        columns=len(weight),
        node=node,
        x=x,
        weight=weight,
        bias=np.zeros(len(weight)) if bias is None else bias.astype(np.float64),
        stride=of.stride,
        pads=of.pads,
        depthwise=depthwise,
        height=of.extent[0],
        width=of.extent[1],
    )


def _extent(x: Form) -> tuple[int, int]:
    return x.shape[2], x.shape[3]


def _grid(x: Form) -> tuple[Index, Form]:
    """The column of each channel of a grid [1, C, h, w] in its matrix [h · w, C], and the matrix."""
    if x.shape[0] != 1:
        raise NotUnderstoodError("the batch has more than one picture")
    (matrix,), layout = canonical(x)
    _, channels, height, width = x.shape
    if layout is not of_grid(height, width, channels):
        columns = layout[0, :, 0, 0] % matrix.shape[1]
        lines = np.arange(height * width, dtype=np.int32).reshape(1, 1, height, width)
        if matrix.shape != (height * width, channels) or not np.array_equal(
            layout, lines * channels + columns[None, :, None, None]
        ):
            raise NotUnderstoodError("the places of a grid are not in the order of its rows")
        return columns, matrix
    return np.arange(channels, dtype=np.int32), matrix


def _ungrouped(weight: Array, groups: int) -> Array:
    """A convolution of groups of channels as one of all: zeros for the channels of the others."""
    n, channels = weight.shape[:2]
    dense = np.zeros((n, channels * groups, *weight.shape[2:]), np.float32)
    for group in range(groups):
        rows = slice(group * n // groups, (group + 1) * n // groups)
        dense[rows, group * channels : (group + 1) * channels] = weight[rows]
    return dense


def _pointwise(node: Node, x: Form, weight: Array, bias: Array | None, groups: int) -> Form:
    """A convolution of a sequence with a window of one: a linear layer of each row."""
    plain = {"pads": 0, "strides": 1}
    is_plain = all(set(node.attributes.get(name, [number])) == {number} for name, number in plain.items())
    if len(x.shape) != 3 or weight.shape[2:] != (1,) or groups != 1 or not is_plain:
        raise NotUnderstoodError(f"a convolution of a value of {len(x.shape)} axes")
    made = linear(node, moved(x, lambda values: np.swapaxes(values, 1, 2)), weight[:, :, 0].T)
    if bias is not None:
        made = add(made, known(bias))
    return moved(made, lambda values: np.swapaxes(values, 1, 2))


@handles("MaxPool")
def _max_pool(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    if len(node.outputs) > 1 and node.outputs[1]:
        raise NotUnderstoodError("where the greatest are is asked for, too")
    x = data(inputs)
    kernel = _kernel(node, x)
    x, padded = unpadded(x, _padding_of_maximum(x))
    columns, matrix = _grid(x)
    of = window(node, _extent(x), kernel, padded)
    if of.shape != (of.kernel, of.kernel) or of.dilations != (1, 1):
        raise NotUnderstoodError("a window that is not square, or has gaps")
    height, width = of.size
    made = MaxPool(
        rows=height * width,
        columns=len(columns),
        node=node,
        x=matrix,
        kernel=of.kernel,
        stride=of.stride,
        pads=of.pads,
        height=of.extent[0],
        width=of.extent[1],
    )
    places = of_grid(height, width, made.columns)
    in_order = np.array_equal(columns, np.arange(len(columns)))
    return [view(made, places if in_order else np.take(places, columns, axis=1))]


def _padding_of_maximum(x: Form) -> float:
    """What padding may hold: -inf, which the op has itself, or 0 where no value is less."""
    part = x.parts[0]
    if len(x.parts) == 1 and isinstance(part.term, Activation) and part.term.kind in _NOT_NEGATIVE:
        return 0.0
    return -np.inf


@handles("AveragePool")
def _average_pool(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x = data(inputs)
    kernel = _kernel(node, x)
    if kernel == x.shape[2:] and not any(node.attributes.get("pads", [0])):
        return [reduced(node, "mean", x, [2, 3], keep=True)]
    x, padded = unpadded(x, 0.0)
    columns, matrix = _grid(x)
    of = window(node, _extent(x), kernel, padded)
    if of.pads != padded and not node.attributes.get("count_include_pad", 0):
        raise NotUnderstoodError("means of windows that count their padding out")
    if node.attributes.get("ceil_mode", 0) and of.pads[2:] != (0, 0):
        raise NotUnderstoodError("means of windows that the end cuts off")
    weight = of.square(np.full((len(columns), 1, *kernel), 1 / np.prod(kernel), np.float32))
    made = _term(node, of, matrix, weight, None, depthwise=True)
    return [view(made, np.take(of_grid(*of.size, made.columns), columns, axis=1))]


def _kernel(node: Node, x: Form) -> tuple[int, int]:
    kernel = tuple(int(each) for each in node.attributes["kernel_shape"])
    if len(x.shape) != 4 or len(kernel) != 2:
        raise NotUnderstoodError(f"windows of {len(kernel)} axes")
    return kernel[0], kernel[1]
