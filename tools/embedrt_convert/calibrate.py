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
    """Least and greatest of each column of a value, float64 [columns], 0 included; and the rows of one image."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    rows: int


def observe(program: Program, pictures: Iterable[NDArray[np.uint8]]) -> dict[int, Range]:
    """value -> Range, for every value that images define, over `pictures` uint8 [height, width, 3]."""
    ranges: dict[int, Range] = {}
    for picture in pictures:
        values, segments = reference.trace_images(program, picture[None])
        for number, value in enumerate(values[1:], 1):
            if value.size == 0:
                continue
            low, high = value.min(axis=0, initial=0), value.max(axis=0, initial=0)
            if number in ranges:
                known = ranges[number]
                known.low, known.high = np.minimum(known.low, low), np.maximum(known.high, high)
            else:
                ranges[number] = Range(low, high, int(segments[number].offsets[-1]))
    return ranges
