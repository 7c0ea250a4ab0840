"""What the values of a float program reach on pictures: the ranges from which bytes with fixed steps are chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedrt_convert import reference
from embedrt_convert.builder import Program


@dataclass
class Range:
    """Least (0 included), greatest (0 included) and mean of each column of a value, float64; the rows of one image."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    rows: int


def observe(program: Program, pictures: Iterable[NDArray[np.uint8]]) -> dict[int, Range]:
    """value -> Range, for the pixels and every value of images, over `pictures` uint8 [height, width, 3]."""
    ranges: dict[int, Range] = {}
    for count, picture in enumerate(pictures, 1):
        values, segments = reference.trace_images(program, picture[None])
        for number, value in enumerate(values):
            if value.size == 0:
                continue
            low, high, mean = value.min(axis=0, initial=0), value.max(axis=0, initial=0), value.mean(axis=0)
            if number in ranges:
                known = ranges[number]
                known.low, known.high = np.minimum(known.low, low), np.maximum(known.high, high)
                known.mean += (mean - known.mean) / count
            else:
                ranges[number] = Range(low, high, mean, int(segments[number].offsets[-1]))
    return ranges
