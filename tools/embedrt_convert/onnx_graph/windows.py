"""Windows of pixels as ONNX describes them, brought to those of the core: square, with one stride and no dilation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedrt_convert.archs._conv import Pads, output_size
from embedrt_convert.onnx_graph.forms import ABSENT, Array, Form, NotUnderstoodError, moved
from embedrt_convert.onnx_graph.graph import Node

_LARGEST = 64  # side and stride of a window


@dataclass(frozen=True)
class Window:
    """`extent` are height and width of the grid; `shape` those of the graph's own window, spread by dilation."""

    extent: tuple[int, int]
    shape: tuple[int, int]
    dilations: tuple[int, int]
    stride: int
    pads: Pads  # of the square window

    @property
    def kernel(self) -> int:
        return max(self.shape)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what the outputs form."""
        return output_size(*self.extent, self.kernel, self.stride, self.pads)

    def square(self, weight: Array) -> Array:
        """A weight [N, C, h, w] of the graph's window as one of the square window: zeros between and around its own."""
        down, across = self.dilations
        made = np.zeros((*weight.shape[:2], self.kernel, self.kernel), np.float32)
        top, left = (_shift(self.kernel, extent) for extent in self.shape)
        made[:, :, top : top + self.shape[0] : down, left : left + self.shape[1] : across] = weight
        return made


def window(node: Node, extent: tuple[int, int], kernel: tuple[int, int], padded: Pads = (0, 0, 0, 0)) -> Window:
    """The window of a node on a grid; `padded` was added around it before. Raises NotUnderstoodError."""
    strides = _pair(node, "strides", 1)
    dilations = _pair(node, "dilations", 1)
    if strides[0] != strides[1]:
        raise NotUnderstoodError(f"strides of {strides[0]} and {strides[1]}: the core has one for both directions")
    stride = strides[0]
    shape = ((kernel[0] - 1) * dilations[0] + 1, (kernel[1] - 1) * dilations[1] + 1)
    whole = (extent[0] + padded[0] + padded[2], extent[1] + padded[1] + padded[3])
    sides = [_sides(node, axis, whole[axis], shape[axis], stride) for axis in (0, 1)]
    before = [sides[axis][0] + padded[axis] for axis in (0, 1)]
    outputs = [(whole[axis] + sum(sides[axis]) - shape[axis]) // stride + 1 for axis in (0, 1)]
    if min(outputs) < 1:
        raise NotUnderstoodError(f"{whole[0]} x {whole[1]} is left before a window of {shape[0]} x {shape[1]}")
    if node.attributes.get("ceil_mode", 0):
        for axis in (0, 1):
            # One window more, which the end cuts off; none that begins after it.
            rest = whole[axis] + sum(sides[axis]) - shape[axis] - (outputs[axis] - 1) * stride
            if rest > 0 and outputs[axis] * stride < whole[axis] + sides[axis][0]:
                outputs[axis] += 1
    largest = max(shape)
    after = []
    for axis in (0, 1):
        before[axis] += _shift(largest, shape[axis])
        own = sides[axis][1] + padded[axis + 2] + largest - shape[axis] - _shift(largest, shape[axis])
        reached = max((outputs[axis] - 1) * stride + largest - extent[axis] - before[axis], 0)
        after.append(own if reached <= own < largest else reached)
    made = Window(extent, shape, dilations, stride, (before[0], before[1], after[0], after[1]))
    if largest > _LARGEST or stride > _LARGEST:
        raise NotUnderstoodError(f"a window of {shape[0]} x {shape[1]} with stride {stride} is larger than the core's")
    if max(made.pads) >= largest or made.size != tuple(outputs):
        raise NotUnderstoodError(f"padding of {max(made.pads)} for a window of {shape[0]} x {shape[1]}")
    return made


def _shift(kernel: int, extent: int) -> int:
    """Where an oblong window begins in a square one."""
    return (kernel - extent) // 2


def _sides(node: Node, axis: int, extent: int, kernel: int, stride: int) -> tuple[int, int]:
    """The node's own padding before and after an axis."""
    auto = node.attributes.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        total = max((-(-extent // stride) - 1) * stride + kernel - extent, 0)
        less, more = total // 2, total - total // 2
        return (less, more) if auto == "SAME_UPPER" else (more, less)
    if auto == "VALID":
        return 0, 0
    pads = node.attributes.get("pads", [0, 0, 0, 0])
    if min(pads) < 0:
        raise NotUnderstoodError("padding below 0")
    return int(pads[axis]), int(pads[axis + 2])


def _pair(node: Node, name: str, default: int) -> tuple[int, int]:
    first, second = node.attributes.get(name, (default, default))
    return int(first), int(second)


def unpadded(form: Form, filler: float) -> tuple[Form, Pads]:
    """A grid [1, C, h, w] without the places around it where nothing is but `filler`, and how many those are."""
    there = np.zeros(form.shape, bool)
    for part in form.parts:
        there |= part.index != ABSENT
    if there.all():
        return form, (0, 0, 0, 0)
    lines, columns = (np.flatnonzero(there.any(axis=(0, 1, axis))) for axis in (3, 2))
    top, left = int(lines[0]), int(columns[0])
    bottom, right = form.shape[2] - 1 - int(lines[-1]), form.shape[3] - 1 - int(columns[-1])

    def inner(values: Array) -> Array:
        return values[:, :, top : form.shape[2] - bottom, left : form.shape[3] - right]

    around = np.ones(form.shape, bool)
    inner(around)[...] = False
    if np.any(np.broadcast_to(form.offset, form.shape)[around] != filler):
        raise NotUnderstoodError(f"padding with another number than {filler:g}")
    return moved(form, inner), (top, left, bottom, right)
