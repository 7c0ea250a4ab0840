"""Texts that are filled up to a fixed number of ids, as SigLIP has it: what the ids are and what is counted."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tiny_model
import tiny_tokenizers

import embedrt
from embedrt import FormatError, InputError
from embedrt._encode import Encoding, Limits
from embedrt._text_config import Pad, parse_text_config
from embedrt._tokenize import TextTokenizer

pytestmark = pytest.mark.filterwarnings("ignore::embedrt.TruncationWarning")
TO = 24
PAD = 1
TEXTS = ["", "Hello, the world!", "hello " * 10, "hello " * 60]


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedrt.Model]:
    path = write(tmp_path_factory.mktemp("padded") / "m.embedrt", {"id": PAD, "to": TO})
    with embedrt.load(path, threads=2) as model:
        yield model


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedrt.Model]:
    path = write(tmp_path_factory.mktemp("plain") / "m.embedrt", None)
    with embedrt.load(path, threads=2) as model:
        yield model


def write(path: pathlib.Path, pad: Any) -> pathlib.Path:
    text = tiny_model.TEXT | {"prompts": {}, "max_tokens": 20, "pad": pad}
    return tiny_model.write_model(path, tokenizer=tiny_tokenizers.siglip(), text=text)


def test_every_text_has_the_same_number_of_ids(padded: embedrt.Model, plain: embedrt.Model) -> None:
    for text in TEXTS:
        ids = plain.token_ids(text)
        assert len(ids) <= 20 and ids[-1] == 1
        assert padded.token_ids(text) == ids + [PAD] * (TO - len(ids))


def test_the_filling_is_content(padded: embedrt.Model) -> None:
    table = tiny_model.table(tiny_tokenizers.vocabulary(tiny_tokenizers.siglip()))
    vectors = padded.encode(TEXTS)
    tokens = padded.encode(TEXTS, output_value="token_embeddings")
    for text, vector, rows in zip(TEXTS, vectors, tokens, strict=True):
        want = table[padded.token_ids(text)]
        np.testing.assert_array_equal(rows, want)
        np.testing.assert_allclose(vector, want.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(padded.encode(text), vector)


def test_what_is_counted(padded: embedrt.Model, plain: embedrt.Model) -> None:
    assert padded.count_tokens(TEXTS).tolist() == plain.count_tokens(TEXTS).tolist()
    _, info = padded.encode(TEXTS, return_info=True)
    _, same = plain.encode(TEXTS, return_info=True)
    assert info.tokens == TO * len(TEXTS)
    assert info.truncated_texts == same.truncated_texts == (3,)
    assert info.truncated_tokens == same.truncated_tokens > 0


def test_a_limit_of_ones_own(padded: embedrt.Model, plain: embedrt.Model) -> None:
    _, info = padded.encode(TEXTS, max_tokens=5, return_info=True)
    assert info.tokens == TO * len(TEXTS)
    np.testing.assert_array_equal(
        padded.encode("hello " * 60, max_tokens=TO), padded.encode("hello " * 23, max_tokens=TO)
    )
    plain.encode("hello", max_tokens=TO + 1)
    with pytest.raises(InputError, match=f"takes 1 to {TO}"):
        padded.encode("hello", max_tokens=TO + 1)


def test_chunks_are_bounded_in_ids() -> None:
    """As many texts as fit with what fills them up, which the memory of a chunk depends on."""
    definition = tiny_tokenizers.siglip()
    tokenizer = TextTokenizer(
        tiny_tokenizers.as_bytes(definition), tiny_tokenizers.vocabulary(definition), Pad(PAD, 1000)
    )
    core: Any = type("Core", (), {"threads": 1})
    call = Encoding(core, tokenizer, prompt="", limits=Limits("truncate", 16, 16), counted=False, spread=False)
    found = [texts for _, texts, _ in call._chunks(["hi"] * 100)]
    assert sum(map(len, found)) == 100
    assert max(map(len, found)) <= 12  # 2**15 characters, and half as many that may join


@pytest.mark.parametrize(
    ("pad", "words"),
    [
        ({"id": 0}, "'to' is missing"),
        ({"to": 20}, "'id' is missing"),
        ({"id": -1, "to": 20}, r"pad\.id: -1"),
        ({"id": 100, "to": 20}, r"pad\.id: 100 is not within 0 to 99"),
        ({"id": 0, "to": 19}, r"pad\.to: 19 is not within 20 to 48"),
        ({"id": 0, "to": 49}, r"pad\.to: 49"),
        ({"id": True, "to": 20}, "expected an integer"),
        ({"id": 0, "to": 20.0}, "expected an integer"),
        ({"id": 0, "to": 20, "side": "left"}, "unknown key 'side'"),
        ([0, 20], "expected an object"),
    ],
)
def test_refusals(pad: Any, words: str) -> None:
    section = tiny_tokenizers.as_bytes({"max_tokens": 20, "pad": pad})
    with pytest.raises(FormatError, match=f"^text section.*{words}"):
        parse_text_config(section, 48, 100)


def test_without_a_pad() -> None:
    assert parse_text_config(b'{"max_tokens": 20}', 48, 100).pad is None
    assert parse_text_config(b'{"max_tokens": 20, "pad": null}', 48, 100).pad is None
    assert parse_text_config(None, 48, 100).longest(48) == 48
