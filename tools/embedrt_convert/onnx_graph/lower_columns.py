"""Columns of images' values side by side, in another order or times factors: layers whose weights only choose.

The core has no op that joins columns. A convolution of joined columns is a sum of convolutions; where the joined value
itself is wanted, convolutions of single pixels with ones in their weights make it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.archs import _conv
from embedrt_convert.onnx_graph.forms import ABSENT, ZERO, Array, Form, Part, flat, is_scalar
from embedrt_convert.onnx_graph.grids import is_vector, prefix_of
from embedrt_convert.onnx_graph.lower import Lowering, RefusedError, Vector, column
from embedrt_convert.onnx_graph.terms import Norm, Pixels, Pool


def chosen(part: Part, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], Vector] | None:
    """For each column of a form the term's column that it is, or ABSENT, and its factor; None where rows differ."""
    width = part.term.columns
    if part.term.rows != shape[0] or isinstance(part.term, Pixels):
        return None
    first = part.index[:1].astype(np.int64)
    columns = np.where(first == ABSENT, ABSENT, first % width)
    rows = np.arange(shape[0])[:, None] * width
    factor = column(part.factor, shape)
    if factor is None or not np.array_equal(part.index, np.where(columns == ABSENT, ABSENT, rows + columns)):
        return None
    return columns[0], factor


def _chosen(part: Part, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], Vector]:
    found = chosen(part, shape)
    assert found is not None
    return found


def are_joined(form: Form) -> bool:
    """Whether columns of several values are side by side."""
    some = any(np.any(part.index[0] == ABSENT) for part in form.parts)
    return some and all(chosen(part, form.shape) is not None for part in form.parts)


def is_choice(form: Form) -> bool:
    """Whether a form is columns of one value, which a layer of it can choose itself."""
    return len(form.parts) == 1 and chosen(form.parts[0], form.shape) is not None


def layered(
    lowering: Lowering,
    form: Form,
    weight: Array,
    bias: Array,
    *,
    name: str,
    stride: int = 1,
    pads: _conv.Pads = (0, 0, 0, 0),
    residual: tuple[int, ...] = (),
    activation: str = "none",
) -> int:
    """A convolution [N, columns, k, k] of a form whose parts are `chosen`, without its offset: one after the other."""
    program = lowering.program
    ordered = sorted(form.parts, key=lambda part: part.term.number)
    for part in ordered:
        columns, factor = _chosen(part, form.shape)
        own = np.zeros((weight.shape[0], part.term.columns, *weight.shape[2:]))
        there = columns != ABSENT
        np.add.at(own.swapaxes(0, 1), columns[there], (weight * factor[None, :, None, None]).swapaxes(0, 1)[there])
        value, last = lowering.term(part.term), part is ordered[-1]
        used, shift = activation if last else "none", bias if last else np.zeros_like(bias)
        if not is_vector(program, value) and not prefix_of(program, value):
            made = _conv.conv(
                program,
                value,
                *residual,
                name=name,
                weight=own.astype(np.float32),
                bias=shift,
                stride=stride,
                pads=pads,
                activation=used,
            )
        elif weight.shape[2:] == (1, 1) and stride == 1 and not (residual and used != "none"):
            single = own[:, :, 0, 0].astype(np.float32)
            made = program.op("linear", value, *residual, name=name, weight=single, bias=shift, activation=used)
        else:
            raise RefusedError(part.term.node, f"a window, or {activation} of a sum, of what is no grid")
        residual = (made,)
    return residual[0]


def summed(lowering: Lowering, form: Form, bias: Vector, activation: str = "none") -> int | None:
    """The value of a form that takes layers of its own; None where sums of values and norms make it."""
    hard = [part for part in form.parts if not _is_easy(part, form.shape)]
    easy = [part for part in form.parts if part not in hard]
    if not hard:
        if not np.any(bias) or any(isinstance(part.term, Norm) for part in easy):
            return None
        hard = [easy.pop()]
    if any(chosen(part, form.shape) is None for part in hard):
        return None
    residual = (lowering.form(Form(form.shape, tuple(easy), ZERO)),) if easy else ()
    shift, name = bias.astype(np.float32), lowering.name("columns", hard[0].term)
    columns, factor = _chosen(hard[0], form.shape)
    if len(hard) == 1 and not residual and np.array_equal(columns, np.arange(hard[0].term.columns)):
        value = lowering.term(hard[0].term)
        if not is_vector(lowering.program, value) and not prefix_of(lowering.program, value):
            weight = factor.astype(np.float32)[:, None, None, None]
            return _conv.depthwise(lowering.program, value, name=name, weight=weight, bias=shift, activation=activation)
    ones = np.eye(form.shape[1], dtype=np.float32)[:, :, None, None]
    rest = Form(form.shape, tuple(hard), ZERO)
    return layered(lowering, rest, ones, shift, name=name, residual=residual, activation=activation)


def _is_easy(part: Part, shape: tuple[int, ...]) -> bool:
    if isinstance(part.term, (Norm, Pool)):
        return True
    whole = (part.term.rows, part.term.columns) == shape and np.array_equal(part.index, flat(shape))
    return whole and is_scalar(part.factor, 1)
