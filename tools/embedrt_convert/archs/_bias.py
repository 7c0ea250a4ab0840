"""What is added to attention's scores for how far a key is from its query: one row of numbers for each head.

Every table here is [heads, 2 · tokens − 1] for texts of at most `tokens`, as the op `attention` reads it: column
j − i + tokens − 1 for query i and key j.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.builder import Tensor

Array = NDArray[np.float32]


def shared(name: str, table: Array) -> Tensor:
    """A table that several layers add: the file holds it once."""
    return Tensor(f"{name}.bias", "matrix_f32", table)


def distances(tokens: int) -> NDArray[np.int64]:
    """j − i of each column of a table: 1 − tokens … tokens − 1."""
    return np.arange(1 - tokens, tokens)


def bucketed(table: Array, tokens: int, farthest: int) -> Array:
    """T5's relative positions, of an encoder: `table` [buckets, heads] has a row for each bucket of distances.

    Half of the buckets are for keys after the query. Of each half, one half is for single distances, the other for
    ranges that grow by a constant factor; the last one goes on beyond `farthest`.
    """
    half = len(table) // 2
    exact = half // 2
    distance = distances(tokens)
    far = np.maximum(np.abs(distance), exact).astype(np.float32) / np.float32(exact)
    # In float32, as models are trained: in float64 some distances at a range's border would fall below it.
    steps = np.log(far.astype(np.float64)).astype(np.float32) / np.float32(math.log(farthest / exact))
    ranges = np.minimum(exact + (steps * np.float32(half - exact)).astype(np.int64), half - 1)
    bucket = np.where(np.abs(distance) < exact, np.abs(distance), ranges) + np.where(distance > 0, half, 0)
    return np.ascontiguousarray(table[bucket].T)


def alibi(heads: int, tokens: int) -> Array:
    """ALiBi to both sides: a key loses a head's slope for each token between it and the query."""
    return (-slopes(heads)[:, None] * np.abs(distances(tokens))).astype(np.float32)


def slopes(heads: int) -> NDArray[np.float64]:
    """ALiBi's slopes: powers of 2^(−8 / n) for n heads, n a power of two; the others' lie between those of 2n."""
    power = 1 << (heads.bit_length() - 1)
    first = 2.0 ** (-8 / power * np.arange(1, power + 1))
    between = 2.0 ** (-4 / power * np.arange(1, 2 * (heads - power), 2))
    return np.concatenate([first, between])
