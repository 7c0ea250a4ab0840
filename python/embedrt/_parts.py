"""Vectors that are put together from several runs of the program: of a text's windows, of a segment's.

A row of the output is Σ nᵢ·vᵢ / Σ nᵢ over its parts, where the vector vᵢ of a part counts by its number of tokens nᵢ:
summed in float64 in the order of the parts, so that no bit depends on what is run together, and of unit length again
where the model's vectors are. A row with one part is that part's vector as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embedrt._outputs import SENTENCE
from embedrt._similarity import normalized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt import _core
    from embedrt._precision import Form

    Rows = NDArray[np.int64]

# Tokens that run together for each thread; one input may have more.
_RUN_TOKENS = 1 << 13


class Part(NamedTuple):
    """A vector of `tokens` tokens that goes into output row `row`, one of `parts`.

    `span` are the rows of its input that are pooled, None for all of them.
    """

    row: int
    tokens: int = 1
    parts: int = 1
    span: tuple[int, int] | None = None


class Item(NamedTuple):
    """One input of the program, special tokens and all, and its parts: all with a span, or one without."""

    ids: list[int]
    parts: list[Part]


class Parts:
    """Runs items, and writes each row of `out` in `form` when it has all its parts."""

    def __init__(self, core: _core.Model, out: NDArray[Any], form: Form, pooling: str | None = None) -> None:
        self._core = core
        self._out = out
        self._form = form
        self._pooling = pooling
        self._unit = core.unit_length(SENTENCE)
        # Of each row that lacks parts: the sum so far, its tokens, and how many parts it has.
        self._open: dict[int, tuple[NDArray[np.float64], int, int]] = {}

    def run(self, items: Iterable[Item]) -> int:
        """Run them, some thousands of tokens at a time. Returns how many tokens that were."""
        return sum(self._group(group) for group in _grouped(items, _RUN_TOKENS * self._core.threads))

    def _group(self, items: list[Item]) -> int:
        ids = np.array(list(itertools.chain.from_iterable(item.ids for item in items)), np.int32)
        offsets = np.cumsum([0, *(len(item.ids) for item in items)], dtype=np.int64)
        parts = [part for item in items for part in item.parts]
        if parts[0].span is None:
            rows = self._core.run(ids, offsets, SENTENCE)
        else:
            spans = np.array(
                [
                    (at + part.span[0], at + part.span[1])
                    for at, item in zip(offsets, items, strict=False)
                    for part in item.parts
                    if part.span is not None
                ],
                np.int64,
            )
            rows = self._core.run(ids, offsets, SENTENCE, spans=spans, pooling=self._pooling)
        whole = [index for index, part in enumerate(parts) if part.parts == 1]
        self._out[[parts[index].row for index in whole]] = self._form.of(rows[whole])
        for part, row in zip(parts, rows, strict=True):
            if part.parts > 1:
                self._add(part, row)
        return len(ids)

    def _add(self, part: Part, vector: NDArray[np.float32]) -> None:
        weighted = vector.astype(np.float64) * part.tokens
        total, tokens, count = self._open.pop(part.row, (np.zeros_like(weighted), 0, 0))
        total, tokens, count = total + weighted, tokens + part.tokens, count + 1
        if count < part.parts:
            self._open[part.row] = total, tokens, count
            return
        mean = (total / tokens).astype(np.float32)[None]
        self._out[part.row] = self._form.of(normalized(mean) if self._unit else mean)[0]


def _grouped(items: Iterable[Item], tokens: int) -> Iterator[list[Item]]:
    """Lists of items of up to so many tokens, of one where that has more."""
    group: list[Item] = []
    size = 0
    for item in items:
        if group and size + len(item.ids) > tokens:
            yield group
            group, size = [], 0
        group.append(item)
        size += len(item.ids)
    if group:
        yield group
