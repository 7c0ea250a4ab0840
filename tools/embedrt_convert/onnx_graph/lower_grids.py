"""Terms on grids of pixels to a program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.archs import _conv
from embedrt_convert.builder import PIXELS
from embedrt_convert.inputs.checkpoint import Image
from embedrt_convert.onnx_graph.forms import Array, Form, Part
from embedrt_convert.onnx_graph.grids import is_vector, prefix_of
from embedrt_convert.onnx_graph.image_lowering import ImageLowering
from embedrt_convert.onnx_graph.lower import Lowering, RefusedError, Vector, column, layer, op, rows_of
from embedrt_convert.onnx_graph.lower_columns import are_joined, is_choice, layered, summed
from embedrt_convert.onnx_graph.recognise import identity
from embedrt_convert.onnx_graph.terms import Conv, Elementwise, MaxPool, Pixels


@op(Pixels)
def _pixels(lowering: Lowering, term: Pixels) -> int:
    raise RefusedError(None, "the pixels are read by something else than a convolution")


@layer(Conv)
def _convolution(
    lowering: Lowering,
    term: Conv,
    factor: Vector,
    bias: Vector,
    columns: NDArray[np.int64],
    residual: Form | None,
    activation: str,
) -> int:
    program = lowering.program
    weight = (term.weight[columns] * factor[:, None, None, None]).astype(np.float32)
    shift = (bias + factor * term.bias[columns]).astype(np.float32)
    name, stride, pads = lowering.name("conv", term), term.stride, term.pads
    image = None
    if any(isinstance(part.term, Pixels) for part in term.x.parts):
        x = PIXELS
        image, weight = _normalised(lowering, term, weight)
    elif not term.depthwise and identity(term.x) is None and (are_joined(term.x) or is_choice(term.x)):
        offset = column(term.x.offset, term.x.shape)
        if offset is None or (np.any(offset) and any(pads)):
            raise RefusedError(term.node, "padding around what numbers were added to")
        shift = shift + (weight.sum(axis=(2, 3)) @ offset).astype(np.float32)
        added = lowering.residual(residual)
        return layered(
            lowering, term.x, weight, shift, name=name, stride=stride, pads=pads, residual=added, activation=activation
        )
    else:
        x = lowering.form(term.x)
        if is_vector(program, x):
            return _on_vector(lowering, term, x, weight, shift, residual, activation)
    if not term.depthwise:
        added = lowering.residual(residual)
        return _conv.conv(
            program,
            x,
            *added,
            name=name,
            weight=weight,
            bias=shift,
            stride=stride,
            pads=pads,
            activation=activation,
            image=image,
        )
    if not np.array_equal(columns, np.arange(term.columns)):
        raise RefusedError(term.node, "columns of a depthwise convolution are taken apart")
    first = activation if residual is None else "none"
    value = _conv.depthwise(
        program, x, name=name, weight=weight, bias=shift, stride=stride, pads=pads, activation=first
    )
    if residual is None:
        return value
    value = program.op("add", value, *lowering.residual(residual))
    return value if activation == "none" else _pointwise(lowering, value, len(shift), activation, name)


def _normalised(lowering: Lowering, term: Conv, weight: Array) -> tuple[Image, Array]:
    """What the graph does to pixels itself, after what is done to bytes; and the weight of red, green and blue."""
    assert isinstance(lowering, ImageLowering)
    image, x = lowering.image, term.x
    factor = column(x.parts[0].factor, x.shape)
    offset = column(x.offset, x.shape)
    if len(x.parts) != 1 or factor is None or offset is None:
        raise RefusedError(term.node, "pixels are treated differently from place to place")
    channels = x.parts[0].index[0] % 3
    places = np.arange(x.shape[0], dtype=np.int32)[:, None] * 3 + channels
    if sorted(channels) != [0, 1, 2] or not np.array_equal(x.parts[0].index, places):
        raise RefusedError(term.node, "the channels of pixels are not red, green and blue, each once")
    order = np.argsort(channels)
    scale = np.array(image.scale) * factor[order]
    shift = np.array(image.offset) * factor[order] + offset[order]
    red, green, blue = (float(each) for each in scale)
    made = replace(image, scale=(red, green, blue), offset=(float(shift[0]), float(shift[1]), float(shift[2])))
    return made, weight[:, order]


def _on_vector(
    lowering: Lowering, term: Conv, x: int, weight: Array, bias: Array, residual: Form | None, activation: str
) -> int:
    """A convolution of what was pooled: a linear layer."""
    if weight.shape[2:] != (1, 1) or term.depthwise:
        raise RefusedError(term.node, "a window on what has one row for each image")
    if residual is not None and activation != "none":
        raise RefusedError(term.node, f"{activation} of a sum of vectors")
    return lowering.program.op(
        "linear",
        x,
        *lowering.residual(residual),
        name=lowering.name("linear", term),
        weight=rows_of(weight[:, :, 0, 0], np.arange(len(weight)), np.ones(len(weight))),
        bias=bias,
        activation=activation,
    )


@op(MaxPool)
def _max_pool(lowering: Lowering, term: MaxPool) -> int:
    window = _conv.window(term.kernel, term.stride, term.pads)
    return lowering.program.op("max_pool", lowering.form(term.x), name="max_pool", **window)


def activated_grid(lowering: Lowering, x: Form, activation: str) -> int | None:
    """An activation of a grid that no layer makes: a depthwise convolution of single pixels applies it."""
    if not isinstance(lowering, ImageLowering):
        return None
    bias = column(x.offset, x.shape)
    if bias is not None and (value := summed(lowering, x, bias, activation)) is not None:
        return value
    value = lowering.form(x)
    if is_vector(lowering.program, value) or prefix_of(lowering.program, value):
        return None
    return _pointwise(lowering, value, x.shape[1], activation, lowering.name(activation))


def _pointwise(lowering: Lowering, value: int, columns: int, activation: str, name: str) -> int:
    ones = np.ones((columns, 1, 1, 1), np.float32)
    return _conv.depthwise(lowering.program, value, name=name, weight=ones, activation=activation)


def gate_of_rows(lowering: Lowering, term: Elementwise) -> int | None:
    """The value of a product of all rows of a grid and one row of each image: squeeze and excitation."""
    assert term.y is not None
    if not isinstance(lowering, ImageLowering):
        return None
    # Of two single rows the later one is what the other was squeezed to.
    pairs = sorted(((term.x, term.y), (term.y, term.x)), key=lambda pair: -max(p.term.number for p in pair[1].parts))
    for x, factors in pairs:
        row = _one_row(factors)
        if row is not None:
            value = lowering.form(x)
            if is_vector(lowering.program, value):
                return None
            return lowering.program.op("gate", value, vector(lowering, lowering.form(row)))
    return None


def vector(lowering: Lowering, value: int) -> int:
    """A value of one row as a row of each image: that of a grid of one place is still a grid."""
    return value if is_vector(lowering.program, value) else lowering.pooled(value, "mean")


def _one_row(form: Form) -> Form | None:
    """The row that all rows of a form are."""

    def first(values: Array) -> Array:
        return values if values.ndim == 0 else np.broadcast_to(values, form.shape)[:1]

    for part in form.parts:
        if part.term.rows != 1 or not np.array_equal(part.index, np.broadcast_to(part.index[:1], form.shape)):
            return None
    if column(form.offset, form.shape) is None or any(column(part.factor, form.shape) is None for part in form.parts):
        return None
    parts = tuple(Part(part.term, part.index[:1], first(part.factor)) for part in form.parts)
    return Form((1, form.shape[1]), parts, first(form.offset))
