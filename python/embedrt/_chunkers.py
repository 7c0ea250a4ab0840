"""Where the segments of a text are: sentences, paragraphs, so many tokens. Spans are (start, end) in characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from embedrt._errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Span: TypeAlias = tuple[int, int]
Pooling = Literal["mean", "max", "sum", "first", "last"]
POOLINGS: Final[tuple[Pooling, ...]] = get_args(Pooling)

# Of Unicode's Sentence_Terminal: those that end a sentence wherever they stand, and those that do before white space.
_ALONE: Final = "。！？｡"
_BEFORE_SPACE: Final = ".?!…‽؟۔।॥።፧፨။។៕᠃᠉꓿"
_CLOSING: Final = "\"'”’»›)]}）」』】》〉〕］｝"
_END: Final = re.compile(f"[{_ALONE}{_BEFORE_SPACE}]+[{re.escape(_CLOSING)}]*")
_NEXT: Final = re.compile(r"\s*(\S)")
# What a lower-case letter may follow within a sentence, as UAX #29 has it.
_DOTS: Final = frozenset(".…" + _CLOSING)


@dataclass(frozen=True)
class FixedTokens:
    """Segments of so many tokens of the model's own tokenizer, each sharing `overlap` with the one before it.

    The last may be shorter. A segment that would end within a character, which may be several tokens, ends behind it.
    Raises InputError for numbers that cannot be met.
    """

    tokens: int
    overlap: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.tokens, int) or not isinstance(self.overlap, int):
            raise TypeError(f"{self}: tokens and overlap must be ints")
        if self.tokens < 1 or not 0 <= self.overlap < self.tokens:
            raise InputError(f"{self}: tokens must be 1 or more, and overlap 0 or more and below tokens")


Chunker: TypeAlias = "Literal['sentence', 'paragraph'] | FixedTokens"
CHUNKERS: Final = ("sentence", "paragraph")


def spans_of(chunker: Chunker, text: str, places: NDArray[np.int64]) -> list[Span]:
    """The segments of a text whose tokens stand at `places`, int64 [tokens, 2], white space around them apart."""
    if isinstance(chunker, FixedTokens):
        return list(_fixed(chunker, places))
    return list(sentences(text) if chunker == "sentence" else paragraphs(text))


def sentences(text: str) -> Iterator[Span]:
    """The sentences of a text, without the white space around them.

    A sentence ends with its line; behind 。！？ wherever they stand; and behind . ? ! … and what other scripts have for
    them where white space follows, each with the closing quotes and brackets that follow it. Dots do not end one where
    a lower-case letter comes next. No abbreviations are known: "Dr. Who" is two.
    """
    begin = 0
    for line in text.splitlines(keepends=True):
        start = 0
        for match in _END.finditer(line):
            if _ends(match, line):
                yield from _stripped(text, begin + start, begin + match.end())
                start = match.end()
        yield from _stripped(text, begin + start, begin + len(line))
        begin += len(line)


def paragraphs(text: str) -> Iterator[Span]:
    """The runs of lines between blank ones, without the white space around them."""
    begin = start = 0
    for line in text.splitlines(keepends=True):
        if line.isspace():
            yield from _stripped(text, start, begin)
            start = begin
        begin += len(line)
    yield from _stripped(text, start, begin)


def _ends(match: re.Match[str], line: str) -> bool:
    found = match.group()
    if any(mark in found for mark in _ALONE):
        return True
    rest = line[match.end() : match.end() + 1]
    if rest and not rest.isspace():
        return False
    following = _NEXT.match(line, match.end())
    return not (following and following.group(1).islower() and _DOTS.issuperset(found))


def _stripped(text: str, start: int, end: int) -> Iterator[Span]:
    """The span without the white space around it; nothing if that is all."""
    segment = text[start:end]
    inner = segment.strip()
    if inner:
        start += len(segment) - len(segment.lstrip())
        yield start, start + len(inner)


def _fixed(chunker: FixedTokens, places: NDArray[np.int64]) -> Iterator[Span]:
    places = places[places[:, 0] < places[:, 1]]
    count, start = len(places), 0
    while start < count:
        end = _border(places, min(start + chunker.tokens, count))
        yield int(places[start, 0]), int(places[end - 1, 1])
        if end == count:
            return
        start = _border(places, end - chunker.overlap)


def _border(places: NDArray[np.int64], index: int) -> int:
    """The first token from `index` on that shares no character with the one before it."""
    while 0 < index < len(places) and places[index, 0] < places[index - 1, 1]:
        index += 1
    return index
