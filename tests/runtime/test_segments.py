"""Vectors of segments: pooled from the rows of their own tokens, beside NumPy on what `encode_tokens` gives."""

from __future__ import annotations

import itertools
import pathlib
import random
from typing import Any

import numpy as np
import pytest
import tiny_tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import DIM, MAX_TOKENS, places, table, write_model

import embedrt
from embedrt import FixedTokens, InputError, TruncationWarning
from embedrt._segments import in_windows, token_ranges, visible_places
from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program

LIMIT = 16
TEXT = "hello world the password. unable the hello, world! the password resets. hello café 中文 world x"
WORDS = ["hello", "world.", "the", "password", "x!", "café", "中", "unable"]


@pytest.fixture(scope="module", params=["plain", "unit"])
def placed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> embedrt.Model:
    path = tmp_path_factory.mktemp("segments") / "a.embedrt"
    return embedrt.load(write_model(path, placed=True, normalize=request.param == "unit"), threads=2)


def is_unit(model: embedrt.Model) -> bool:
    return bool(np.isclose(np.linalg.norm(model.encode("hello")), 1, atol=1e-6))


def finished(model: embedrt.Model, vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector) if is_unit(model) else vector


def whole_tokens(model: embedrt.Model, text: str, prompt: str = "") -> embedrt.TokenEmbeddings:
    return model.encode_tokens(text, prompt=prompt, on_long="late")


def rows_of(tokens: embedrt.TokenEmbeddings, span: tuple[int, int]) -> np.ndarray:
    """Rows of the tokens that share a character with the span, float64."""
    inside = [start < span[1] and span[0] < end and start < end for start, end in tokens.offsets.tolist()]
    return tokens.embeddings[inside].astype(np.float64)


def random_spans(text: str, count: int, seed: int) -> list[tuple[int, int]]:
    """Spans from the start of one word to the end of another, in any order and over each other."""
    rng = random.Random(seed)
    starts = [
        index for index in range(len(text)) if not text[index].isspace() and (index == 0 or text[index - 1] == " ")
    ]
    ends = [text.find(" ", start) if " " in text[start:] else len(text) for start in starts]
    pairs = [sorted(rng.choices(range(len(starts)), k=2)) for _ in range(count)]
    return [(starts[a], ends[b]) for a, b in pairs]


POOLINGS: dict[str, Any] = {
    "mean": lambda rows: rows.mean(0),
    "max": lambda rows: rows.max(0),
    "sum": lambda rows: rows.sum(0),
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
}


@pytest.mark.parametrize("prompt", ["", "the world "])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_segments_are_pooled_from_the_whole_text(placed: embedrt.Model, pooling: Any, prompt: str) -> None:
    spans = random_spans(TEXT, 12, 1)
    found = placed.encode_segments(TEXT, spans, pooling=pooling, prompt=prompt)
    assert found.embeddings.shape == (12, DIM) and found.embeddings.dtype == np.float32
    assert found.spans.tolist() == [list(span) for span in spans] and found.cut == ()
    tokens = whole_tokens(placed, TEXT, prompt)
    want = [finished(placed, POOLINGS[pooling](rows_of(tokens, span))) for span in spans]
    np.testing.assert_allclose(found.embeddings, want, atol=2e-5)


