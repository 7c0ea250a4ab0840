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
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from embedrt._errors import InputError
from embedrt._outputs import SENTENCE, TOKENS
from embedrt._overlap import overlapped
from embedrt._precision import Form
from embedrt._tokenize import PairBatch, TextTokenizer, TokenBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt import _core
    from embedrt._info import EncodeInfo

    Vectors = NDArray[np.float32]
    Rows = NDArray[np.int64]

# Characters of a chunk for each thread: some thousands of tokens, enough blocks for the threads to finish together.
# A token that a text is filled up with counts as four.
_CHUNK_CHARACTERS = 1 << 15
_CHUNK_TEXTS = 4096
# The first chunk where one thread tokenises it for several; each further one is twice as large as the one before.
_FIRST_CHARACTERS = 4096

Output = Literal["sentence_embedding", "token_embeddings"]
OnLong = Literal["truncate", "error", "window", "late"]
Advance = Callable[[int], object]
# The index of its first text, its texts with their prompt, and the `head` of each; of pairs the first and second texts.
Chunk = tuple[int, list[str], list[str]]


class Limits(NamedTuple):
    """What happens to texts over `limit` tokens, special ones included; `usual` is the model's default limit."""

    on_long: OnLong
    limit: int
    usual: int


class Batch(NamedTuple):
    """A chunk's tokens, and the index of its first text.

    `spans` int64 [texts, 2] are the rows of the ids that are pooled, None for all; `places` as those of
    `encode_with_places`, None where nobody asks.
    """

    start: int
    tokens: TokenBatch | PairBatch
    spans: Rows | None = None
    places: Rows | None = None


