"""The way from texts to vectors: chunk by chunk, tokenise → run → write.

With one thread all of it is done by the calling one. With more, one thread tokenises the next chunk while the core
computes; it keeps up with some twenty threads of the smallest models. Before the first chunk nothing can compute: where
the CPUs are all to be used (`spread`), the tokenizers library uses them.

A chunk is bounded in characters, so that memory beyond the output depends neither on the number of texts nor on the
length of any; the core is ragged, so nothing is sorted or padded and a text's vector does not depend on its chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from embedrt._errors import InputError
from embedrt._overlap import overlapped
from embedrt._similarity import normalized
from embedrt._tokenize import TextTokenizer, TokenBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt import _core
    from embedrt._info import EncodeInfo

    Vectors = NDArray[np.float32]

# Characters of a chunk for each thread: some thousands of tokens, enough blocks for the threads to finish together.
# A token that a text is filled up with counts as four.
_CHUNK_CHARACTERS = 1 << 15
_CHUNK_TEXTS = 4096
# The first chunk where one thread tokenises it for several; each further one is twice as large as the one before.
_FIRST_CHARACTERS = 4096

Output = Literal["sentence_embedding", "token_embeddings"]
SENTENCE: Final = "sentence_embedding"
TOKENS: Final = "token_embeddings"
Advance = Callable[[int], object]
# The index of its first text, its texts with their prompt, and the `head` of each.
Chunk = tuple[int, list[str], list[str]]


class Encoding:
    """One call of `encode`: what stays the same over its chunks, and what it counts."""

    def __init__(
        self,
        core: _core.Model,
        tokenizer: TextTokenizer,
        *,
        prompt: str,
        limit: int,
        strict: bool,
        counted: bool,
        spread: bool,
        advance: Advance | None = None,
    ) -> None:
        self._core = core
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._limit = limit
        self._strict = strict
        self._counted = counted
        self._spread = spread
        self._advance = advance
        self._texts = 0
        self._tokens = 0
        self._truncated: list[int] = []
        self._cut_off = 0

    def sentences(self, texts: Sequence[str], dim: int, normalize: bool) -> Vectors:
        """One vector a text: float32 [texts, dim], the first `dim` columns of the output."""
        out = np.empty((len(texts), dim), np.float32)
        with closing(self._batches(texts)) as batches:
            for start, batch in batches:
                rows = self._core.run(batch.ids, batch.offsets, SENTENCE)[:, :dim]
                out[start : start + len(rows)] = normalized(rows) if normalize else rows
                self._done(len(rows))
        return out

    def tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """One float32 [tokens, columns] a text, special tokens included."""
        out: list[Vectors] = []
        with closing(self._batches(texts)) as batches:
            for _, batch in batches:
                rows = self._core.run(batch.ids, batch.offsets, TOKENS)
                out += [rows[begin:end].copy() for begin, end in zip(batch.offsets, batch.offsets[1:], strict=False)]
                self._done(len(batch.found))
        return out

    def info(self) -> EncodeInfo:
        from embedrt._info import EncodeInfo

        return EncodeInfo(self._texts, self._tokens, tuple(self._truncated), self._cut_off)

    def _batches(self, texts: Sequence[str]) -> Generator[tuple[int, TokenBatch], None, None]:
        """Each chunk's tokens with the index of its first text; with several threads one chunk ahead of the caller."""
        chunks = self._chunks(texts)
        if self._core.threads == 1:
            return (self._tokenise(chunk) for chunk in chunks)
        return overlapped(self._tokenise, chunks)

    def _chunks(self, texts: Sequence[str]) -> Iterator[Chunk]:
        largest = _CHUNK_CHARACTERS * self._core.threads
        # While one thread tokenises the first chunk, others have nothing to do.
        waits = self._core.threads > 1 and not self._spread
        budget = min(_FIRST_CHARACTERS, largest) if waits else largest
        least = 4 * self._tokenizer.least
        left = sum(max(len(text), least) for text in texts)
        start = characters = 0
        chunk: list[str] = []
        heads: list[str] = []
        for index, text in enumerate(texts):
            text = self._prompt + text
            head = self._tokenizer.head(text, self._limit, self._counted)
            # What is left at the end is too little for the threads to share: it joins the chunk before.
            size = max(len(head), least)
            full = characters + size > budget and left > budget // 2
            if chunk and (full or len(chunk) == _CHUNK_TEXTS):
                yield start, chunk, heads
                start, characters, chunk, heads = index, 0, [], []
                budget = min(2 * budget, largest)
            characters += size
            left -= max(len(texts[index]), least)
            chunk.append(text)
            heads.append(head)
        if chunk:
            yield start, chunk, heads

    def _tokenise(self, chunk: Chunk) -> tuple[int, TokenBatch]:
        start, texts, heads = chunk
        batch = self._tokenizer.encode(texts, heads, self._limit, spread=start == 0 and self._spread)
        for index, found in enumerate(batch.found, start):
            if found > self._limit:
                if self._strict:
                    raise InputError(
                        f"texts[{index}] has {found} tokens or more, the limit is {self._limit}: shorten it, raise "
                        'max_tokens, or pass on_long="truncate"'
                    )
                self._truncated.append(index)
                self._cut_off += found - self._limit
        self._tokens += len(batch.ids)
        return start, batch

    def _done(self, texts: int) -> None:
        self._texts += texts
        if self._advance:
            self._advance(texts)


def progress_bar(total: int | None, what: str = "text") -> Any:
    """A tqdm bar over `total` texts, or a number not known yet; None when tqdm is not installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc=f"{what.capitalize()}s", unit=what)
