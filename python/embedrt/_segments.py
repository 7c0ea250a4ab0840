"""Segments of a text, each pooled from the rows of its own tokens after the whole text has run: late chunking.

A token belongs to a segment when one of its characters does; white space at the ends of a token counts only where the
token is nothing else. A segment's rows are those from its first token to its last, so that tokens without characters
count where they stand between. Special tokens and the prompt's belong to no segment.

A text that is run in windows (`_long.py`) has each segment pooled in the window that shows most of its surroundings on
the side where it shows less; where the window reaches the text's end nothing is missing. A segment that lies in none
of them gets a window of its own, in the middle of it. One that is longer than a window is pooled in each window that it
reaches into, and the vectors count by their tokens (`_parts.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from embedrt._long import windows

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Piece(NamedTuple):
    """Tokens first … end − 1 of a text, pooled for segment `segment`, one of its `pieces`."""

    segment: int
    first: int
    end: int
    pieces: int


def visible_places(text: str, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where tokens stand, without the white space at their ends; int64 [tokens, 2] like `places`."""
    found: NDArray[np.int64] = places.copy()
    for index, (start, end) in enumerate(places.tolist()):
        # Most tokens have no white space at all.
        if start < end and (text[start].isspace() or text[end - 1].isspace()):
            token = text[start:end]
            if inner := token.strip():
                start += len(token) - len(token.lstrip())
                found[index] = start, start + len(inner)
    return found


def token_ranges(places: NDArray[np.int64], spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first token and the end of each span of characters, int64 [spans, 2] like these; equal where it has none."""
    has = places[:, 0] < places[:, 1]
    reached = np.maximum.accumulate(np.where(has, places[:, 1], 0))
    ahead = np.minimum.accumulate(np.where(has, places[:, 0], np.iinfo(np.int64).max)[::-1])[::-1]
    starts, ends = spans.T
    first = np.searchsorted(reached, starts, side="right")
    end = np.searchsorted(ahead, ends, side="left")
    found: NDArray[np.int64] = np.stack([first, np.maximum(first, end)], axis=1)
    return found


def in_windows(tokens: int, room: int, ranges: NDArray[np.int64]) -> dict[tuple[int, int], list[Piece]]:
    """Windows over a text's tokens, in order, with what is pooled in each; those in which nothing is are left out."""
    regular = windows(tokens, room)
    step = room - room // 4
    found: dict[tuple[int, int], list[Piece]] = {}
    for segment, (first, end) in enumerate(ranges.tolist()):
        last = min(first // step, len(regular) - 1)
        holding = [window for window in regular[max(last - 1, 0) : last + 1] if window[0] <= first and end <= window[1]]
        if holding:
            window = max(holding, key=lambda window: _surroundings(window, first, end, tokens))
            found.setdefault(window, []).append(Piece(segment, first, end, 1))
        elif end - first <= room:
            begin = min(max(first - (room - (end - first)) // 2, 0), tokens - room)
            found.setdefault((begin, begin + room), []).append(Piece(segment, first, end, 1))
        else:
            reached = [window for window in regular if window[0] < end and first < window[1]]
            for window in reached:
                piece = Piece(segment, max(first, window[0]), min(end, window[1]), len(reached))
                found.setdefault(window, []).append(piece)
    return dict(sorted(found.items()))


def _surroundings(window: tuple[int, int], first: int, end: int, tokens: int) -> float:
    """How many tokens there are before and behind a segment in a window, on the side with fewer."""
    # A segment that lies in the first window and in the second has more than half of the first before it.
    return min(first - window[0], math.inf if window[1] == tokens else window[1] - end)
