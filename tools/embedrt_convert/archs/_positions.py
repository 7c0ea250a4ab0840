"""Position tables for another number of patches: bicubic interpolation, as torch.nn.functional.interpolate has it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.errors import ConversionError


def resized(table: NDArray[np.float32], height: int, width: int, *, antialias: bool = False) -> NDArray[np.float32]:
    """A table of a square of positions [side², C] for `height` lines of `width`: [height · width, C].

    Of its own size it is as it was. Raises ConversionError when the table is not of a square.
    """
    side = math.isqrt(len(table))
    if side * side != len(table):
        raise ConversionError(f"the checkpoint has {len(table)} positions of patches, which are not a square's")
    taps = _antialiased if antialias else _plain
    grid = table.astype(np.float64).reshape(side, side, -1)
    # One side after the other: [height, side] · [side, side, C] · [side, width].
    made: NDArray[np.float64] = np.einsum("hy,wx,yxc->hwc", taps(side, height), taps(side, width), grid, optimize=True)
    return made.reshape(height * width, -1).astype(np.float32)


def _plain(extent: int, wanted: int) -> NDArray[np.float64]:
    """Weights [wanted, extent] of four neighbours each; those outside are the one at the border."""
    weights = np.zeros((wanted, extent))
    for i in range(wanted):
        at = (i + 0.5) * extent / wanted - 0.5
        first = math.floor(at) - 1
        for j in range(first, first + 4):
            weights[i, min(max(j, 0), extent - 1)] += _cubic(at - j, -0.75)
    return weights


def _antialiased(extent: int, wanted: int) -> NDArray[np.float64]:
    """Weights [wanted, extent] of a kernel that is as wide as the patches that fall into one, cut off at the border."""
    weights = np.zeros((wanted, extent))
    stretch = max(extent / wanted, 1.0)
    for i in range(wanted):
        centre = (i + 0.5) * extent / wanted
        first = max(int(centre - 2 * stretch + 0.5), 0)
        for j in range(first, min(int(centre + 2 * stretch + 0.5), extent)):
            weights[i, j] = _cubic((j - centre + 0.5) / stretch, -0.5)
    result: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return result


def _cubic(x: float, a: float) -> float:
    """Keys' kernel."""
    x = abs(x)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((x - 5) * x + 8) * x * a - 4 * a if x < 2 else 0.0