def test_several_texts_at_once_and_one_by_one(placed: embedrt.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    texts = [" ".join(rng.choices(WORDS, k=rng.randrange(1, 26))) for _ in range(40)]
    spans = [random_spans(text, rng.randrange(0, 6), index) for index, text in enumerate(texts)]
    for on_long in ("late", "window"):
        found = placed.encode_segments(texts, spans, on_long=on_long)
        assert [len(each.embeddings) for each in found] == [len(each) for each in spans]
        for text, asked, each in zip(texts, spans, found, strict=True):
            alone = placed.encode_segments(text, asked, on_long=on_long)
            np.testing.assert_array_equal(alone.embeddings, each.embeddings)
            for span, row in zip(asked, each.embeddings, strict=True):
                single = placed.encode_segments(text, [span], on_long=on_long)
                np.testing.assert_array_equal(single.embeddings[0], row)
        with monkeypatch.context() as patch:
            patch.setattr("embedrt._encode_segments._CHUNK_CHARACTERS", 50)
            patch.setattr("embedrt._parts._RUN_TOKENS", 20)
            for each, other in zip(placed.encode_segments(texts, spans, on_long=on_long), found, strict=True):
                np.testing.assert_array_equal(each.embeddings, other.embeddings)


def test_rules(placed: embedrt.Model) -> None:
    text = "hello world. The password!\n\nunable 中文。hello"
    by_rule = {
        "sentence": ["hello world.", "The password!", "unable 中文。", "hello"],
        "paragraph": ["hello world. The password!", "unable 中文。hello"],
        FixedTokens(4, 1): ["hello world. The", "The password!\n\nun", "unable 中文", "文。hello"],
    }
    for rule, words in by_rule.items():
        found = placed.encode_segments(text, rule)  # type: ignore[call-overload]
        assert [text[start:end] for start, end in found.spans] == words
        again = placed.encode_segments(text, found.spans)
        np.testing.assert_array_equal(found.embeddings, again.embeddings)
        both = placed.encode_segments([text, "hello"], rule)  # type: ignore[call-overload]
        np.testing.assert_array_equal(both[0].embeddings, found.embeddings)
    assert placed.encode_segments("", "sentence").embeddings.shape == (0, DIM)
    assert placed.encode_segments([], "sentence") == []
    assert placed.encode_segments("hello", []).embeddings.shape == (0, DIM)
    # A rule leaves out what has no token.
    assert placed.encode_segments("hello\n\x01\x02\nworld", "sentence").spans.tolist() == [[0, 5], [9, 14]]


def test_fixed_tokens_have_so_many(placed: embedrt.Model) -> None:
    for size, overlap in ((1, 0), (4, 0), (5, 2), (7, 6), (100, 3)):
        found = placed.encode_segments(TEXT, FixedTokens(size, overlap))
        tokens = whole_tokens(placed, TEXT)
        counts = [len(rows_of(tokens, span)) for span in found.spans.tolist()]
        total = len(tokens.ids) - 2
        assert set(counts[:-1]) <= {size} and (overlap < counts[-1] <= size or len(counts) == 1)
        assert sum(counts) - overlap * (len(counts) - 1) == total
    for tokens_of, overlap in ((0, 0), (3, 3), (3, -1)):
        with pytest.raises(InputError, match="tokens must be 1 or more"):
            FixedTokens(tokens_of, overlap)
    with pytest.raises(TypeError, match="must be ints"):
        FixedTokens(2.5)  # type: ignore[arg-type]


def test_a_text_over_the_limit(placed: embedrt.Model) -> None:
    count = placed.count_tokens(TEXT)
    assert count > LIMIT
    spans = [(0, 5), (0, len(TEXT)), (TEXT.index("café"), TEXT.index("café") + 4)]
    late = placed.encode_segments(TEXT, spans)
    np.testing.assert_array_equal(
        placed.encode_segments(TEXT, spans, max_tokens=MAX_TOKENS, on_long="error").embeddings, late.embeddings
    )
    with pytest.raises(InputError, match=rf"texts\[0\] has {count} tokens.*limit is {LIMIT}"):
        placed.encode_segments(TEXT, spans, on_long="error")
    with pytest.warns(TruncationWarning, match=r"2 of 3 segments .*on_long=\"window\"") as caught:
        cut = placed.encode_segments(TEXT, spans, on_long="truncate")
    assert caught[0].filename == __file__ and cut.cut == (1, 2)
    np.testing.assert_array_equal(cut.embeddings[0], late.embeddings[0])
    assert np.isnan(cut.embeddings[1:]).all()
    with pytest.raises(InputError, match=r'texts\[1\] has 52 tokens.*48 at once.*"window"'):
        placed.encode_segments(["a", "hello " * 50], [[(0, 1)], [(0, 5)]])


def test_windows_of_segments(placed: embedrt.Model) -> None:
    """Beside a plain search over windows, each run by itself."""
    rng = random.Random(9)
    text = " ".join(rng.choices(["hello", "world", "the", "password"], k=40))
    words = list(itertools.accumulate((len(word) + 1 for word in text.split()), initial=0))
    vocabulary = tiny_tokenizers.vocabulary(tiny_tokenizers.word_piece())
    ids = whole_tokens(placed, text).ids[1:-1]
    room, step = 14, 11

    def pooled(window: tuple[int, int], first: int, end: int) -> np.ndarray:
        inner = ids[window[0] : window[1]]
        rows = table(vocabulary)[inner].astype(np.float64) + places()[1 : 1 + len(inner)]
        return finished(placed, rows[first - window[0] : end - window[0]].mean(0))

    regular = [(start, min(start + room, 40)) for start in range(0, 40 - 3, step)]
    spans = [(a, b) for a in range(40) for b in (a + 1, a + 3, a + 9, a + 14, a + 15, 40) if a < b <= 40]
    found = placed.encode_segments(text, [(words[a], words[b] - 1) for a, b in spans], on_long="window")
    kinds = set()
    for (a, b), row in zip(spans, found.embeddings, strict=True):
        holding = [window for window in regular if window[0] <= a and b <= window[1]]
        if holding:
            seen = [min(a - s if s else 99, e - b if e < 40 else 99) for s, e in holding]
            want = pooled(holding[int(np.argmax(seen))], a, b)
        elif b - a <= room:
            before = (room - (b - a)) // 2
            start = min(max(a - before, 0), 40 - room)
            want = pooled((start, start + room), a, b)
        else:
            parts = [(w, max(a, w[0]), min(b, w[1])) for w in regular if w[0] < b and a < w[1]]
            want = sum((e - s) * pooled(w, s, e) for w, s, e in parts) / sum(e - s for _, s, e in parts)
            want = finished(placed, want)
        kinds.add((len(holding), b - a <= room))
        np.testing.assert_allclose(row, want, atol=2e-5)
    assert kinds == {(0, False), (0, True), (1, True), (2, True)}
    with pytest.raises(InputError, match=r"segments\[1\] is longer than a window of 14 tokens.*not \"max\""):
        placed.encode_segments(text, [(0, 3), (0, len(text))], on_long="window", pooling="max")


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_every_segment_is_pooled_from_its_own_tokens(tokens: int, room: int, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(st.integers(0, tokens - 1), st.integers(1, tokens)), max_size=8))
    ranges = [(a, max(a + 1, b)) for a, b in pairs]
    found = in_windows(tokens, room, np.array(ranges, np.int64).reshape(-1, 2))
    assert list(found) == sorted(found)
    covered: dict[int, list[tuple[int, int]]] = {}
    for (start, end), pieces in found.items():
        assert pieces and 0 <= start < end <= tokens and end - start <= room
        for segment, first, last, count in pieces:
            assert start <= first < last <= end
            covered.setdefault(segment, []).append((first, last))
            assert count == sum(piece.segment == segment for each in found.values() for piece in each)
    assert sorted(covered) == list(range(len(ranges)))
    for segment, parts in covered.items():
        assert {token for part in parts for token in range(*part)} == set(range(*ranges[segment]))


