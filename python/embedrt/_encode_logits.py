"""From texts, or pairs of them, to the logits of a classifier: chunk by chunk, as `_encode` does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from embedrt._encode import Batch, Chunk, Encoding
from embedrt._outputs import LOGITS
from embedrt._tokenize import PairBatch

if TYPE_CHECKING:
    from embedrt._encode import Vectors


class LogitsEncoding(Encoding):
    """One call of `classify` on texts."""

    def logits(self, items: Sequence[Any], columns: int) -> Vectors:
        """float32 [items, columns]."""
        out = np.empty((len(items), columns), np.float32)
        with closing(self._batches(items)) as batches:
            for batch in batches:
                tokens = batch.tokens
                # Without types they are all 0, which is what those of a single text are.
                types = tokens.types if isinstance(tokens, PairBatch) and self._core.types_count else None
                rows = self._core.run(tokens.ids, tokens.offsets, LOGITS, types=types)
                out[batch.start : batch.start + len(rows)] = rows
                self._done(len(rows))
        return out


class PairEncoding(LogitsEncoding):
    """The same on pairs of texts."""

    def _chunks(self, pairs: Sequence[Any]) -> Iterator[Chunk]:
        start = characters = 0
        budgets = self._budgets()
        budget = next(budgets)
        for index, (first, second) in enumerate(pairs):
            size = len(self._head(first)) + len(self._head(second))
            if index > start and characters + size > budget:
                yield _chunk(start, pairs[start:index])
                start, characters, budget = index, 0, next(budgets)
            characters += size
        if pairs:
            yield _chunk(start, pairs[start:])

    def _tokenise(self, chunk: Chunk) -> Batch:
        start, first, second = chunk
        return self._checked(Batch(start, self._tokenizer.encode_pairs(first, second, self._limits.limit)))


def _chunk(start: int, pairs: Sequence[Any]) -> Chunk:
    return start, [first for first, _ in pairs], [second for _, second in pairs]
