"""What `Model.encode` gives back: shapes, values from the tokens' vectors, arguments, the same bits in any batch."""

from __future__ import annotations

import pathlib
import random

import numpy as np
import pytest
import tiny_tokenizers
from tiny_model import DIM, MAX_TOKENS, TEXT, table, write_model
from tokenizers import Tokenizer

import embedrt

pytestmark = pytest.mark.filterwarnings("ignore::embedrt.TruncationWarning")
TEXTS = ["hello world", "the password", "a", "Hello, WORLD! café", "unable to reset the password", "中文 дом"]


def whole_ids(text: str, limit: int | None = 16) -> list[int]:
    """The ids that the tokenizers library itself gives."""
    tokenizer = Tokenizer.from_str(tiny_tokenizers.as_bytes(tiny_tokenizers.word_piece()).decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if limit:
        tokenizer.enable_truncation(limit)
    return tokenizer.encode(text).ids


def expected(text: str) -> np.ndarray:
    definition = tiny_tokenizers.word_piece()
    return table(tiny_tokenizers.vocabulary(definition))[whole_ids(text)].astype(np.float64).mean(0)


def test_vectors_are_those_of_the_tokens(model: embedrt.Model) -> None:
    vectors = model.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), DIM) and vectors.dtype == np.float32
    # A mean of at most 16 float32 sums: 16 roundings of values below 6.
    np.testing.assert_allclose(vectors, [expected(text) for text in TEXTS], atol=16 * 6 * 2**-24)


def test_one_text_gives_one_vector(model: embedrt.Model) -> None:
    assert model.encode("hello world").shape == (DIM,)
    np.testing.assert_array_equal(model.encode("hello world"), model.encode(["hello world"])[0])


def test_no_texts(model: embedrt.Model) -> None:
    assert model.encode([]).shape == (0, DIM)
    assert model.encode([], truncate_dim=3).shape == (0, 3)
    assert model.encode([], normalize_embeddings=True).shape == (0, DIM)
    assert model.encode([], output_value="token_embeddings") == []


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\0", "\x01\x02", "\u200b"])
def test_a_text_without_words_has_its_special_tokens_only(model: embedrt.Model, text: str) -> None:
    assert model.count_tokens(text) == len(whole_ids(text, None)) == 2
    np.testing.assert_array_equal(model.encode(text), model.encode(""))


def test_token_embeddings(model: embedrt.Model) -> None:
    rows = model.encode(TEXTS, output_value="token_embeddings")
    weights = table(tiny_tokenizers.vocabulary(tiny_tokenizers.word_piece()))
    for text, vectors in zip(TEXTS, rows, strict=True):
        np.testing.assert_array_equal(vectors, weights[whole_ids(text)])
    one = model.encode(TEXTS[0], output_value="token_embeddings")
    np.testing.assert_array_equal(one, rows[0])
    assert rows[0].base is None  # its own memory, not a view that keeps the chunk


def test_a_program_without_token_embeddings_says_what_it_has(tmp_path: pathlib.Path) -> None:
    model = embedrt.load(write_model(tmp_path / "a.embedrt", rows=False))
    with pytest.raises(embedrt.InputError, match=r"token_embeddings.*this model has sentence_embedding"):
        model.encode("a", output_value="token_embeddings")


@pytest.mark.parametrize("bad", [None, 3, b"bytes", ["nested"], float("nan")])
def test_what_is_not_a_str_is_named_by_its_index(model: embedrt.Model, bad: object) -> None:
    with pytest.raises(TypeError, match=rf"texts\[2\] is a {type(bad).__name__}"):
        model.encode(["a", "b", bad])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=rf"texts\[0\] is a {type(bad).__name__}"):
        model.count_tokens([bad])  # type: ignore[list-item]


