"""Texts over the limit as overlapping windows.

A text's tokens are those of the text as a whole; a window holds some of them, with the special tokens and the prompt's
around them. With room for r tokens in a window, windows begin at 0, r - r // 4, 2 · (r - r // 4) …: neighbours share a
quarter. The last ends with the text and may be shorter. `_parts.py` says what becomes of their vectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from embedrt._encode import Batch, Chunk, Encoding
from embedrt._errors import InputError
from embedrt._parts import Item, Part, Parts
from embedrt._tokenize import TextTokenizer
from embedrt._window import MAX_CHARACTERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt._precision import Form

# More tokens than any text has: nothing is cut.
_WHOLE = 1 << 62


def windows(tokens: int, room: int) -> list[tuple[int, int]]:
    """The first token and the end of each window over so many tokens, at most `room` in each."""
    if tokens <= room:
        return [(0, tokens)]
    shared = room // 4
    return [(first, min(first + room, tokens)) for first in range(0, tokens - shared, room - shared)]


class Frame:
    """What stands around each window of a call's texts: the special tokens, the prompt's, what fills it up."""

    def __init__(self, tokenizer: TextTokenizer, prompt: str, limit: int) -> None:
        self._tokenizer = tokenizer
        self._prompt = tokenizer.content(prompt).ids.tolist() if prompt else []
        self._limit = limit

    def prompt_tokens(self, content: Sequence[int]) -> int:
        """How many of a text's first tokens are the prompt's: where it meets the text, tokens may have joined."""
        pairs = zip(content, self._prompt, strict=False)
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))

    def room(self, prompt_tokens: int) -> int:
        """How many tokens a window holds beside those of the prompt. Raises InputError where there is no room."""
        room = self._limit - self._tokenizer.special - prompt_tokens
        if room < 1:
            raise InputError(
                f"a window of {self._limit} tokens has no room for a text beside {self._tokenizer.special} special "
                f"ones and {prompt_tokens} of the prompt: raise max_tokens, or shorten the prompt"
            )
        return room

    def ids(self, content: Sequence[int], prompt_tokens: int, window: tuple[int, int]) -> list[int]:
        """The program's ids for a window of a text's tokens, which begin behind the prompt."""
        first, end = window
        return self._tokenizer.framed([*content[:prompt_tokens], *content[prompt_tokens + first : prompt_tokens + end]])

    def first_row(self, prompt_tokens: int) -> int:
        """The row of a window's first token."""
        return len(self._tokenizer.prefix) + prompt_tokens


class WindowEncoding(Encoding):
    """A call of `encode` with on_long="window"."""

    def sentences(self, texts: Sequence[str], form: Form) -> NDArray[Any]:
        check_characters(texts, self._prompt)
        out = form.empty(len(texts))
        frame = Frame(self._tokenizer, self._prompt, self._limits.limit)
        parts = Parts(self._core, out, form)
        with closing(self._batches(texts)) as batches:
            for batch in batches:
                self._tokens += parts.run(self._items(batch, frame))
                self._done(len(batch.tokens.found))
        return out

    def _items(self, batch: Batch, frame: Frame) -> Iterator[Item]:
        offsets, found = batch.tokens.offsets, batch.tokens.found
        for index, count in enumerate(found):
            text = batch.start + index
            ids = batch.tokens.ids[offsets[index] : offsets[index + 1]].tolist()
            if count <= self._limits.limit:
                yield Item(ids, [Part(text, span=(self._skipped, len(ids)) if self._skipped else None)])
                continue
            begin = len(self._tokenizer.prefix)
            content = ids[begin : begin + count - self._tokenizer.special]
            prompt = frame.prompt_tokens(content)
            places = windows(len(content) - prompt, frame.room(prompt))
            self._windows[text] = len(places)
            for first, end in places:
                window = frame.ids(content, prompt, (first, end))
                span = (frame.first_row(prompt), len(window)) if self._skipped else None
                yield Item(window, [Part(text, end - first, len(places), span)])

    def _head(self, text: str) -> str:
        return text

    def _tokenise(self, chunk: Chunk) -> Batch:
        start, texts, heads = chunk
        batch = Batch(start, self._tokenizer.encode(texts, heads, _WHOLE, spread=start == 0 and self._spread))
        if self._skipped:
            self._spans(batch)
        return batch


def check_characters(texts: Sequence[str], prompt: str) -> None:
    """Raises InputError for a text that the tokenizer would cut."""
    for index, text in enumerate(texts):
        if len(prompt) + len(text) > MAX_CHARACTERS:
            raise InputError(
                f"texts[{index}] has {len(text)} characters, at most {MAX_CHARACTERS} are tokenised: split it before"
            )
