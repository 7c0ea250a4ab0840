"""Texts over the limit: cut and said so, refused, in windows, or whole."""

from __future__ import annotations

import itertools
import pathlib
import random
import warnings

import numpy as np
import pytest
import tiny_tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import DIM, MAX_TOKENS, TEXT, places, table, write_model

import embedrt
from embedrt import InputError, TruncationWarning
from embedrt._long import windows
from embedrt._window import MAX_CHARACTERS

LIMIT = 16
WORDS = ["hello", "world", "the", "password", "x", "café", "中", "!", "unable"]
VOCABULARY = tiny_tokenizers.vocabulary(tiny_tokenizers.word_piece())
CLS, SEP = 2, 3


@pytest.fixture(scope="module", params=["plain", "unit"])
def placed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> embedrt.Model:
    """A model in which the vector of a token depends on its place; plain, or of vectors of unit length."""
    path = tmp_path_factory.mktemp("long") / "a.embedrt"
    return embedrt.load(write_model(path, placed=True, normalize=request.param == "unit"), threads=2)


def content_ids(model: embedrt.Model, text: str) -> list[int]:
    return list(model.encode_tokens(text, max_tokens=MAX_TOKENS, on_long="error").ids[1:-1])


def vector(model: embedrt.Model, ids: list[int], first: int = 0) -> np.ndarray:
    """The mean of the rows from `first` on, in float64."""
    rows = table(VOCABULARY)[ids].astype(np.float64) + places()[: len(ids)]
    mean = rows[first:].mean(0)
    return mean / np.linalg.norm(mean) if is_unit(model) else mean


def is_unit(model: embedrt.Model) -> bool:
    return bool(np.isclose(np.linalg.norm(model.encode("hello")), 1, atol=1e-6))


def windowed(model: embedrt.Model, content: list[int], prompt: list[int], limit: int) -> np.ndarray:
    """The formula of the documentation, in float64."""
    room = limit - 2 - len(prompt)
    step, total, weight, start = room - room // 4, np.zeros(DIM), 0, 0
    while True:
        part = content[start : start + room]
        total += len(part) * vector(model, [CLS, *prompt, *part, SEP])
        weight += len(part)
        if start + room >= len(content):
            break
        start += step
    mean = total / weight
    return mean / np.linalg.norm(mean) if is_unit(model) else mean


def texts_of(seed: int, count: int, most: int = 40) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(most))) for _ in range(count)]


@given(st.integers(1, 300), st.integers(1, 40))
def test_windows_cover_a_text_and_share_a_quarter(tokens: int, room: int) -> None:
    found = windows(tokens, room)
    assert found[0][0] == 0 and found[-1][1] == tokens
    assert all(0 < end - first <= room for first, end in found)
    if tokens <= room:
        assert found == [(0, tokens)]
    for one, other in itertools.pairwise(found):
        assert one[1] - other[0] == room // 4 and one[1] - one[0] == room and other[1] > one[1]


@pytest.mark.parametrize("prompt", ["", "the ", "the world "])
@pytest.mark.parametrize("limit", [8, LIMIT, 31])
def test_a_window_mean(placed: embedrt.Model, prompt: str, limit: int) -> None:
    texts = [text for text in texts_of(limit, 40, 30) if len(content_ids(placed, prompt + text)) + 2 > limit]
    assert len(texts) > 2
    own = content_ids(placed, prompt) if prompt else []
    found, info = placed.encode(texts, prompt=prompt, max_tokens=limit, on_long="window", return_info=True)
    for text, row in zip(texts, found, strict=True):
        want = windowed(placed, content_ids(placed, prompt + text)[len(own) :], own, limit)
        np.testing.assert_allclose(row, want, atol=1e-5)
    assert list(info.windows) == list(range(len(texts))) and min(info.windows.values()) >= 2
    assert info.truncated_texts == () and info.truncated_tokens == 0 and info.texts == len(texts)