def test_other_iterables(model: embedrt.Model) -> None:
    want = model.encode(TEXTS)
    for texts in (tuple(TEXTS), iter(TEXTS), (text for text in TEXTS), np.array(TEXTS), dict.fromkeys(TEXTS)):
        np.testing.assert_array_equal(model.encode(texts), want)
    with pytest.raises(TypeError, match="not a int"):
        model.encode(5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"texts\[0\] is a int"):
        model.encode(b"ab")  # type: ignore[call-overload]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_bits_alone_and_in_any_batch(model_path: pathlib.Path, threads: int) -> None:
    rng = random.Random(threads)
    words = ["hello", "world", "the", "password", "x", "café", "中", "!"]
    texts = [" ".join(rng.choices(words, k=rng.randrange(30))) for _ in range(300)]
    reference = embedrt.load(model_path, threads=1)
    alone = {text: reference.encode(text).tobytes() for text in texts}
    alone_normal = {text: reference.encode(text, normalize_embeddings=True).tobytes() for text in texts}
    model = embedrt.load(model_path, threads=threads)
    for _ in range(3):
        rng.shuffle(texts)
        batch = texts[: rng.randrange(1, 300)]
        for text, vector in zip(batch, model.encode(batch), strict=True):
            assert vector.tobytes() == alone[text]
        for text, vector in zip(batch, model.encode(batch, normalize_embeddings=True), strict=True):
            assert vector.tobytes() == alone_normal[text]


