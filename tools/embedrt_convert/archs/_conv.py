"""Convolutions as the core has them: the window's pixels line by line, and what normalising pixels means in weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.builder import PIXELS, Program
from embedrt_convert.inputs.checkpoint import Image

Array = NDArray[np.float32]
Pads = tuple[int, int, int, int]  # top, left, bottom, right


def same_pads(height: int, width: int, kernel: int, stride: int) -> Pads:
    """TensorFlow's "SAME" padding: outputs ⌈extent / stride⌉, the odd pixel at the bottom and at the right."""

    def total(extent: int) -> int:
        return max((-(-extent // stride) - 1) * stride + kernel - extent, 0)

    down, across = total(height), total(width)
    return down // 2, across // 2, down - down // 2, across - across // 2


def output_size(height: int, width: int, kernel: int, stride: int, pads: Pads) -> tuple[int, int]:
    """Height and width of what a window's outputs form."""
    return (height + pads[0] + pads[2] - kernel) // stride + 1, (width + pads[1] + pads[3] - kernel) // stride + 1


def window(kernel: int, stride: int, pads: Pads) -> dict[str, int]:
    """The attributes of a window."""
    top, left, bottom, right = pads
    sides = {"pad_top": top, "pad_left": left, "pad_bottom": bottom, "pad_right": right}
    return {"kernel": kernel, "stride": stride, **sides}


def conv(
    program: Program,
    x: int,
    *residual: int,
    name: str,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    pads: Pads = (0, 0, 0, 0),
    activation: str = "none",
    image: Image | None = None,
) -> int:
    """A convolution with weight [N, C, k, k], as PyTorch has it. `image` must be given where `x` is PIXELS.

    The weights of pixels take bytes: what the checkpoint's preprocessing does to a byte is folded into them and into
    the bias, exactly also where the window reaches into the padding (which is 0 after normalising).
    """
    n, _, kernel, _ = weight.shape
    if bias is None:
        bias = np.zeros(n, np.float32)
    rows, taps = bias[None, :].astype(np.float64), weight.astype(np.float64)
    if x == PIXELS:
        assert image is not None
        rows = rows + _border_offsets(weight, image, stride, pads)
        taps = taps * np.array(image.scale)[None, :, None, None]
    return program.op(
        "conv2d",
        x,
        *residual,
        name=name,
        weight=taps.transpose(0, 2, 3, 1).reshape(n, -1).astype(np.float32),
        bias=rows.astype(np.float32),
        activation=activation,
        **window(kernel, stride, pads),
    )


def depthwise(
    program: Program,
    x: int,
    *,
    name: str,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    pads: Pads = (0, 0, 0, 0),
    activation: str = "none",
) -> int:
    """A depthwise convolution with weight [C, 1, k, k], as PyTorch has it."""
    channels, _, kernel, _ = weight.shape
    return program.op(
        "depthwise",
        x,
        name=name,
        weight=np.ascontiguousarray(weight.reshape(channels, -1).T, np.float32),
        bias=np.zeros(channels, np.float32) if bias is None else bias.astype(np.float32),
        activation=activation,
        **window(kernel, stride, pads),
    )


def _border_offsets(weight: Array, image: Image, stride: int, pads: Pads) -> NDArray[np.float64]:
    """What the offsets of normalised pixels add to each output of a window: [border classes, N].

    The classes are those of `Borders` in cpp/kernels/kernels.h: windows that lack no line, then those that lack 1, 2 …
    at the top, then at the bottom; the same for columns.
    """
    kernel = weight.shape[2]
    # What each tap adds where it sees a pixel: [N, k, k].
    taps = np.einsum("nchw,c->nhw", weight.astype(np.float64), np.array(image.offset, np.float64))

    def valid(extent: int, before: int, after: int) -> list[slice]:
        outputs = (extent + before + after - kernel) // stride + 1
        most = max((outputs - 1) * stride + kernel - extent - before, 0)
        lacking_before = [slice(lack, kernel) for lack in range(before + 1)]
        return lacking_before + [slice(0, kernel - lack) for lack in range(1, most + 1)]

    lines = valid(image.height, pads[0], pads[2])
    columns = valid(image.width, pads[1], pads[3])
    return np.stack([taps[:, line, column].sum(axis=(1, 2)) for line in lines for column in columns])
