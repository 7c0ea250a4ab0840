"""From texts to several outputs at once: sparse weights, vectors of tokens. Queries may be filled up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embedrt._encode import Encoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt._retrieval_config import Expansion
    from embedrt._tokenize import PairBatch, TokenBatch

    Vectors = NDArray[np.float32]

# What the core gives at once, for outputs as wide as a vocabulary.
_MOST_BYTES = 32 << 20


class Tokens(NamedTuple):
    """Ragged ids: text i has ids[offsets[i]:offsets[i + 1]], of which the first attended[i] are seen by others.

    ids int32 [tokens], offsets int64 [texts + 1], attended int64 [texts] or None for all.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    attended: NDArray[np.int64] | None = None

    def part(self, first: int, last: int) -> Tokens:
        begin, end = self.offsets[first], self.offsets[last]
        attended = None if self.attended is None else self.attended[first:last]
        return Tokens(self.ids[begin:end], self.offsets[first : last + 1] - begin, attended)


class RetrievalEncoding(Encoding):
    """One call for `outputs` of the program; `expansion` fills up every text."""

    def __init__(self, *args: Any, outputs: Sequence[str], expansion: Expansion | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._outputs = list(outputs)
        self._expansion = expansion

    def run(self, texts: Sequence[str]) -> Iterator[tuple[Tokens, list[Vectors]]]:
        """The tokens of some texts after another, with their outputs."""
        columns = self._core.outputs()
        at_once = max(1, _MOST_BYTES // (4 * max(columns[name] for name in self._outputs)))
        with closing(self._batches(texts)) as batches:
            for batch in batches:
                tokens = _filled(batch.tokens, self._expansion)
                for first in range(0, len(tokens.offsets) - 1, at_once):
                    part = tokens.part(first, min(first + at_once, len(tokens.offsets) - 1))
                    yield part, self._run_outputs(part)
                    self._done(len(part.offsets) - 1)

    def _run_outputs(self, tokens: Tokens) -> list[Vectors]:
        if tokens.attended is None:
            return self._core.run_outputs(tokens.ids, tokens.offsets, self._outputs)
        return self._core.run_outputs(tokens.ids, tokens.offsets, self._outputs, attended=tokens.attended)


def _filled(batch: TokenBatch | PairBatch, expansion: Expansion | None) -> Tokens:
    if expansion is None:
        return Tokens(batch.ids, batch.offsets)
    lengths = np.diff(batch.offsets)
    offsets = np.cumsum([0, *np.maximum(lengths, expansion.to)], dtype=np.int64)
    ids = np.full(offsets[-1], expansion.id, np.int32)
    # Where each token of the batch goes.
    shift = np.repeat(offsets[:-1] - batch.offsets[:-1], lengths)
    ids[np.arange(len(batch.ids)) + shift] = batch.ids
    return Tokens(ids, offsets, None if expansion.attended else lengths)