def test_tokens_have_their_places(placed: embedrt.Model) -> None:
    text = "  Hello, unable café 中文!"
    tokens = placed.encode_tokens(text, prompt="the ")
    shown = [text[start:end] for start, end in tokens.offsets.tolist()]
    assert shown == ["", "", "Hello", ",", "un", "able", "café", "中", "文", "!", ""]
    assert tokens.offsets.dtype == np.int64 and tokens.ids.dtype == np.int32
    np.testing.assert_array_equal(
        tokens.embeddings, placed.encode(text, prompt="the ", output_value="token_embeddings")
    )
    several = placed.encode_tokens([text, "x"], prompt="the ")
    for one, other in zip(several[0], tokens, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.warns(TruncationWarning):
        assert len(placed.encode_tokens(TEXT).ids) == LIMIT


def test_every_tokenizer(definition: tiny_tokenizers.Definition, tmp_path: pathlib.Path) -> None:
    """Of a sentence's own words only, whatever white space a tokenizer puts to which of them."""
    model = embedrt.load(write_model(tmp_path / "a.embedrt", tokenizer=definition))
    first, second = "hello world", "the hello"
    text = f"{first} {second}"
    split = len(first)
    for spans in (
        [(0, split), (split + 1, len(text))],
        [(0, split + 1), (split + 1, len(text))],
        [(0, split), (split, len(text))],
    ):
        found = model.encode_segments(text, spans, pooling="sum")
        tokens = model.encode_tokens(text)
        own = visible_places(text, tokens.offsets)
        for (start, end), row in zip(spans, found.embeddings, strict=True):
            inside = (own[:, 0] < end) & (own[:, 1] > start) & (own[:, 0] < own[:, 1])
            # Those without a character, such as a space of its own, count where they stand between.
            rows = slice(int(np.argmax(inside)), len(inside) - int(np.argmax(inside[::-1])))
            np.testing.assert_allclose(row, tokens.embeddings[rows].astype(np.float64).sum(0), atol=1e-4)
            shown = "".join(text[a:b] for a, b in own[inside].tolist())
            assert shown.replace(" ", "") == text[start:end].replace(" ", "")


def test_tokens_of_spans() -> None:
    text = "ab  cé\n"
    where = np.array([[0, 0], [0, 2], [2, 5], [5, 6], [5, 6], [6, 7], [7, 7]])
    own = visible_places(text, where)
    assert own.tolist() == [[0, 0], [0, 2], [4, 5], [5, 6], [5, 6], [6, 7], [7, 7]]
    spans = [(0, 1), (0, 4), (2, 4), (4, 5), (5, 6), (1, 6), (6, 7), (0, 7)]
    want = [(1, 2), (1, 2), (2, 2), (2, 3), (3, 5), (1, 5), (5, 6), (1, 6)]
    assert token_ranges(own, np.array(spans)).tolist() == [list(pair) for pair in want]
    assert token_ranges(own[:0], np.array(spans)).tolist() == [[0, 0]] * len(spans)


def test_a_model_of_tokens_only(tmp_path: pathlib.Path) -> None:
    definition = tiny_tokenizers.word_piece()
    vocabulary = tiny_tokenizers.vocabulary(definition)
    program = Program(vocabulary, MAX_TOKENS)
    rows = program.op("lookup", IDS, name="words", table=table(vocabulary), index="token")
    program.outputs |= {"token_embeddings": rows, "multi_vector_embedding": rows}
    sections = [
        *writer.program_sections(program),
        writer.section(writer.TOKENIZER, tiny_tokenizers.as_bytes(definition)),
    ]
    writer.write(tmp_path / "a.embedrt", sections)
    model = embedrt.load(tmp_path / "a.embedrt")
    np.testing.assert_array_equal(
        model.encode_tokens("hello world").embeddings, model.encode("hello world", output_value="token_embeddings")
    )
    with pytest.raises(embedrt.EmbedrtError, match="pools no vectors of texts"):
        model.encode_segments("hello", "sentence")


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([(0, 2), (3, 3)], r"texts\[0\], segments\[1\] is \(3, 3\); the text has 11"),
        ([(-1, 2)], r"\(-1, 2\)"),
        ([(0, 12)], r"\(0, 12\)"),
        ([(5, 6)], r"texts\[0\], segments\[0\] \(5, 6\): no token of the text is there"),
        ("word", "segments is 'word'"),
    ],
)
def test_segments_that_are_refused(model: embedrt.Model, spans: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model.encode_segments("hello world", spans)


def test_other_arguments_that_are_refused(model: embedrt.Model) -> None:
    for spans in ([3], [(0,)], [("a", 2)], [(0.0, 2.0)]):
        with pytest.raises(TypeError, match=r"segments\[0\] is .*, not \(start, end\)"):
            model.encode_segments("hello", spans)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="1 lists of spans for 2 texts"):
        model.encode_segments(["a", "b"], [[(0, 1)]])
    with pytest.raises(InputError, match="pooling is 'median'"):
        model.encode_segments("a", [(0, 1)], pooling="median")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"texts\[0\] is a int"):
        model.encode_segments([3], "sentence")  # type: ignore[list-item]
