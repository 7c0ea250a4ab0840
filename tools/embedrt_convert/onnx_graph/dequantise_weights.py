"""Arithmetic of quantised weights: integers with scales and zero points to float32, packed integers to integers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.errors import ConversionError

Array = NDArray[Any]
Floats = NDArray[np.float32]


def dequantised(values: Array, scale: Array, zero: Array | None, *, axis: int, block: int, where: str) -> Floats:
    """(values − zero) · scale in float32, as DequantizeLinear defines it.

    `scale` and `zero` are of one element, of one per index of `axis`, or, with a `block` above 0, of one per `block`
    indices of it. Raises ConversionError, which begins with `where`, when they are of another shape.
    """
    if zero is not None and zero.size != scale.size:
        raise ConversionError(f"{where} has {scale.size} scales and {zero.size} zero points")
    # In place, as a table of words is large. All integers of 16 bits are floats; those of 32 bits have no zero point.
    numbers = values.astype(np.float32)
    if zero is not None:
        numbers -= _spread(zero.astype(np.float32), values.shape, axis, block, where)
    numbers *= _spread(scale.astype(np.float32), values.shape, axis, block, where)
    return numbers


def _spread(parameter: Array, shape: tuple[int, ...], axis: int, block: int, where: str) -> Array:
    """`parameter`, shaped so that it broadcasts over an array of `shape`."""
    if parameter.size == 1 and block == 0:
        return parameter.reshape(())
    if not -len(shape) <= axis < len(shape):
        raise ConversionError(f"{where} has its scales along axis {axis} of weights of shape {list(shape)}")
    axis %= len(shape)
    if block > 0:
        blocks = -(-shape[axis] // block)
        if parameter.shape != (*shape[:axis], blocks, *shape[axis + 1 :]):
            raise ConversionError(
                f"{where} has scales of shape {list(parameter.shape)} for weights of shape {list(shape)} "
                f"in blocks of {block} along axis {axis}"
            )
        return np.repeat(parameter, block, axis).take(range(shape[axis]), axis)
    if parameter.shape != (shape[axis],):
        raise ConversionError(
            f"{where} has scales of shape {list(parameter.shape)} for axis {axis} of weights of shape {list(shape)}"
        )
    return parameter.reshape(shape[axis], *[1] * (len(shape) - axis - 1))


def quantised(values: Array, scale: Array, zero: Array, *, axis: int, where: str) -> Array:
    """QuantizeLinear of a constant: to the integers of `zero`'s type, ties to even. Raises ConversionError."""
    low, high = limits(zero, where)
    scales = _spread(scale.astype(np.float32), values.shape, axis, 0, where)
    zeros = _spread(zero.astype(np.float32), values.shape, axis, 0, where)
    return np.asarray(np.clip(np.rint(values / scales) + zeros, low, high), np.int32)


def limits(zero: Array, where: str) -> tuple[int, int]:
    """The lowest and highest integer of the type of `zero`. Raises ConversionError if they are no integers."""
    match = re.fullmatch(r"(u?)int(2|4|8|16)", zero.dtype.name)
    if match is None:
        raise ConversionError(f"{where} rounds to {zero.dtype.name}, which is not understood")
    bits = int(match[2])
    return (0, (1 << bits) - 1) if match[1] else (-(1 << bits - 1), (1 << bits - 1) - 1)


def unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """The unsigned numbers of `bits` bits in bytes, lowest bits first, along the last axis."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return np.asarray(parts.reshape(*packed.shape[:-1], packed.shape[-1] * len(shifts)), np.uint8)
