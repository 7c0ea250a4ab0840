"""Similarity of vectors, and unit length whose bits depend on nothing but the vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedrt._errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# A row whose length is this close to 1 was normalised by the model, and is left as it is.
_UNIT = 1e-6
_EPSILON = 1e-12
# Elements of the differences that manhattan holds at once: 32 MB.
_BLOCK = 1 << 22


def normalized(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows [n, d] scaled to unit length; a row that has it already keeps its bits, a row of zeros stays.

    Squares of float32 are exact in float64, and their sum folds halves onto each other in one fixed order, with
    element-wise additions only: the result does not depend on the other rows, on the CPU or on numpy's reductions.
    """
    wide = rows.astype(np.float64)
    squares = wide * wide
    width = squares.shape[1]
    while width > 1:
        half = (width + 1) // 2
        squares[:, : width - half] += squares[:, half:width]
        width = half
    length = np.sqrt(squares[:, :1])
    scaled = (wide / np.maximum(length, _EPSILON)).astype(np.float32)
    return np.where(np.abs(length - 1.0) <= _UNIT, rows, scaled)


def similarity(a: ArrayLike, b: ArrayLike, kind: str) -> NDArray[np.float32]:
    """Similarity of every row of a [n, d] with every row of b [m, d] → float32 [n, m]; larger is more alike.

    A single vector [d] counts as one row. `kind` is cosine, dot, euclidean or manhattan; the last two are negative
    distances. Raises InputError.
    """
    rows, others = _rows(a, "a"), _rows(b, "b")
    if rows.shape[1] != others.shape[1]:
        raise InputError(f"a has {rows.shape[1]} columns and b has {others.shape[1]}")
    if kind == "cosine":
        rows, others = normalized(rows), normalized(others)
    if kind in ("cosine", "dot"):
        products: NDArray[np.float32] = rows @ others.T
        return products
    if kind == "euclidean":
        wide, wide_others = rows.astype(np.float64), others.astype(np.float64)
        squares = (wide * wide).sum(1)[:, None] + (wide_others * wide_others).sum(1) - 2.0 * (wide @ wide_others.T)
        distances: NDArray[np.float32] = np.sqrt(np.maximum(squares, 0.0)).astype(np.float32)
        return np.negative(distances)
    result = np.empty((len(rows), len(others)), np.float32)
    step = max(1, _BLOCK // max(1, others.size))
    for start in range(0, len(rows), step):
        block = rows[start : start + step, None, :]
        result[start : start + step] = -np.abs(block - others).sum(2)
    return result


def logits(cosines: NDArray[np.float32], scale: float, bias: float | None) -> NDArray[np.float32]:
    """scale · cosine + bias, float32 as `cosines`."""
    scaled: NDArray[np.float32] = cosines * np.float32(scale) + np.float32(bias or 0.0)
    return scaled


def probabilities(scores: NDArray[np.float32], *, independent: bool) -> NDArray[np.float32]:
    """Scores [n, m] as probabilities, float32: of each alone (sigmoid), or of one of the m in each row (softmax)."""
    wide = scores.astype(np.float64)
    if independent:
        result = 0.5 + 0.5 * np.tanh(0.5 * wide)  # the sigmoid, without overflow
    else:
        powers = np.exp(wide - wide.max(1, keepdims=True, initial=-np.inf))
        result = powers / powers.sum(1, keepdims=True)
    return result.astype(np.float32)


def _rows(values: ArrayLike, name: str) -> NDArray[np.float32]:
    array = np.asarray(values, dtype=np.float32)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise InputError(f"{name} has {array.ndim} dimensions; expected vectors [n, d] or one vector [d]")
    return array
