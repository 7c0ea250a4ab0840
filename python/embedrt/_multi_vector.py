"""Late interaction: how well the vectors of a query's tokens find theirs among a document's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embedrt._errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def maxsim(query: ArrayLike, documents: ArrayLike | Sequence[ArrayLike]) -> Any:
    """Σ over the query's vectors of the greatest dot product with any of a document's vectors.

    query float32 [tokens, dim]; documents float32 [tokens, dim], or a sequence of such → a float32, or float32
    [documents]. A document without vectors scores 0. Raises InputError where the columns differ.
    """
    rows = _matrix(query, "query")
    if not isinstance(documents, np.ndarray) or documents.ndim != 2:
        several = [_matrix(each, f"documents[{index}]") for index, each in enumerate(documents)]  # type: ignore[arg-type]
        return np.array([_score(rows, each, f"documents[{n}]") for n, each in enumerate(several)], np.float32)
    return _score(rows, _matrix(documents, "documents"), "documents")


def _score(query: NDArray[np.float32], document: NDArray[np.float32], name: str) -> np.float32:
    if query.shape[1] != document.shape[1]:
        raise InputError(f"query has {query.shape[1]} columns and {name} has {document.shape[1]}")
    best = (query @ document.T).max(axis=1) if len(document) else np.zeros(1, np.float32)
    score: np.float32 = best.sum()
    return score


def _matrix(values: ArrayLike, name: str) -> NDArray[np.float32]:
    matrix = np.asarray(values, np.float32)
    if matrix.ndim != 2:
        raise InputError(f"{name} has {matrix.ndim} dimensions; expected the vectors of a text, [tokens, dim]")
    return matrix
