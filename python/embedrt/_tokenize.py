"""Texts to ragged token ids, cut to the limit, with the special ids around them and what they are filled up with.

The `tokenizers` library keeps truncation and padding as state on the tokenizer, which threads would share; both stay
off here, and so do its special tokens: the limit and the ids around each text are applied by this module.
"""

from __future__ import annotations

import gc
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from embedrt._errors import EmbedrtError, InputError, is_library_failure
from embedrt._tokenizer_schema import rebuild
from embedrt._window import MAX_CHARACTERS, cut_rule

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Encoding

    from embedrt._text_config import Pad
    from embedrt._tokenizer_templates import PairTemplate

Token = TypeVar("Token")

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


class PairBatch(NamedTuple):
    """Ragged ids of two texts at a time, as `TokenBatch`, and each token's type: int32 [tokens]."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    types: NDArray[np.int32]
    found: list[int]


class Content(NamedTuple):
    """A whole text's tokens without special ones around them: ids int32 [tokens], and where they stand in it.

    `places` int64 [tokens, 2]: each token is made of the characters from the first number up to the second. Tokens
    may share characters (bytes of one do) or have none, and characters may belong to no token.
    """

    ids: NDArray[np.int32]
    places: NDArray[np.int64]


class TextTokenizer:
    """A model file's tokenizer; safe to use from several threads."""

    def __init__(self, section: bytes, vocabulary: int, pad: Pad | None = None) -> None:
        """Build it from the file's section for a program of `vocabulary` ids. Raises FormatError."""
        with _collector_paused():
            parts = rebuild(section, vocabulary)
            self._tokenizer = parts.build()
        normalizer = self._tokenizer.normalizer
        self._window = cut_rule(parts, normalizer.normalize_str if normalizer else str)
        # The ids around every text.
        self.prefix = parts.prefix
        self.suffix = parts.suffix
        self._pair = parts.template.pair
        self._trims = _trims(parts.template.trims)
        self._fill = [pad.id] * pad.to if pad else []
        self._named = {token["id"] for token in parts.added_tokens if token["special"]}.union(self.suffix)
        self.special = len(self.prefix) + len(self.suffix)
        # How many of the tokens of a pair are special; 0 also where there is no template of pairs.
        self.pair_special = sum(map(len, self._pair[:3])) if self._pair else 0
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
        ids, ends, found = self._ragged(self._first(texts, heads, room, _ids, spread), room, int)
        return TokenBatch(np.array(ids, np.int32), np.array(ends, np.int64), found)

    def encode_with_places(
        self, texts: Sequence[str], heads: Sequence[str], limit: int
    ) -> tuple[TokenBatch, NDArray[np.int64]]:
        """As `encode`, and where each token stands in its text: as `Content.places`, and (0, 0) for special ones."""
        room = limit - self.special
        tokens, ends, found = self._ragged(
            self._first(texts, heads, room, self._placed), room, lambda index: (index, (0, 0))
        )
        content = _content(tokens)
        return TokenBatch(content.ids, np.array(ends, np.int64), found), content.places

    def encode_pairs(self, first: Sequence[str], second: Sequence[str], limit: int) -> PairBatch:
        """Tokenise texts two by two, with the special tokens of a pair, and cut them to `limit` tokens in all.

        What is over the limit goes from the end of the one with more tokens until both have as many, then from both.
        Of texts of more than 65,536 characters, the first so many decide which has more.
        `limit` is `pair_special` at least. Raises EmbedrtError where the tokenizer has no template for pairs.
        """
        pair = self._pair_template()
        special = [([token.id for token in side], [token.type for token in side]) for side in pair[:3]]
        room = limit - self.pair_special
        ids: list[int] = []
        types: list[int] = []
        ends = [0]
        found = []
        pairs = list(zip(first, second, strict=True))
        heads = [(self.head(one, limit), self.head(two, limit)) for one, two in pairs]
        ones = self._first(first, [head for head, _ in heads], room, _ids)
        twos = self._first(second, [head for _, head in heads], room, _ids)
        for texts, looked_at, one, two in zip(pairs, heads, ones, twos, strict=True):
            sizes = len(one), len(two)
            found.append(sum(sizes) + self.pair_special)
            if min(sizes) > room and room % 2 and texts != looked_at:
                sizes = self._beginning(texts[0]), self._beginning(texts[1])
            kept = _shares(*sizes, room)
            contents: tuple[list[int], ...] = one[: kept[0]], two[: kept[1]], []
            for (special_ids, special_types), content, kind in zip(special, contents, (*pair.types, 0), strict=True):
                ids += special_ids + content
                types += special_types + [kind] * len(content)
            ends.append(len(ids))
        return PairBatch(np.array(ids, np.int32), np.array(ends, np.int64), np.array(types, np.int32), found)

    def token(self, index: int) -> str | None:
        """The text of a token by its id, None for an id that is none."""
        text: str | None = self._tokenizer.id_to_token(index)
        return text

    def content(self, text: str) -> Content:
        """All tokens of a text and where they stand in it. One of more than 2**20 characters is cut there."""
        return _content(self._tokenised([text[: self._window.cut(text, MAX_CHARACTERS)]], self._placed)[0])

    def prompt_length(self, prompt: str, limit: int) -> int:
        """How many tokens a prompt counts for at the start of a text that is cut to `limit`, special ones included.

        As sentence-transformers counts them: those of the prompt alone, less one if the last of them is a special one.
        0 for an empty prompt.
        """
        if not prompt:
            return 0
        room = limit - self.special
        content = next(self._first([prompt], [self.head(prompt, limit)], room, _ids))
        ids = [*self.prefix, *content[:room], *self.suffix]
        return len(ids) - bool(ids and ids[-1] in self._named)

    def framed(self, content: Sequence[int]) -> list[int]:
        """Some of a text's tokens with the special ones around them, filled up as a text is."""
        ids = [*self.prefix, *content, *self.suffix]
        return ids + self._fill[len(ids) :]

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """How many tokens each text has, special ones included, neither cut nor filled up. int64 [texts].

        A text of more than 2**20 characters is counted up to there.
        """
        counts = []
        for text in texts:
            content = self._tokenised([text[: self._window.cut(text, MAX_CHARACTERS)]], _ids)[0]
            counts.append(len(content) + self.special)
        return np.array(counts, np.int64)

    def _beginning(self, text: str) -> int:
        """The tokens of a text's first 65,536 characters."""
        return len(self._tokenised([text[: self._window.cut(text, COUNTED_WHOLE)]], _ids)[0])

    def _pair_template(self) -> PairTemplate:
        if self._pair is None:
            raise EmbedrtError(
                "the model's tokenizer does not say how two texts stand in one input (its post_processor has no "
                "template for pairs): take a model that was trained on pairs"
            )
        return self._pair

    def _ragged(
        self, contents: Iterable[list[Token]], room: int, special: Callable[[int], Token]
    ) -> tuple[list[Token], list[int], list[int]]:
        """Each content cut to `room` tokens, with the special ones around it; where each ends; what was found."""
        prefix, suffix, fill = (list(map(special, ids)) for ids in (self.prefix, self.suffix, self._fill))
        tokens: list[Token] = []
        ends = [0]
        found = []
        for content in contents:
            found.append(len(content) + self.special)
            tokens += prefix
            tokens += content if len(content) <= room else content[:room]
            tokens += suffix
            tokens += fill[len(tokens) - ends[-1] :]
            ends.append(len(tokens))
        return tokens, ends, found

    def _first(
        self,
        texts: Sequence[str],
        heads: Sequence[str],
        room: int,
        take: Callable[[Encoding], list[Token]],
        spread: bool = False,
    ) -> Iterator[list[Token]]:
        """The first tokens of each text, given its `head`: all of them, or more than `room`."""
        for text, head, content in zip(texts, heads, self._tokenised(heads, take, spread), strict=True):
            size = len(head)
            while len(content) <= room and size < min(len(text), MAX_CHARACTERS):
                size = max(4 * size, COUNTED_WHOLE)
                content = self._tokenised([text[: self._window.cut(text, size)]], take)[0]
            yield content

    def _placed(self, encoding: Encoding) -> list[tuple[int, tuple[int, int]]]:
        for trim in self._trims:
            encoding = trim.process(encoding, None, False)
        return list(zip(encoding.ids, encoding.offsets, strict=True))

    def _tokenised(
        self, texts: Sequence[str], take: Callable[[Encoding], list[Token]], spread: bool = False
    ) -> list[list[Token]]:
        """The tokens of each text, special ones around it apart."""
        texts = [text if text.isascii() else _encodable(text) for text in texts]
        try:
            if spread and sum(map(len, texts)) > _WORTH_THREADS:
                # Without offsets.
                return list(map(take, self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)))
            encode = self._tokenizer.encode
            return [take(encode(text, add_special_tokens=False)) for text in texts]
        except BaseException as error:
            if is_library_failure(error):
                raise EmbedrtError(f"the tokenizers library failed on a text: {error}") from None
            raise


_ids: Callable[[Encoding], list[int]] = operator.attrgetter("ids")


def _content(tokens: list[tuple[int, tuple[int, int]]]) -> Content:
    ids = np.array([index for index, _ in tokens], np.int32)
    return Content(ids, np.array([place for _, place in tokens], np.int64).reshape(-1, 2))


def _shares(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens stay of two texts of so many."""
    if first + second <= room:
        return first, second
    least = min(first, second, room // 2)
    return (least, room - least) if first <= second else (room - least, least)


def _trims(add_prefix_space: Sequence[bool]) -> list[Any]:
    """The library's steps that take white space off offsets."""
    from tokenizers import processors

    return [processors.ByteLevel(add_prefix_space=space, trim_offsets=True) for space in add_prefix_space]


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: it would go through a growing vocabulary again and again and find nothing."""
    was_on = gc.isenabled()
    # Whoever turns it off turns it on again: it is on when the last of several threads leaves.
    if was_on:
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
