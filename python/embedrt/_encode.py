"""The way from texts to vectors: chunk by chunk, tokenise → run → write.

A chunk is bounded in characters, so that memory beyond the output depends neither on the number of texts nor on the
length of any; the core is ragged, so nothing is sorted or padded and a text's vector does not depend on its chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from embedrt._errors import InputError
from embedrt._info import EncodeInfo
from embedrt._similarity import normalized
from embedrt._tokenize import TextTokenizer, TokenBatch

if TYPE_CHECKING:
    from embedrt import _core

# Characters of a chunk for each thread: some thousands of tokens, enough blocks for the threads to finish together.
_CHUNK_CHARACTERS = 1 << 15
_CHUNK_TEXTS = 4096

Output = Literal["sentence_embedding", "token_embeddings"]
SENTENCE: Final = "sentence_embedding"
TOKENS: Final = "token_embeddings"
Vectors = NDArray[np.float32]
Advance = Callable[[int], object]


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
        advance: Advance | None = None,
    ) -> None:
        self._core = core
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._limit = limit
        self._strict = strict
        self._counted = counted
        self._advance = advance
        self._texts = 0
        self._tokens = 0
        self._truncated: list[int] = []
        self._cut_off = 0

    def sentences(self, texts: Sequence[str], dim: int, normalize: bool) -> Vectors:
        """One vector a text: float32 [texts, dim], the first `dim` columns of the output."""
        out = np.empty((len(texts), dim), np.float32)
        for start, batch in self._batches(texts):
            rows = self._core.run(batch.ids, batch.offsets, SENTENCE)[:, :dim]
            out[start : start + len(rows)] = normalized(rows) if normalize else rows
            self._done(len(rows))
        return out

    def tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """One float32 [tokens, columns] a text, special tokens included."""
        out: list[Vectors] = []
        for _, batch in self._batches(texts):
            rows = self._core.run(batch.ids, batch.offsets, TOKENS)
            out += [rows[begin:end].copy() for begin, end in zip(batch.offsets, batch.offsets[1:], strict=False)]
            self._done(len(batch.found))
        return out

    def info(self) -> EncodeInfo:
        return EncodeInfo(self._texts, self._tokens, tuple(self._truncated), self._cut_off)

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[int, TokenBatch]]:
        """Each chunk's tokens with the index of its first text."""
        budget = _CHUNK_CHARACTERS * self._core.threads
        start = characters = 0
        chunk: list[str] = []
        heads: list[str] = []
        for index, text in enumerate(texts):
            text = self._prompt + text
            head = self._tokenizer.head(text, self._limit, self._counted)
            if chunk and (characters + len(head) > budget or len(chunk) == _CHUNK_TEXTS):
                yield start, self._tokenise(start, chunk, heads)
                start, characters, chunk, heads = index, 0, [], []
            characters += len(head)
            chunk.append(text)
            heads.append(head)
        if chunk:
            yield start, self._tokenise(start, chunk, heads)

    def _tokenise(self, start: int, chunk: list[str], heads: list[str]) -> TokenBatch:
        batch = self._tokenizer.encode(chunk, heads, self._limit)
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
        return batch

    def _done(self, texts: int) -> None:
        self._texts += texts
        if self._advance:
            self._advance(texts)


def progress_bar(total: int | None) -> Any:
    """A tqdm bar over `total` texts, or a number not known yet; None when tqdm is not installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc="Texts", unit="text")
