"""Texts to ragged token ids, cut to the limit, with the special ids around them and what they are filled up with.

The `tokenizers` library keeps truncation and padding as state on the tokenizer, which threads would share; both stay
off here, and so do its special tokens: the limit and the ids around each text are applied by this module.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from embedrt._errors import EmbedrtError, InputError, is_library_failure
from embedrt._tokenizer_schema import rebuild
from embedrt._window import MAX_CHARACTERS, cut_rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt._text_config import Pad

# Texts up to here are tokenised whole when the tokens that are cut off are counted.
COUNTED_WHOLE = 1 << 16
# Where they are not counted, a first window of this many characters a token holds the limit in nearly every language.
_CHARACTERS_PER_TOKEN = 8
# Characters in a batch from which on waking the library's threads pays.
_WORTH_THREADS = 4096


class TokenBatch(NamedTuple):
    """Ragged ids: item i is ids[offsets[i]:offsets[i + 1]].

    ids int32 [tokens], offsets int64 [items + 1]. `found[i]` is how many tokens item i had before it was cut or filled
    up, special ones included: exact when its head was the whole text, else at least that many.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    found: list[int]


class TextTokenizer:
    """A model file's tokenizer; safe to use from several threads."""

    def __init__(self, section: bytes, vocabulary: int, pad: Pad | None = None) -> None:
        """Build it from the file's section for a program of `vocabulary` ids. Raises FormatError."""
        with _collector_paused():
            parts = rebuild(section, vocabulary)
            self._tokenizer = parts.build()
        normalizer = self._tokenizer.normalizer
        self._window = cut_rule(parts, normalizer.normalize_str if normalizer else str)
        self._prefix = list(parts.prefix)
        self._suffix = list(parts.suffix)
        self._fill = [pad.id] * pad.to if pad else []
        self.special = len(self._prefix) + len(self._suffix)
        self.least = len(self._fill)

    def head(self, text: str, limit: int, counted: bool = False) -> str:
        """The part of `text` that `encode` looks at first for its first `limit` tokens: all of it unless it is long.

        With `counted`, texts of up to 65,536 characters stay whole, so that what is cut off them can be counted.
        """
        size = COUNTED_WHOLE if counted else max(1024, _CHARACTERS_PER_TOKEN * limit)
        return text if len(text) <= size else text[: self._window.cut(text, size)]

    def encode(self, texts: Sequence[str], heads: Sequence[str], limit: int, spread: bool = False) -> TokenBatch:
        """Tokenise each text, given its `head`, and cut it to `limit` tokens, special ones included; then fill it up.

        Lone surrogates count as U+FFFD. With `spread` the library's own threads take part, as many as there are CPUs;
        without, the calling one does it all.
        """
        room = limit - self.special
        ids: list[int] = []
        ends = [0]
        found = []
        for text, head, content in zip(texts, heads, self._content(heads, spread), strict=True):
            if len(content) <= room and len(head) < len(text):
                content = self._widen(text, len(head), content, room)
            found.append(len(content) + self.special)
            ids += self._prefix
            ids += content if len(content) <= room else content[:room]
            ids += self._suffix
            ids += self._fill[len(ids) - ends[-1] :]
            ends.append(len(ids))
        return TokenBatch(np.array(ids, np.int32), np.array(ends, np.int64), found)

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """How many tokens each text has, special ones included, neither cut nor filled up. int64 [texts].

        A text of more than 2**20 characters is counted up to there.
        """
        counts = []
        for text in texts:
            content = self._content([text[: self._window.cut(text, MAX_CHARACTERS)]])[0]
            counts.append(len(content) + self.special)
        return np.array(counts, np.int64)

    def _widen(self, text: str, size: int, content: list[int], room: int) -> list[int]:
        """The tokens of longer and longer heads of `text`, until there are more than `room` or no more characters."""
        while len(content) <= room and size < min(len(text), MAX_CHARACTERS):
            size = max(4 * size, COUNTED_WHOLE)
            content = self._content([text[: self._window.cut(text, size)]])[0]
        return content

    def _content(self, texts: Sequence[str], spread: bool = False) -> list[list[int]]:
        """The ids of each text, special tokens apart."""
        texts = [text if text.isascii() else _encodable(text) for text in texts]
        try:
            if spread and sum(map(len, texts)) > _WORTH_THREADS:
                batch = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
                return [encoding.ids for encoding in batch]
            encode = self._tokenizer.encode
            return [encode(text, add_special_tokens=False).ids for text in texts]
        except BaseException as error:
            if is_library_failure(error):
                raise EmbedrtError(f"the tokenizers library failed on a text: {error}") from None
            raise


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: it would go through a growing vocabulary again and again and find nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _encodable(text: str) -> str:
    """The text with U+FFFD for lone surrogates: versions of the library differ in what they make of those."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return re.sub("[\ud800-\udfff]", "\ufffd", text)
    return text


def check_texts(texts: Sequence[object]) -> None:
    """Raises TypeError naming the index of the first that is not a str."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{index}] is a {type(text).__name__}, not a str")


def check_limit(max_tokens: int, special: int, most: int) -> int:
    """A caller's token limit. Raises InputError."""
    least = max(1, special)
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int):
        raise TypeError(f"max_tokens is a {type(max_tokens).__name__}, not an int")
    if not least <= max_tokens <= most:
        raise InputError(f"max_tokens is {max_tokens}, this model takes {least} to {most}")
    return max_tokens
