"""Vectors for an index: fewer columns, unit length, fewer bits. The precisions are those of sentence-transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

import numpy as np

from embedrt._errors import InputError
from embedrt._similarity import normalized

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
_PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
_STEPS: Final = ("int8", "uint8")
_BITS: Final = ("binary", "ubinary")


class Form(NamedTuple):
    """What becomes of a model's vectors: their first `dim` columns, perhaps unit length, and a precision."""

    dim: int
    normalize: bool = False
    precision: Precision = "float32"
    ranges: ArrayLike | None = None

    def empty(self, count: int) -> NDArray[Any]:
        """An array for `count` vectors."""
        columns = (self.dim + 7) // 8 if self.precision in _BITS else self.dim
        return np.empty((count, columns), _dtype(self.precision))

    def of(self, rows: NDArray[np.float32]) -> NDArray[Any]:
        """Rows float32 [n, at least dim] in this form."""
        rows = rows[:, : self.dim]
        if self.normalize:
            rows = normalized(rows)
        return rows if self.precision == "float32" else quantize_embeddings(rows, self.precision, self.ranges)


def checked_form(form: Form) -> Form:
    """`form`, whose ranges are a caller's. Raises InputError."""
    check_precision(form.precision)
    if form.precision in _STEPS:
        return form._replace(ranges=_checked_ranges(form.ranges, form.precision, form.dim))
    if form.ranges is not None:
        raise InputError(f"ranges are for the precisions int8 and uint8, not {form.precision}")
    return form


def check_precision(precision: str) -> None:
    if precision not in _PRECISIONS:
        raise InputError(f"precision is {precision!r}, not one of {', '.join(_PRECISIONS)}")


def quantize_embeddings(embeddings: ArrayLike, precision: Precision, ranges: ArrayLike | None = None) -> NDArray[Any]:
    """Vectors in fewer bits, the same to the bit as sentence-transformers makes of them.

    Args:
        embeddings: floats [n, dim], or one vector [dim].
        precision: "uint8" divides each column's range into 255 steps, counts them from its smallest number and rounds
            down; what is beyond the range becomes 0 or 255. "int8" is that minus 128. "ubinary" keeps one bit a column,
            1 for what is above zero: eight to a byte, the first column in the highest bit, the last byte filled up with
            zeros. "binary" is those bytes minus 128. "float32" quantises nothing.
        ranges: float32 [2, dim], the smallest and the largest number of each column: for "int8" and "uint8". Keep one
            such array for an index and its queries; `calibration_ranges` makes it.

    Returns:
        As many rows: float32, int8 or uint8 [n, dim]; int8 or uint8 [n, ceil(dim / 8)] for the two of bits.

    Raises InputError; also for a number that is not finite, whose row it names.
    """
    check_precision(precision)
    vectors = _floats(embeddings)
    if precision == "float32":
        return vectors.astype(np.float32)
    if precision in _STEPS:
        starts, ends = _checked_ranges(ranges, precision, vectors.shape[-1])
        steps = (ends - starts) / np.float32(255)
        steps[steps == 0] = 1
        counted: NDArray[Any] = np.clip(np.floor((vectors - starts) / steps), 0, 255)
        return (counted - (128 if precision == "int8" else 0)).astype(_dtype(precision))
    if ranges is not None:
        raise InputError(f"ranges are for the precisions int8 and uint8, not {precision}")
    packed = np.packbits(vectors > 0, axis=-1)
    return packed if precision == "ubinary" else (packed ^ np.uint8(128)).view(np.int8)


def calibration_ranges(embeddings: ArrayLike) -> NDArray[np.float32]:
    """The smallest and the largest number of each column of float vectors [n, dim] → float32 [2, dim].

    For the `ranges` of `encode` and `quantize_embeddings`. Give it vectors that stand for all that will come, made with
    the same `truncate_dim` and `normalize_embeddings`: some thousands; two at least. Raises InputError.
    """
    vectors = _floats(embeddings)
    if vectors.ndim != 2 or len(vectors) < 2:
        raise InputError(
            f"embeddings have the shape {list(vectors.shape)}; ranges need [n, dim] with two rows at least"
        )
    return np.stack([vectors.min(axis=0), vectors.max(axis=0)]).astype(np.float32)


def _dtype(precision: Precision) -> type[np.generic]:
    if precision == "float32":
        return np.float32
    return np.int8 if precision in ("int8", "binary") else np.uint8


def _floats(embeddings: ArrayLike) -> NDArray[np.floating[Any]]:
    vectors = np.asarray(embeddings)
    if vectors.dtype.kind != "f" or vectors.ndim not in (1, 2):
        raise InputError(f"embeddings are {vectors.dtype} {list(vectors.shape)}; expected floats [n, dim] or [dim]")
    finite = np.isfinite(vectors).all(axis=-1)
    if not finite.all():
        where = f" of row {int(np.argmin(finite))}" if vectors.ndim == 2 else ""
        raise InputError(f"embeddings: a number{where} is not finite, so it has no quantised value; leave the row out")
    return vectors


def _checked_ranges(ranges: ArrayLike | None, precision: str, dim: int) -> NDArray[np.float32]:
    if ranges is None:
        raise InputError(
            f"the precision {precision} needs ranges, float32 [2, {dim}]: take embedrt.calibration_ranges(vectors) of "
            "float32 vectors that stand for your texts, and keep it beside the index, whose queries need the same"
        )
    array = np.asarray(ranges)
    if array.dtype.kind not in "fiu" or array.shape != (2, dim):
        raise InputError(f"ranges are {array.dtype} {list(array.shape)}; these vectors need floats [2, {dim}]")
    array = array.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        usable = np.isfinite(array[1] - array[0]) & (array[0] <= array[1])
    if not usable.all():
        column = int(np.argmin(usable))
        raise InputError(f"ranges: column {column} goes from {array[0, column]} to {array[1, column]}")
    return array
