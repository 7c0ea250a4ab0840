"""Rows that are nearly all zeros, and how they come of dense ones or of weights of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embedrt._errors import EmbedrtError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class SparseRows:
    """Sparse vectors, one row a text, in scipy's CSR form: row i has `data[indptr[i]:indptr[i + 1]]` in the columns
    `indices[indptr[i]:indptr[i + 1]]`, which ascend. A column is a token of the vocabulary.

    Attributes:
        data: float32 [n], none of them 0.
        indices: int32 [n].
        indptr: int64 [rows + 1].
        shape: (rows, columns).
    """

    def __init__(
        self,
        data: Vectors,
        indices: NDArray[np.int32],
        indptr: NDArray[np.int64],
        shape: tuple[int, int],
        token: Callable[[int], str | None] | None = None,
    ) -> None:
        """`token` gives the text of a column's token; it is not kept when the rows are pickled."""
        self.data, self.indices, self.indptr, self.shape = data, indices, indptr, shape
        self._token = token

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<embedrt.SparseRows of {self.shape[0]} x {self.shape[1]}, {len(self.data)} weights>"

    def __reduce__(self) -> tuple[Any, ...]:
        return SparseRows, (self.data, self.indices, self.indptr, self.shape)

    def row(self, index: int) -> tuple[NDArray[np.int32], Vectors]:
        """The columns and the weights of one row, views of `indices` and `data`. Raises InputError."""
        if not 0 <= index < len(self):
            raise InputError(f"there is no row {index} of {len(self)}")
        part = slice(self.indptr[index], self.indptr[index + 1])
        return self.indices[part], self.data[part]

    def toarray(self) -> Vectors:
        """float32 [rows, columns]."""
        dense = np.zeros(self.shape, np.float32)
        dense[self._rows(), self.indices] = self.data
        return dense

    def to_scipy(self) -> Any:
        """A scipy.sparse.csr_array, which shares the memory. Needs scipy."""
        try:
            from scipy.sparse import csr_array
        except ModuleNotFoundError:
            raise EmbedrtError("to_scipy needs scipy, which is not installed: pip install scipy") from None
        return csr_array((self.data, self.indices, self.indptr), shape=self.shape)

    def similarity(self, other: SparseRows) -> Vectors:
        """The dot product of every row with every row of `other`: float32 [rows, rows of other]. Raises InputError."""
        if self.shape[1] != other.shape[1]:
            raise InputError(f"rows of {self.shape[1]} columns and rows of {other.shape[1]} have no product")
        result = np.zeros((len(self), len(other)), np.float32)
        rows = other._rows()
        dense = np.zeros(self.shape[1])
        for index in range(len(self)):
            columns, weights = self.row(index)
            dense[columns] = weights
            result[index] = np.bincount(rows, dense[other.indices] * other.data, minlength=len(other))
            dense[columns] = 0
        return result

    def decode(self, row: int, top_k: int | None = None) -> list[tuple[str, float]]:
        """The tokens of a row with their weights, the greatest first, `top_k` at most.

        Raises InputError, and EmbedrtError for rows that were pickled.
        """
        if self._token is None:
            raise EmbedrtError("these rows were pickled: they know columns and not tokens")
        if top_k is not None and top_k < 1:
            raise InputError(f"top_k is {top_k}, not a positive number")
        columns, weights = self.row(row)
        order = np.lexsort((columns, -weights))[:top_k]
        return [(str(self._token(int(columns[i]))), float(weights[i])) for i in order]

    def _rows(self) -> NDArray[np.int64]:
        """The row of each weight."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))


# A part of the rows: weights, columns, and how many weights each row has.
Part = tuple["Vectors", "NDArray[np.int32]", "NDArray[np.int64]"]


def of_dense(rows: Vectors, most: int | None) -> Part:
    """What is not 0 in rows [n, columns]; of each row the `most` greatest."""
    at, columns = np.nonzero(rows)
    return _kept(rows[at, columns], columns.astype(np.int32), np.bincount(at, minlength=len(rows)), most)


def of_tokens(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], weights: Vectors, skip: Sequence[int], most: int | None
) -> Part:
    """Of ragged texts, the greatest weight [tokens] of each of their ids where it is above 0, those of `skip` apart."""
    texts = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    counts = (weights > 0) & ~np.isin(ids, np.array(skip, np.int32))
    texts, ids, weights = texts[counts], ids[counts], weights[counts]
    order = np.lexsort((-weights, ids, texts))
    texts, ids, weights = texts[order], ids[order], weights[order]
    first = np.ones(len(ids), bool)
    first[1:] = (ids[1:] != ids[:-1]) | (texts[1:] != texts[:-1])
    return _kept(weights[first], ids[first], np.bincount(texts[first], minlength=len(offsets) - 1), most)


def joined(parts: Sequence[Part], columns: int, token: Callable[[int], str | None]) -> SparseRows:
    """All rows of the parts, one after another."""
    data = np.concatenate([np.empty(0, np.float32), *(part[0] for part in parts)])
    indices = np.concatenate([np.empty(0, np.int32), *(part[1] for part in parts)])
    counts = np.concatenate([np.empty(0, np.int64), *(part[2] for part in parts)])
    return SparseRows(data, indices, np.cumsum([0, *counts], dtype=np.int64), (len(counts), columns), token)


def _kept(data: Vectors, columns: NDArray[np.int32], counts: NDArray[np.int64], most: int | None) -> Part:
    if most is None or counts.max(initial=0) <= most:
        return data, columns, counts
    rows = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((columns, -data, rows))
    rank = np.arange(len(data)) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = np.sort(order[rank < most])
    return data[keep], columns[keep], np.minimum(counts, most)
