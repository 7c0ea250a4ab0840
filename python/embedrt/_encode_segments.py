"""The way from texts to segments' vectors: tokenise → find the segments' rows → run → pool them.

As with texts (`_encode.py`), chunks are bounded in characters, and with several threads one is made ready while the one
before it runs.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from embedrt._chunkers import FixedTokens, spans_of
from embedrt._encode import TOO_LONG
from embedrt._errors import InputError
from embedrt._long import Frame, check_characters
from embedrt._overlap import overlapped
from embedrt._parts import Item, Part, Parts
from embedrt._results import Segments
from embedrt._segments import in_windows, token_ranges, visible_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt import _core
    from embedrt._chunkers import Chunker, Span
    from embedrt._encode import Advance, Limits, Rows
    from embedrt._precision import Form
    from embedrt._tokenize import TextTokenizer

# Characters of a chunk for each thread.
_CHUNK_CHARACTERS = 1 << 15


Asked: TypeAlias = "Chunker | Sequence[Span]"
# The index of its first text, its texts, and what segments are asked of each.
Chunk: TypeAlias = "tuple[int, Sequence[str], Sequence[Asked]]"


class Planned(NamedTuple):
    """A chunk: the spans of each text's segments, int64 [segments, 2]; which of them are cut off; and what runs.

    The segments of all texts are numbered through: those numbers are the rows of the items' parts.
    """

    spans: list[Rows]
    cut: list[tuple[int, ...]]
    items: list[Item]


class SegmentEncoding:
    """One call of `encode_segments`."""

    def __init__(
        self,
        core: _core.Model,
        tokenizer: TextTokenizer,
        *,
        prompt: str,
        limits: Limits,
        pooling: str,
        form: Form,
        advance: Advance | None = None,
    ) -> None:
        self._core = core
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._limits = limits
        self._pooling = pooling
        self._form = form
        self._advance = advance
        self._frame = Frame(tokenizer, prompt, limits.limit)

    def run(self, texts: Sequence[str], asked: Sequence[Asked]) -> list[Segments]:
        """The segments of each text. Raises InputError."""
        check_characters(texts, self._prompt)
        found: list[Segments] = []
        with closing(self._planned(texts, asked)) as plans:
            for plan in plans:
                found += self._pooled(plan)
                if self._advance:
                    self._advance(len(plan.spans))
        return found

    def _planned(self, texts: Sequence[str], asked: Sequence[Asked]) -> Generator[Planned, None, None]:
        """Each chunk; with several threads one ahead of the caller."""
        chunks = self._chunks(texts, asked)
        if self._core.threads == 1:
            return (self._plan(chunk) for chunk in chunks)
        return overlapped(self._plan, chunks)

    def _chunks(self, texts: Sequence[str], asked: Sequence[Asked]) -> Iterator[Chunk]:
        start = characters = 0
        for index, text in enumerate(texts):
            characters += len(text)
            if characters >= _CHUNK_CHARACTERS * self._core.threads:
                yield start, texts[start : index + 1], asked[start : index + 1]
                start, characters = index + 1, 0
        if start < len(texts):
            yield start, texts[start:], asked[start:]

    def _plan(self, chunk: Chunk) -> Planned:
        plan = Planned([], [], [])
        rows = 0
        for index, (text, asked) in enumerate(zip(*chunk[1:], strict=True), chunk[0]):
            spans, cut, items = self._plan_text(f"texts[{index}]", text, asked)
            plan.spans.append(spans)
            plan.cut.append(cut)
            for ids, parts in items:
                plan.items.append(Item(ids, [part._replace(row=rows + part.row) for part in parts]))
            rows += len(spans)
        return plan

    def _plan_text(self, where: str, text: str, asked: Asked) -> tuple[Rows, tuple[int, ...], list[Item]]:
        """The spans of one text, those that are cut off, and its items, whose parts' rows are indices of spans."""
        content = self._tokenizer.content(self._prompt + text)
        # In the text without its prompt, whose tokens have no place then.
        places = np.maximum(visible_places(self._prompt + text, content.places) - len(self._prompt), 0)
        by_rule = False
        if isinstance(asked, (str, FixedTokens)):
            by_rule, asked = True, spans_of(asked, text, places)
        spans = np.array(asked, np.int64).reshape(-1, 2)
        ranges = token_ranges(places, spans)
        empty = ranges[:, 0] == ranges[:, 1]
        if not by_rule and empty.any():
            index = int(np.argmax(empty))
            raise InputError(
                f"{where}, segments[{index}] {tuple(spans[index].tolist())}: no token of the text is there"
            )
        spans, ranges = spans[~empty], ranges[~empty]
        ids = content.ids.tolist()
        found = len(ids) + self._tokenizer.special
        on_long, limit, _ = self._limits
        if found <= limit:
            return spans, (), self._whole(ids, ranges)
        if on_long == "truncate":
            kept = limit - self._tokenizer.special
            inside = ranges[:, 1] <= kept
            return spans, tuple(np.flatnonzero(~inside).tolist()), self._whole(ids[:kept], ranges, inside)
        if on_long == "window":
            # Before the first token that has a character of the text, those are the prompt's.
            return spans, (), self._windowed(where, ids, int(np.argmax(places[:, 1] > 0)), ranges)
        raise InputError(f"{where} has {found} tokens, {TOO_LONG[on_long].format(limit)}")

    def _whole(self, ids: list[int], ranges: Rows, inside: NDArray[np.bool_] | None = None) -> list[Item]:
        """A text that is run at once, with those of its segments that are `inside` it."""
        row = self._frame.first_row(0)
        parts = [
            Part(segment, span=(row + first, row + end))
            for segment, (first, end) in enumerate(ranges.tolist())
            if inside is None or inside[segment]
        ]
        return [Item(self._tokenizer.framed(ids), parts)] if parts else []

    def _windowed(self, where: str, ids: list[int], prompt: int, ranges: Rows) -> list[Item]:
        room = self._frame.room(prompt)
        row = self._frame.first_row(prompt)
        items = []
        for window, pieces in in_windows(len(ids) - prompt, room, ranges - prompt).items():
            shift = row - window[0]
            for piece in pieces:
                if piece.pieces > 1 and self._pooling != "mean":
                    raise InputError(
                        f"{where}, segments[{piece.segment}] is longer than a window of {room} tokens, and vectors of "
                        f'its parts can be put together for the pooling "mean" only, not "{self._pooling}"'
                    )
            parts = [
                Part(segment, end - first, count, (shift + first, shift + end)) for segment, first, end, count in pieces
            ]
            items.append(Item(self._frame.ids(ids, prompt, window), parts))
        return items

    def _pooled(self, plan: Planned) -> list[Segments]:
        out = self._form.empty(sum(map(len, plan.spans)))
        out[:] = np.nan
        Parts(self._core, out, self._form, self._pooling).run(plan.items)
        ends = np.cumsum([len(spans) for spans in plan.spans])
        return [
            Segments(out[end - len(spans) : end].copy(), spans, cut)
            for end, spans, cut in zip(ends, plan.spans, plan.cut, strict=True)
        ]
