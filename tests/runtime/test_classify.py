"""Scores of texts and pairs, rankings, and what is refused; a table of random vectors stands for the network."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny_tokenizers
from tiny_model import TEXT, write_model

import embedrt
from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program

# The second text of a pair has a type of its own.
PAIR = [("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1)]
NAMES = ["no", "yes", "perhaps"]
Write = Callable[..., pathlib.Path]


def program(vocabulary: int, labels: int, scale: float) -> Program:
    """Logits of a text: means over its tokens, which their words, places and types decide."""
    rng = np.random.default_rng(4)
    made = Program(vocabulary, 48)
    tables = [
        made.op("lookup", IDS, name=index, index=index, table=rng.normal(size=(rows, 16)).astype(np.float32))
        for index, rows in (("token", vocabulary), ("position", 48), ("type", 2))
    ]
    x = made.op("add", made.op("add", *tables[:2]), tables[2])
    x = made.op("norm", x, name="norm", weight=np.ones(16, np.float32))
    weight = (scale * rng.normal(size=(labels, 16))).astype(np.float32)
    made.outputs = {"logits": made.op("linear", made.op("pool", x), name="out", weight=weight)}
    return made


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Write:
    def made(
        labels: int = 1, classifier: Any = None, scale: float = 1.0, pairs: bool = True, **text: Any
    ) -> pathlib.Path:
        definition = tiny_tokenizers.word_piece()
        parts = [
            {"Sequence" if len(name) == 1 else "SpecialToken": {"id": name, "type_id": kind}} for name, kind in PAIR
        ]
        definition["post_processor"] = definition["post_processor"] | {"pair": parts} if pairs else None
        if classifier is None:
            classifier = {"labels": None if labels == 1 else NAMES[:labels], "activation": "none"}
        sections = [
            *writer.program_sections(program(tiny_tokenizers.vocabulary(definition), labels, scale)),
            writer.json_section(writer.TEXT, {**TEXT, "max_tokens": 24, "classifier": classifier} | text),
            writer.section(writer.TOKENIZER, tiny_tokenizers.as_bytes(definition)),
        ]
        writer.write(tmp_path / "model.embedrt", sections)
        return tmp_path / "model.embedrt"

    return made


def some_pairs(count: int) -> list[tuple[str, str]]:
    rng = random.Random(1)
    return [("hello " * rng.randint(0, 5), "".join(rng.choices("abc ", k=rng.randint(0, 15)))) for _ in range(count)]


def test_shapes(write: Write) -> None:
    model = embedrt.load(write(3))
    assert (model.labels, model.dim) == (("no", "yes", "perhaps"), 3)
    assert model.classify("hello").shape == model.classify(("hello", "world")).shape == (3,)
    assert model.classify(["hello", "world"]).shape == model.classify([("a", "b"), ["c", "d"]]).shape == (2, 3)
    assert model.classify([]).shape == (0, 3)
    assert model.classify(text for text in ("a", "b", "c")).dtype == np.float32
    # Two texts are not a pair; the second one of a pair has a type of its own.
    assert not np.array_equal(model.classify(("hello", "world")), model.classify("hello world"))


@pytest.mark.parametrize("threads", [1, 2])
def test_scores_do_not_depend_on_what_is_beside(write: Write, threads: int) -> None:
    model = embedrt.load(write(2), threads=threads)
    pairs = some_pairs(1500)  # several chunks
    together = model.classify(pairs)
    alone = np.stack([model.classify(pair) for pair in pairs[::50]])
    assert together[::50].tobytes() == alone.tobytes()
    assert model.classify([pair for pair, _ in pairs])[7].tobytes() == model.classify(pairs[7][0]).tobytes()


def test_activations(write: Write) -> None:
    logits = embedrt.load(write(3)).classify(some_pairs(20)).astype(np.float64)
    powers = np.exp(logits)
    expected = {
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "softmax": powers / powers.sum(axis=1, keepdims=True),
        "none": logits,
    }
    for activation, scores in expected.items():
        model = embedrt.load(write(3, {"labels": None, "activation": activation}))
        np.testing.assert_allclose(model.classify(some_pairs(20)), scores, rtol=6e-8)
        assert model.labels is None
        for other in expected:
            np.testing.assert_allclose(model.classify(some_pairs(20), activation=other), expected[other], rtol=6e-8)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_large_logits(write: Write, activation: str) -> None:
    model = embedrt.load(write(2, {"labels": None, "activation": activation}, scale=1e5))
    scores = model.classify(some_pairs(20))
    assert np.isfinite(scores).all() and set(np.unique(scores)) <= {0, 1}


def test_rankings(write: Write) -> None:
    model = embedrt.load(write(1, {"labels": None, "activation": "sigmoid"}))
    documents = ["hello", "world", "hello world", "a", "world", "b c"]
    scores = model.classify([("hello", document) for document in documents])[:, 0]
    found = model.rerank("hello", documents, return_documents=True)
    assert [each["corpus_id"] for each in found] == sorted(range(6), key=lambda index: (-scores[index], index))
    assert all(each["score"] == scores[each["corpus_id"]] for each in found)
    assert all(each["text"] == documents[each["corpus_id"]] for each in found)
    assert model.rerank("hello", documents, top_k=2) == [
        {"corpus_id": each["corpus_id"], "score": each["score"]} for each in found[:2]
    ]
    assert model.rerank("hello", []) == []
    assert len(model.rerank("hello", documents, top_k=100)) == 6
    assert max(scores) != model.rerank("hello", documents, activation="none")[0]["score"]


def test_what_is_cut_is_told(write: Write) -> None:
    model = embedrt.load(write(1))
    pairs = [("a", "b"), ("a " * 30, "b " * 30), ("a " * 3, "b " * 30)]
    with pytest.warns(
        embedrt.TruncationWarning, match=r"2 of 3 texts over the limit, texts\[1\] for one, lost 51 tokens"
    ):
        cut = model.classify(pairs)
    scores, info = model.classify(pairs, return_info=True)
    assert scores.tobytes() == cut.tobytes()
    assert (info.texts, info.truncated_texts, info.truncated_tokens) == (3, (1, 2), 51)
    # 24 tokens, of which three are special: what is left of the longer and of the shorter text.
    assert model.classify(("a " * 10, "b " * 11)).tobytes() == cut[1].tobytes()
    assert model.classify(("a " * 3, "b " * 18)).tobytes() == cut[2].tobytes()
    with pytest.warns(embedrt.TruncationWarning):
        model.rerank("a", ["b " * 30])
    with pytest.warns(embedrt.TruncationWarning):
        model.classify("a b c d e", max_tokens=5)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", ("a", "b")], r"texts\[1\] is a tuple, not a str"),
        ([("a", "b"), "a"], r"texts\[1\] is a str alone, not a pair"),
        ([("a", "b"), ("a", "b", "c")], r"texts\[1\] is a tuple of 3, not a pair"),
        ([("a", 3)], r"texts\[0\] is a tuple of 2, not a pair of str"),
        ([3], r"texts\[0\] is a int alone"),
        (("a", "b", "c"), r"texts\[0\] is a tuple of 3"),
        (7, "expected a str or an iterable of str, not a int"),
    ],
)
def test_texts_that_are_none(write: Write, texts: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        embedrt.load(write(1)).classify(texts)


def test_refusals(write: Write, tmp_path: pathlib.Path) -> None:
    model = embedrt.load(write(1))
    with pytest.raises(embedrt.InputError, match="activation is 'tanh', not one of sigmoid, softmax, none"):
        model.classify("a", activation="tanh")  # type: ignore[arg-type]
    with pytest.raises(embedrt.InputError, match="max_tokens is 2, this model takes 3 to 48"):
        model.classify(("a", "b"), max_tokens=2)
    with pytest.raises(embedrt.InputError, match="top_k is 0"):
        model.rerank("a", ["b"], top_k=0)
    with pytest.raises(TypeError, match="documents is a str"):
        model.rerank("a", "b")
    with pytest.raises(TypeError, match="query is a list"):
        model.rerank(["a"], ["b"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"texts\[1\] is a int, not a str"):
        model.rerank("a", ["b", 3])  # type: ignore[list-item]
    with pytest.raises(embedrt.InputError, match="output_value is 'sentence_embedding', this model has"):
        model.encode("a")
    with pytest.raises(embedrt.InputError, match="scores for 2 labels, which rank nothing"):
        embedrt.load(write(2)).rerank("a", ["b"])
    alone = embedrt.load(write(1, pairs=False))
    assert alone.classify("a").shape == (1,)
    with pytest.raises(embedrt.EmbedrtError, match="template for pairs"):
        alone.classify(("a", "b"))
    with pytest.raises(embedrt.EmbedrtError, match="no classification head"):
        embedrt.load(write_model(tmp_path / "other.embedrt")).classify("a")


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        ({"labels": ["a", "b"], "activation": "none"}, "text section.classifier: 2 labels for 1"),
        ({"labels": [], "activation": "none"}, "labels: expected null or a list"),
        ({"labels": [1], "activation": "none"}, "labels: expected"),
        ({"labels": None, "activation": "tanh"}, "activation: .* is not one of sigmoid, softmax, none"),
        ({"labels": None}, "'activation' is missing"),
        ({"activation": "none"}, "'labels' is missing"),
        ({"labels": None, "activation": "none", "more": 1}, "more"),
        ([], "expected an object"),
    ],
)
def test_sections_that_are_refused(write: Write, classifier: Any, message: str) -> None:
    with pytest.raises(embedrt.FormatError, match=message):
        embedrt.load(write(1, classifier))