def test_a_text_that_fits_has_the_bits_of_encode(placed: embedrt.Model) -> None:
    texts = texts_of(1, 50, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        want = placed.encode(texts)
    info = placed.encode(texts, return_info=True)[1]
    found, windowed = placed.encode(texts, on_long="window", return_info=True)
    same = [index for index in range(len(texts)) if index not in info.truncated_texts]
    assert set(windowed.windows) == set(info.truncated_texts) and len(same) > 20 and info.truncated_texts
    np.testing.assert_array_equal(found[same], want[same])
    np.testing.assert_array_equal(placed.encode(texts[same[0]], on_long="window"), want[same[0]])


def test_windows_have_the_same_bits_in_any_batch(placed: embedrt.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_of(2, 60)
    want = placed.encode(texts, on_long="window", prompt="the ")
    for text, row in zip(texts, want, strict=True):
        np.testing.assert_array_equal(placed.encode(text, on_long="window", prompt="the "), row)
    # One window at a time, and texts whose windows are not together in a run.
    for tokens, characters in ((1, 40), (40, 1 << 15), (100, 300)):
        monkeypatch.setattr("embedrt._parts._RUN_TOKENS", tokens)
        monkeypatch.setattr("embedrt._encode._CHUNK_CHARACTERS", characters)
        np.testing.assert_array_equal(placed.encode(texts, on_long="window", prompt="the "), want)


def test_windows_then_fewer_columns(placed: embedrt.Model) -> None:
    texts = texts_of(3, 20)
    whole = placed.encode(texts, on_long="window")
    short = placed.encode(texts, on_long="window", truncate_dim=6)
    wide = whole[:, :6].astype(np.float64)
    if is_unit(placed):
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    np.testing.assert_allclose(short, wide, rtol=1e-6)
    packed = placed.encode(texts, on_long="window", precision="ubinary")
    np.testing.assert_array_equal(packed, embedrt.quantize_embeddings(whole, "ubinary"))


def test_a_text_far_over_the_limit(placed: embedrt.Model) -> None:
    text = "hello world " * 20_000
    found, info = placed.encode([text, "hello"], on_long="window", return_info=True)
    content = content_ids(placed, "hello world") * 20_000
    np.testing.assert_allclose(found[0], windowed(placed, content, [], LIMIT), atol=1e-5)
    assert info.windows == {0: len(windows(40_000, LIMIT - 2))}
    over = "a " * (MAX_CHARACTERS // 2 + 1)
    with pytest.raises(InputError, match=rf"texts\[1\] has {len(over)} characters, at most {MAX_CHARACTERS}"):
        placed.encode(["a", over], on_long="window")


def test_a_prompt_that_leaves_no_room(placed: embedrt.Model) -> None:
    with pytest.raises(
        InputError, match="a window of 16 tokens has no room for a text beside 2 special ones and 14 of"
    ):
        placed.encode("hello " * 5, prompt="the " * 14, on_long="window")


def test_late(placed: embedrt.Model) -> None:
    texts = [*texts_of(4, 30, 30), "hello " * (LIMIT - 2)]
    found, info = placed.encode(texts, on_long="late", return_info=True)
    np.testing.assert_array_equal(found, placed.encode(texts, max_tokens=MAX_TOKENS, on_long="error"))
    counts = placed.count_tokens(texts)
    assert info.late_texts == tuple(np.flatnonzero(counts > LIMIT)) and info.late_texts
    with pytest.raises(InputError, match=rf'texts\[1\] has 49 tokens.*{MAX_TOKENS} at once.*on_long="window"'):
        placed.encode(["a", "hello " * 47], on_long="late")
    with pytest.raises(InputError, match="max_tokens is not for on_long"):
        placed.encode("a", on_long="late", max_tokens=20)


def test_cutting_is_said_once_a_call(model: embedrt.Model) -> None:
    texts = ["hello", "hello " * 30, "hello " * 50]
    for call in (model.encode, model.encode_query, lambda texts: model.encode(texts, output_value="token_embeddings")):
        with pytest.warns(TruncationWarning, match=r"2 of 3 texts .*texts\[1\].* lost \d\d tokens or more") as caught:
            call(texts)
        assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode(["hello"] * 3)
        model.encode(texts, return_info=True)
        model.encode(texts, on_long="window")
        model.encode(texts, max_tokens=MAX_TOKENS, return_info=True)


def test_tokens_of_long_texts(placed: embedrt.Model) -> None:
    text = "hello world " * 9
    want = placed.encode(text, max_tokens=MAX_TOKENS, output_value="token_embeddings", on_long="error")
    np.testing.assert_array_equal(placed.encode(text, output_value="token_embeddings", on_long="late"), want)
    for call in (
        lambda: placed.encode(text, output_value="token_embeddings", on_long="window"),
        lambda: placed.encode_tokens(text, on_long="window"),
    ):
        with pytest.raises(InputError, match="window"):
            call()


def test_windows_of_texts_that_are_filled_up(tmp_path: pathlib.Path) -> None:
    text = TEXT | {"prompts": {}, "max_tokens": 12, "pad": {"id": 0, "to": 20}}
    model = embedrt.load(write_model(tmp_path / "a.embedrt", text=text, placed=True))
    content = content_ids_of(model, "hello world the password " * 4)
    want = np.zeros(DIM)
    for first, end in windows(len(content), 10):
        ids = [CLS, *content[first:end], SEP]
        ids += [0] * (20 - len(ids))
        want += (end - first) * vector(model, ids)
    found, info = model.encode("hello world the password " * 4, on_long="window", return_info=True)
    np.testing.assert_allclose(found, want / sum(end - first for first, end in windows(len(content), 10)), atol=1e-5)
    assert info.tokens == 20 * len(windows(len(content), 10))


def content_ids_of(model: embedrt.Model, text: str) -> list[int]:
    return [identifier for word in text.split() for identifier in model.encode_tokens(word).ids[1:2].tolist()]
