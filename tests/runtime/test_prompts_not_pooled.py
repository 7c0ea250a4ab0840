"""Models whose prompts are not pooled (include_prompt false), beside NumPy on the rows of the tokens."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tiny_tokenizers
from tiny_model import DIM, TEXT, places, write_model

import embedrt
from embedrt import InputError, TruncationWarning

pytestmark = pytest.mark.filterwarnings("ignore::embedrt.TruncationWarning")
TEXTS = ["", "hello", "hello world", "the password! unable", "hello " * 14]


def load(path: pathlib.Path, include_prompt: bool = False, **options: Any) -> embedrt.Model:
    text = TEXT | {"include_prompt": include_prompt}
    return embedrt.load(write_model(path, text=text, placed=True, **options), threads=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> embedrt.Model:
    return load(tmp_path_factory.mktemp("prompts") / "a.embedrt")


def behind(model: embedrt.Model, text: str, prompt: str, skipped: int) -> np.ndarray:
    rows = model.encode(text, prompt=prompt, output_value="token_embeddings")
    return rows[skipped:].astype(np.float64).mean(0)


@pytest.mark.parametrize(("prompt", "skipped"), [("", 0), ("the ", 2), ("the world: ", 4), ("unable", 3)])
def test_the_prompt_is_run_and_not_pooled(model: embedrt.Model, prompt: str, skipped: int) -> None:
    found = model.encode(TEXTS, prompt=prompt)
    want = [behind(model, text, prompt, skipped) for text in TEXTS]
    alone = [model.encode(text, prompt=prompt) for text in TEXTS]
    np.testing.assert_allclose(found, want, atol=1e-5)
    np.testing.assert_array_equal(found, alone)


def test_named_prompts(model: embedrt.Model) -> None:
    np.testing.assert_array_equal(model.encode_query("hello"), model.encode("hello", prompt="the "))
    assert model.info.text.include_prompt is False


def test_without_a_prompt_all_counts(model: embedrt.Model, tmp_path: pathlib.Path) -> None:
    plain = load(tmp_path / "a.embedrt", include_prompt=True)
    np.testing.assert_array_equal(model.encode(TEXTS), plain.encode(TEXTS))
    assert not np.array_equal(model.encode(TEXTS, prompt="x "), plain.encode(TEXTS, prompt="x "))


def test_a_prompt_that_takes_all_room(model: embedrt.Model, tmp_path: pathlib.Path) -> None:
    """What is left is the special token at the end, as with sentence-transformers; without one nothing is."""
    with pytest.warns(TruncationWarning):
        found = model.encode("hello", prompt="the " * 40)
    rows = model.encode("hello", prompt="the " * 40, output_value="token_embeddings", return_info=True)[0]
    np.testing.assert_array_equal(found, rows[15])
    bare = load(tmp_path / "a.embedrt", tokenizer=tiny_tokenizers.word_piece() | {"post_processor": None})
    np.testing.assert_array_equal(bare.encode("hello", prompt=" "), bare.encode("hello"))
    for texts, prompt in ((["hello", ""], "the "), (["hello " * 9, "hello"], "the " * 16)):
        with pytest.raises(InputError, match=r"texts\[\d\]: there is no token but the prompt's"):
            bare.encode(texts, prompt=prompt)
    with pytest.raises(InputError, match=r"texts\[1\]: there is no token but the prompt's"):
        bare.encode(["hello", ""], prompt="the ", on_long="window")
    assert len(bare.encode("", prompt="the ", output_value="token_embeddings")) == 1


def test_windows(model: embedrt.Model) -> None:
    """Each has the prompt, and pools its own part of the text and the special token behind it."""
    text, prompt = "hello world " * 10, "the world "
    tokens = model.encode_tokens(text, prompt=prompt, on_long="late")
    words = tokens.embeddings - places()[: len(tokens.ids)]
    before, content, after = words[:3], words[3:-1], words[-1:]
    total, weight = np.zeros(DIM), 0
    for start in (0, 9):  # 12 at a time, of which a quarter is shared
        part = content[start : start + 12]
        rows = np.concatenate([before, part, after]) + places()[: len(part) + 4]
        total += len(part) * rows[3:].astype(np.float64).mean(0)
        weight += len(part)
    found, info = model.encode(text, prompt=prompt, on_long="window", return_info=True)
    np.testing.assert_allclose(found, total / weight, atol=1e-5)
    assert info.windows == {0: 2}
    short = model.encode(["hello", text], prompt=prompt, on_long="window")
    np.testing.assert_array_equal(short[0], model.encode("hello", prompt=prompt))
    np.testing.assert_array_equal(short[1], found)