def test_chunks_do_not_show(model: embedrt.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{text} {number}" for number in range(60) for text in TEXTS]
    want = model.encode(texts)
    rows = model.encode(texts, output_value="token_embeddings")
    monkeypatch.setattr("embedrt._encode._CHUNK_CHARACTERS", 40)
    np.testing.assert_array_equal(model.encode(texts), want)
    monkeypatch.setattr("embedrt._encode._CHUNK_TEXTS", 7)
    np.testing.assert_array_equal(model.encode(texts), want)
    for one, other in zip(model.encode(texts, output_value="token_embeddings"), rows, strict=True):
        np.testing.assert_array_equal(one, other)


def test_normalize_and_truncate_dim(model: embedrt.Model) -> None:
    vectors = model.encode(TEXTS)
    np.testing.assert_array_equal(model.encode(TEXTS, truncate_dim=5), vectors[:, :5])
    np.testing.assert_array_equal(model.encode(TEXTS, truncate_dim=DIM + 5), vectors)
    wide = vectors.astype(np.float64)
    np.testing.assert_allclose(
        model.encode(TEXTS, normalize_embeddings=True),
        wide / np.linalg.norm(wide, axis=1, keepdims=True),
        rtol=2**-23,
    )
    # First the columns, then the length: as sentence-transformers.
    short = model.encode(TEXTS, truncate_dim=5, normalize_embeddings=True)
    np.testing.assert_allclose(short, wide[:, :5] / np.linalg.norm(wide[:, :5], axis=1, keepdims=True), rtol=2**-23)


def test_a_model_that_normalises_keeps_its_bits(tmp_path: pathlib.Path) -> None:
    model = embedrt.load(write_model(tmp_path / "a.embedrt", normalize=True))
    np.testing.assert_array_equal(model.encode(TEXTS, normalize_embeddings=True), model.encode(TEXTS))


def test_prompts(model: embedrt.Model, tmp_path: pathlib.Path) -> None:
    plain = model.encode("hello")
    query = model.encode("the hello")
    np.testing.assert_array_equal(model.encode("hello", prompt="the "), query)
    np.testing.assert_array_equal(model.encode("hello", prompt_name="query"), query)
    np.testing.assert_array_equal(model.encode_query("hello"), query)
    np.testing.assert_array_equal(model.encode_document("hello"), model.encode("world hello"))
    np.testing.assert_array_equal(model.encode_query("hello", prompt_name="shout"), model.encode("!!! hello"))
    np.testing.assert_array_equal(model.encode_query("hello", prompt=""), plain)
    assert not np.array_equal(query, plain)
    with pytest.warns(UserWarning, match="prompt_name is ignored"):
        np.testing.assert_array_equal(model.encode("hello", prompt="the ", prompt_name="shout"), query)
    with pytest.raises(embedrt.InputError, match="'none'; this model has passage, query, shout"):
        model.encode("hello", prompt_name="none")

    text = TEXT | {"prompts": {"shout": "!!! "}, "default_prompt_name": "shout"}
    other = embedrt.load(write_model(tmp_path / "a.embedrt", text=text))
    np.testing.assert_array_equal(other.encode("hello"), model.encode("!!! hello"))
    # Without a prompt of that name there is none, not the default.
    np.testing.assert_array_equal(other.encode_query("hello"), plain)
    np.testing.assert_array_equal(other.encode_document("hello"), plain)


def test_limits_and_info(model: embedrt.Model) -> None:
    long = "hello " * 30
    short = "hello world"
    vectors, info = model.encode([short, long, short], return_info=True)
    assert info == embedrt.EncodeInfo(texts=3, tokens=4 + 16 + 4, truncated_texts=(1,), truncated_tokens=32 - 16)
    np.testing.assert_array_equal(vectors[1], model.encode("hello " * 14))
    assert not np.array_equal(model.encode(long, max_tokens=32), vectors[1])
    assert model.encode(long, max_tokens=32, return_info=True)[1].truncated_texts == ()
    np.testing.assert_array_equal(model.encode(long, max_tokens=2), model.encode(""))
    for bad in (1, 0, -1, MAX_TOKENS + 1):
        with pytest.raises(embedrt.InputError, match=f"max_tokens is {bad}, this model takes 2 to {MAX_TOKENS}"):
            model.encode(long, max_tokens=bad)
    with pytest.raises(embedrt.InputError, match=r"texts\[1\] has 32 tokens.*the limit is 16"):
        model.encode([short, long], on_long="error")
    exact = "hello " * 14
    np.testing.assert_array_equal(model.encode(exact, on_long="error"), model.encode(exact))
    assert model.encode([], return_info=True)[1] == embedrt.EncodeInfo(0, 0, (), 0)


def test_count_tokens(model: embedrt.Model) -> None:
    counts = model.count_tokens([*TEXTS, "hello " * 100])
    assert counts.tolist() == [*(len(whole_ids(text, None)) for text in TEXTS), 102]
    assert model.count_tokens("hello") == 3


@pytest.mark.parametrize(
    "options",
    [
        {"output_value": "logits"},
        {"on_long": "ignore"},
        {"batch_size": 0},
        {"convert_to_numpy": False},
        {"truncate_dim": 0},
    ],
)
def test_arguments_that_cannot_be_used(model: embedrt.Model, options: dict[str, object]) -> None:
    with pytest.raises(embedrt.InputError, match=next(iter(options))):
        model.encode("a", **options)  # type: ignore[call-overload]


@pytest.mark.parametrize("options", [{"unknown": 1}, {"device": "cpu"}])
def test_unknown_arguments(model: embedrt.Model, options: dict[str, object]) -> None:
    for encode in (model.encode, model.encode_query, model.encode_document):
        with pytest.raises(TypeError, match=next(iter(options))):
            encode("a", **options)  # type: ignore[operator]


@pytest.mark.parametrize("options", [{"truncate_dim": 2.0}, {"max_tokens": True}, {"prompt": 3}])
def test_arguments_of_the_wrong_type(model: embedrt.Model, options: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        model.encode("a", **options)  # type: ignore[call-overload]


def test_accepted_for_compatibility(model: embedrt.Model) -> None:
    want = model.encode(TEXTS)
    np.testing.assert_array_equal(model.encode(TEXTS, batch_size=1, convert_to_numpy=True), want)


def test_progress_bar(model: embedrt.Model, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    model.encode(TEXTS, show_progress_bar=True)
    assert f"{len(TEXTS)}/{len(TEXTS)}" in capsys.readouterr().err
    model.encode(TEXTS)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["\ud800", "a\udfff b", "hello \ud83d\ude00 world"])
def test_lone_surrogates_count_as_the_replacement_character(model: embedrt.Model, text: str) -> None:
    replaced = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    vectors = model.encode(["hello", text, "world"])
    np.testing.assert_array_equal(vectors, model.encode(["hello", replaced, "world"]))
    assert model.count_tokens(text) == model.count_tokens(replaced)
