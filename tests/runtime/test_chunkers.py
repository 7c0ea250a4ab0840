"""Where sentences, paragraphs and runs of tokens are."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedrt._chunkers import FixedTokens, paragraphs, sentences, spans_of

MARKED = st.text(alphabet='ab A.。!?…"”) \n\t\u2028é')


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It is 3.14. Yes...", ["It is 3.14.", "Yes..."]),
        ('He said "no." Then (yes!) he left.', ['He said "no."', "Then (yes!)", "he left."]),
        ("approx. five, i.e. all … of them. Done", ["approx. five, i.e. all … of them.", "Done"]),
        ("Really?! yes", ["Really?!", "yes"]),
        ("你好。「再见！」他说？是", ["你好。", "「再见！」", "他说？", "是"]),
        ("यह है। वह था॥", ["यह है।", "वह था॥"]),
        ("a line\nanother. \r\n\n  third", ["a line", "another.", "third"]),
        ("Dr. Who", ["Dr.", "Who"]),
        (" \n. \n", ["."]),
        ("", []),
    ],
)
def test_sentences(text: str, want: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("one\ntwo\n\nthree", ["one\ntwo", "three"]),
        ("\n\n  a \r\n \t\r\n\r\nb\n", ["a", "b"]),
        ("a\u2029\u2029b", ["a", "b"]),
        ("  ", []),
    ],
)
def test_paragraphs(text: str, want: list[str]) -> None:
    assert [text[start:end] for start, end in paragraphs(text)] == want


@given(MARKED)
def test_rules_leave_out_white_space_only(text: str) -> None:
    for rule in ("sentence", "paragraph"):
        spans = spans_of(rule, text, np.empty((0, 2), np.int64))
        end = 0
        for start, following in spans:
            assert not text[end:start].strip() and start < following
            assert text[start:following] == text[start:following].strip()
            end = following
        assert not text[end:].strip()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 9), st.data())
def test_fixed_tokens(widths: list[int], size: int, data: st.DataObject) -> None:
    """Tokens of no character, of one that they share, of several."""
    overlap = data.draw(st.integers(0, size - 1))
    places, at = [], 0
    for width in widths:
        shared = width == 1 and bool(places) and places[-1][1] - places[-1][0] == 1
        places.append((at - 1, at) if shared else (at, at + width))
        at = places[-1][1]
    visible = [place for place in places if place[0] < place[1]]
    spans = spans_of(FixedTokens(size, overlap), "x" * at, np.array(places, np.int64))
    assert bool(spans) == bool(visible)
    for (start, end), (following, last) in itertools.pairwise(spans):
        assert start < following <= end < last
    if not spans:
        return
    assert spans[0][0] == visible[0][0] and spans[-1][1] == at
    borders = {place for pair in spans for place in pair}
    assert not any(start < border < end for border in borders for start, end in visible)
    for start, end in spans[:-1]:
        inside = [place for place in visible if start <= place[0] and place[1] <= end]
        run = max((visible.count(place) for place in inside), default=1)
        assert size <= len(inside) < size + run or run > 1


@pytest.mark.parametrize("text", ["." * 300_000 + "x", "。" * 100_000, ". " * 150_000, "\n" * 300_000, '"' * 300_000])
def test_hostile_texts_take_no_longer(text: str) -> None:
    began = time.perf_counter()
    for rule in (sentences, paragraphs):
        for _ in rule(text):
            pass
    assert time.perf_counter() - began < 5
