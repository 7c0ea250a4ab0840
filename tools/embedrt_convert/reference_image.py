"""What the ops on images mean, in float64 and exact integers: the part of `reference` that knows lines and columns.

A value of bytes is a float64 array of whole numbers 0…255; its zero point is in `Segments.zero`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.reference_types import ACTIVATIONS, Attributes, Inputs, Segments, Tensors, Values


def _size(segments: Segments, attributes: Attributes) -> tuple[int, int]:
    """Height and width of what a window's outputs form."""
    kernel, stride = attributes["kernel"], attributes["stride"]
    height = segments.height + attributes["pad_top"] + attributes["pad_bottom"] - kernel
    width = segments.width + attributes["pad_left"] + attributes["pad_right"] - kernel
    return height // stride + 1, width // stride + 1


def _windows(x: Values, segments: Segments, attributes: Attributes, fill: float) -> Values:
    """Rows [n · h · w, c] → windows [n, h', w', kernel, kernel, c]; padding has the value `fill`."""
    kernel, stride = attributes["kernel"], attributes["stride"]
    images = x.reshape(-1, segments.height, segments.width, x.shape[1])
    if kernel == stride == 1:
        return images[:, :, :, None, None]
    pads = [
        (0, 0),
        (attributes["pad_top"], attributes["pad_bottom"]),
        (attributes["pad_left"], attributes["pad_right"]),
    ]
    padded = np.pad(images, [*pads, (0, 0)], constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    result: Values = views[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    return result


def _border_classes(segments: Segments, attributes: Attributes) -> NDArray[np.int64]:
    """The row of the bias for each output [h', w'], by what its window lacks (`Borders` in cpp/kernels/kernels.h)."""
    kernel, stride = attributes["kernel"], attributes["stride"]
    height, width = _size(segments, attributes)

    def axis(outputs: int, extent: int, pad: int) -> NDArray[np.int64]:
        starts = np.arange(outputs) * stride - pad
        before, after = np.maximum(-starts, 0), np.maximum(starts + kernel - extent, 0)
        return np.where(before > 0, before, np.where(after > 0, pad + after, 0))

    lines = axis(height, segments.height, attributes["pad_top"])
    columns = axis(width, segments.width, attributes["pad_left"])
    lacking = max(int((width - 1) * stride - attributes["pad_left"] + kernel - segments.width), 0)
    classes: NDArray[np.int64] = lines[:, None] * (1 + attributes["pad_left"] + lacking) + columns[None, :]
    return classes


def _finish(t: Values, inputs: Inputs, tensors: Tensors, attributes: Attributes) -> Values:
    if len(inputs) > 1:
        t = t + (inputs[1] * tensors["residual_scale"] if "residual_scale" in tensors else inputs[1])
    t = ACTIVATIONS[attributes["activation"]](t)
    if attributes["output"] == "float32":
        return t
    if "output_scale" in tensors:
        t = t * tensors["output_scale"] + attributes["output_zero"]
    return _bytes(t)


def _bytes(t: Values) -> Values:
    return np.clip(np.rint(t), 0, 255)


def conv2d(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    weight, bias = tensors["weight"], np.atleast_2d(tensors["bias"])
    # Padding of pixels adds nothing, whatever the bias of its class says; of bytes it is the zero point.
    windows = _windows(inputs[0], segments, attributes, 0.0 if len(bias) > 1 else segments.zero)
    sums = windows.reshape(-1, weight.shape[1]) @ weight.T.astype(np.float64)
    if "scale" in tensors:
        sums *= tensors["scale"]
    classes = _border_classes(segments, attributes) if len(bias) > 1 else np.zeros(windows.shape[1:3], np.int64)
    images = len(windows)
    return _finish(sums + np.tile(bias[classes.reshape(-1)], (images, 1)), inputs, tensors, attributes)


def depthwise(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    windows = _windows(inputs[0], segments, attributes, segments.zero)
    columns = windows.shape[-1]
    sums = np.zeros((windows.size // columns // len(tensors["weight"]), columns))
    for tap, weight in enumerate(tensors["weight"]):
        line, column = divmod(tap, attributes["kernel"])
        sums += windows[:, :, :, line, column].reshape(-1, columns) * weight.astype(np.float64)
    if "scale" in tensors:
        sums *= tensors["scale"]
    return _finish(sums + tensors["bias"], inputs, tensors, attributes)


def max_pool(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    windows = _windows(inputs[0], segments, attributes, -np.inf)
    result: Values = windows.max(axis=(3, 4)).reshape(-1, windows.shape[-1])
    return result


def quantize(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    return _bytes(inputs[0] * tensors["scale"].astype(np.float64) + attributes["zero"])


def gate(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    factors = np.repeat(inputs[1], np.diff(segments.offsets), axis=0)
    if "scale" not in tensors:
        return inputs[0] * factors
    return _bytes((inputs[0] - segments.zero) * (factors * tensors["scale"]) + attributes["output_zero"])


def place(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    columns = inputs[0].shape[1]
    images = inputs[0].reshape(-1, segments.height * segments.width, columns)
    if "position" in tensors:
        images = images + tensors["position"]
    if "prefix" in tensors:
        prefix = np.broadcast_to(tensors["prefix"].astype(np.float64), (len(images), *tensors["prefix"].shape))
        images = np.concatenate([prefix, images], axis=1)
    return images.reshape(-1, columns)


def attention_pool(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    columns = inputs[0].shape[1] // 2
    heads = attributes["heads"]
    query = tensors["query"].astype(np.float64).reshape(heads, 1, -1)
    out = np.zeros((len(segments.offsets) - 1, columns))
    for item, part in enumerate(segments.slices()):
        # [rows, 2 · heads · d] -> k, v [heads, rows, d]
        k, v = inputs[0][part].reshape(-1, 2, heads, columns // heads).transpose(1, 2, 0, 3)
        scores = query @ k.transpose(0, 2, 1) * attributes["scale"]
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        out[item] = (p @ v / p.sum(axis=-1, keepdims=True)).reshape(-1)
    return out


def _grid(segments: Segments, height: int, width: int, prefix: int = 0, zero: int = 0) -> Segments:
    offsets = np.arange(len(segments.offsets), dtype=np.int64) * (prefix + height * width)
    return Segments(offsets, height, width, prefix, zero)


def _window_segments(segments: Segments, tensors: Tensors, attributes: Attributes) -> Segments:
    return _grid(segments, *_size(segments, attributes), zero=attributes.get("output_zero", segments.zero))


def _one_row_each(segments: Segments, tensors: Tensors, attributes: Attributes) -> Segments:
    return Segments(np.arange(len(segments.offsets), dtype=np.int64))


def _place_segments(segments: Segments, tensors: Tensors, attributes: Attributes) -> Segments:
    return _grid(segments, segments.height, segments.width, len(tensors.get("prefix", ())))


OPS: dict[str, Callable[[Inputs, Tensors, Attributes, Segments], Values]] = {
    "conv2d": conv2d,
    "depthwise": depthwise,
    "max_pool": max_pool,
    "quantize": quantize,
    "gate": gate,
    "place": place,
    "attention_pool": attention_pool,
}

# The segments of what an op defines, where they are not those of its first input.
SEGMENTS: dict[str, Callable[[Segments, Tensors, Attributes], Segments]] = {
    "conv2d": _window_segments,
    "depthwise": _window_segments,
    "max_pool": _window_segments,
    "quantize": lambda segments, tensors, attributes: dataclasses.replace(segments, zero=attributes["zero"]),
    "gate": lambda segments, tensors, attributes: dataclasses.replace(segments, zero=attributes["output_zero"]),
    "place": _place_segments,
    "pool": _one_row_each,
    "attention_pool": _one_row_each,
}