class Encoding:
    """One call of `encode`: what stays the same over its chunks, and what it counts."""

    def __init__(
        self,
        core: _core.Model,
        tokenizer: TextTokenizer,
        *,
        prompt: str,
        limits: Limits,
        counted: bool,
        spread: bool,
        pools_prompt: bool = True,
        advance: Advance | None = None,
    ) -> None:
        self._core = core
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._limits = limits
        self._counted = counted
        self._spread = spread
        self._advance = advance
        # How many rows at the start of each text are not pooled.
        self._skipped = 0 if pools_prompt else tokenizer.prompt_length(prompt, limits.limit)
        self._texts = 0
        self._tokens = 0
        self._truncated: list[int] = []
        self._cut_off = 0
        self._late: list[int] = []
        self._windows: dict[int, int] = {}

    def sentences(self, texts: Sequence[str], form: Form) -> NDArray[Any]:
        """One vector a text, in `form`."""
        out = form.empty(len(texts))
        with closing(self._batches(texts)) as batches:
            for batch in batches:
                rows = self._run(batch.tokens.ids, batch.tokens.offsets, batch.spans)
                out[batch.start : batch.start + len(rows)] = form.of(rows)
                self._done(len(rows))
        return out

    def tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """One float32 [tokens, columns] a text, special tokens included."""
        return [rows for rows, _, _ in self._token_rows(texts)]

    def placed_tokens(self, texts: Sequence[str]) -> list[tuple[Vectors, Rows, NDArray[np.int32]]]:
        """As `tokens`, with where each token stands in its text, int64 [tokens, 2], and its id, int32 [tokens]."""
        found = []
        for rows, places, ids in self._token_rows(texts, placed=True):
            # In the text without its prompt, whose own tokens are at (0, 0) then, as the special ones.
            found.append((rows, np.maximum(places - len(self._prompt), 0), ids))
        return found

    def info(self) -> EncodeInfo:
        from embedrt._info import EncodeInfo

        return EncodeInfo(
            self._texts, self._tokens, tuple(self._truncated), self._cut_off, self._windows, tuple(self._late)
        )

    def _token_rows(
        self, texts: Sequence[str], placed: bool = False
    ) -> Iterator[tuple[Vectors, Rows, NDArray[np.int32]]]:
        with closing(self._batches(texts, placed)) as batches:
            for batch in batches:
                tokens, places = batch.tokens, batch.places
                rows = self._core.run(tokens.ids, tokens.offsets, TOKENS)
                for begin, end in zip(tokens.offsets, tokens.offsets[1:], strict=False):
                    where = places[begin:end] if places is not None else _NOWHERE
                    yield rows[begin:end].copy(), where, tokens.ids[begin:end].copy()
                self._done(len(tokens.found))

    def _run(self, ids: NDArray[np.int32], offsets: Rows, spans: Rows | None) -> Vectors:
        if spans is None:
            return self._core.run(ids, offsets, SENTENCE)
        return self._core.run(ids, offsets, SENTENCE, spans=spans)

    def _batches(self, texts: Sequence[str], placed: bool = False) -> Generator[Batch, None, None]:
        """Each chunk's tokens; with several threads one chunk ahead of the caller."""
        chunks = self._chunks(texts)
        tokenise = self._tokenise_placed if placed else self._tokenise
        if self._core.threads == 1:
            return (tokenise(chunk) for chunk in chunks)
        return overlapped(tokenise, chunks)

    def _chunks(self, texts: Sequence[str]) -> Iterator[Chunk]:
        budgets = self._budgets()
        budget = next(budgets)
        least = 4 * self._tokenizer.least
        left = sum(max(len(text), least) for text in texts)
        start = characters = 0
        chunk: list[str] = []
        heads: list[str] = []
        for index, text in enumerate(texts):
            text = self._prompt + text
            head = self._head(text)
            # What is left at the end is too little for the threads to share: it joins the chunk before.
            size = max(len(head), least)
            full = characters + size > budget and left > budget // 2
            if chunk and (full or len(chunk) == _CHUNK_TEXTS):
                yield start, chunk, heads
                start, characters, chunk, heads = index, 0, [], []
                budget = next(budgets)
            characters += size
            left -= max(len(texts[index]), least)
            chunk.append(text)
            heads.append(head)
        if chunk:
            yield start, chunk, heads

    def _budgets(self) -> Iterator[int]:
        """The characters of each chunk."""
        largest = _CHUNK_CHARACTERS * self._core.threads
        # While one thread tokenises the first chunk, others have nothing to do.
        waits = self._core.threads > 1 and not self._spread
        budget = min(_FIRST_CHARACTERS, largest) if waits else largest
        while True:
            yield budget
            budget = min(2 * budget, largest)

    def _head(self, text: str) -> str:
        return self._tokenizer.head(text, self._limits.limit, self._counted)

    def _tokenise(self, chunk: Chunk) -> Batch:
        start, texts, heads = chunk
        spread = start == 0 and self._spread
        return self._checked(Batch(start, self._tokenizer.encode(texts, heads, self._limits.limit, spread=spread)))

    def _tokenise_placed(self, chunk: Chunk) -> Batch:
        start, texts, heads = chunk
        tokens, places = self._tokenizer.encode_with_places(texts, heads, self._limits.limit)
        return self._checked(Batch(start, tokens, places=places))

    def _checked(self, batch: Batch) -> Batch:
        """The batch with its spans; counts what was cut. Raises InputError for a text that is too long."""
        on_long, limit, usual = self._limits
        for index, found in enumerate(batch.tokens.found, batch.start):
            if found > limit:
                if on_long != "truncate":
                    raise InputError(f"texts[{index}] has {found} tokens or more, {TOO_LONG[on_long].format(limit)}")
                self._truncated.append(index)
                self._cut_off += found - limit
            elif on_long == "late" and found > usual:
                self._late.append(index)
        self._tokens += len(batch.tokens.ids)
        return batch._replace(spans=self._spans(batch)) if self._skipped else batch

    def _spans(self, batch: Batch) -> Rows:
        """The rows of each text behind those of the prompt."""
        begins, ends = batch.tokens.offsets[:-1] + self._skipped, batch.tokens.offsets[1:]
        if (begins >= ends).any():
            index = batch.start + int(np.argmax(begins >= ends))
            raise InputError(
                f"texts[{index}]: there is no token but the prompt's, and this model does not pool those; leave the "
                "text out, or raise max_tokens if the prompt takes all of it"
            )
        return np.stack([begins, ends], axis=1)

    def _done(self, texts: int) -> None:
        self._texts += texts
        if self._advance:
            self._advance(texts)


_NOWHERE: Rows = np.empty((0, 2), np.int64)
TOO_LONG = {
    "error": 'the limit is {}: shorten it, raise max_tokens, or pass on_long="truncate" or "window"',
    "late": 'the model runs {} at once: pass on_long="window", or shorten it',
}


def progress_bar(total: int | None, what: str = "text") -> Any:
    """A tqdm bar over `total` texts, or a number not known yet; None when tqdm is not installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc=f"{what.capitalize()}s", unit=what)
