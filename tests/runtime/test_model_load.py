"""Loading, closing, pickling, what a model says about itself, and files that are not what they should be."""

from __future__ import annotations

import hashlib
import os
import pathlib
import pickle
import struct

import numpy as np
import pytest
import tiny_tokenizers
from tiny_model import ABOUT, DIM, MAX_TOKENS, TEXT, golden_item, write_model

import embedrt
from embedrt import FormatError, _core
from embedrt._golden import check_golden


def test_path_bytes_and_options_give_the_same(model_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want = embedrt.load(model_path).encode("hello world")
    data = model_path.read_bytes()
    monkeypatch.chdir(model_path.parent)
    for source in (str(model_path), model_path, model_path.name, data, bytearray(data), memoryview(data)):
        for mmap in (True, False):
            model = embedrt.load(source, 1, mmap=mmap, verify=True)  # type: ignore[arg-type]
            np.testing.assert_array_equal(model.encode("hello world"), want)


def test_what_a_model_says(model: embedrt.Model) -> None:
    info = model.info
    assert model.dim == info.dim == DIM
    assert model.max_tokens == info.text.max_tokens == TEXT["max_tokens"]
    assert dict(info.text.prompts) == TEXT["prompts"]
    assert dict(info.about) == ABOUT
    assert info.threads == 2 and info.isa in _core.isas()
    assert model.fingerprint == info.fingerprint and len(bytes.fromhex(model.fingerprint)) == 16
    assert "20 columns, 16 tokens" in repr(model) and model.fingerprint[:8] in repr(model)
    with pytest.raises(AttributeError):
        info.dim = 3  # type: ignore[misc]


def test_the_fingerprint_is_the_one_of_the_format(model_path: pathlib.Path, model: embedrt.Model) -> None:
    digest = model_path.read_bytes()[32:64]
    want = hashlib.sha256(digest + struct.pack("<I", _core.NUMERICS_REVISION)).hexdigest()[:32]
    assert model.fingerprint == want


def test_similarity_follows_the_file(tmp_path: pathlib.Path) -> None:
    vectors = np.array([[3.0, 4.0], [0.0, 1.0]], np.float32)
    for kind, want in (("cosine", 0.8), ("dot", 4.0), ("euclidean", -np.sqrt(18)), ("manhattan", -6.0)):
        model = embedrt.load(write_model(tmp_path / f"{kind}.embedrt", text=TEXT | {"similarity": kind}))
        assert model.similarity(vectors[0], vectors)[0, 1] == pytest.approx(want, abs=1e-6)


def test_closing(model_path: pathlib.Path) -> None:
    with embedrt.load(model_path) as model:
        model.encode("a")
    assert "closed" in repr(model)
    for call in (lambda: model.encode("a"), lambda: model.count_tokens("a"), lambda: model.info):
        with pytest.raises(embedrt.EmbedrtError, match="the model is closed"):
            call()
    model.close()


def test_pickling_by_path(model_path: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model_path.parent)
    model = embedrt.load(model_path.name, threads=1)
    data = pickle.dumps(model)
    assert len(data) < 1000
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.encode("hello"), model.encode("hello"))
    assert again.info.threads == 1
    with pytest.raises(TypeError, match="loaded from bytes cannot be pickled"):
        pickle.dumps(embedrt.load(model_path.read_bytes()))


def test_a_pickled_model_insists_on_its_fingerprint(tmp_path: pathlib.Path) -> None:
    path = write_model(tmp_path / "a.embedrt")
    data = pickle.dumps(embedrt.load(path))
    write_model(path, text=TEXT | {"max_tokens": 12})
    with pytest.raises(embedrt.EmbedrtError, match="has the fingerprint"):
        pickle.loads(data)


def test_files_that_are_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        embedrt.load(tmp_path / "nothing.embedrt")
    with pytest.raises(FormatError):
        embedrt.load(b"")
    with pytest.raises(FormatError):
        embedrt.load(b"EMBEDRT\0" + bytes(4096))
    with pytest.raises(TypeError, match="path must be a str"):
        embedrt.load(os.fsencode("x") and _BytesPath())  # type: ignore[arg-type]


class _BytesPath:
    def __fspath__(self) -> bytes:
        return b"model.embedrt"


@pytest.mark.parametrize("threads", [0, -1, 2000])
def test_threads_out_of_range(model_path: pathlib.Path, threads: int) -> None:
    with pytest.raises(embedrt.InputError, match=f"threads is {threads}"):
        embedrt.load(model_path, threads=threads)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_tokens": 0}, "max_tokens: 0 is not within"),
        ({"max_tokens": MAX_TOKENS + 1}, "max_tokens"),
        ({"max_tokens": 1}, "less than the special tokens"),
        ({"max_tokens": True}, "expected an integer"),
        ({"prompts": []}, "prompts"),
        ({"prompts": {"a": 1}}, "prompts"),
        ({"prompts": {str(n): "" for n in range(65)}}, "at most 64"),
        ({"prompts": {"a": "x" * 20_000}}, "prompts"),
        ({"default_prompt_name": "nobody"}, "there is no prompt 'nobody'"),
        ({"similarity": "hamming"}, "similarity"),
        ({"include_prompt": 0}, "include_prompt: expected true or false"),
        ({"surprise": 1}, "unknown key 'surprise'"),
    ],
)
def test_text_sections_that_are_refused(tmp_path: pathlib.Path, change: dict[str, object], words: str) -> None:
    path = write_model(tmp_path / "a.embedrt", text=TEXT | change)
    with pytest.raises(FormatError, match=f"^text section.*{words}"):
        embedrt.load(path)


def test_a_tokenizer_that_does_not_fit_the_program(tmp_path: pathlib.Path) -> None:
    vocabulary = tiny_tokenizers.vocabulary(tiny_tokenizers.word_piece())
    with pytest.raises(FormatError, match=r"^tokenizer section"):
        embedrt.load(write_model(tmp_path / "a.embedrt", ids=vocabulary - 1))


def test_a_file_without_a_tokenizer(tmp_path: pathlib.Path) -> None:
    model = embedrt.load(write_model(tmp_path / "a.embedrt", tokenizer=b""))
    assert model.dim == DIM
    with pytest.raises(embedrt.EmbedrtError, match="no tokenizer"):
        model.encode("a")


def test_every_flipped_byte_is_found(model_path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    data = model_path.read_bytes()
    for place in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        with pytest.raises(FormatError):
            embedrt.load(bytes(damaged), verify=True)


def golden(model: embedrt.Model, revision: int = 0) -> dict[str, object]:
    texts = ("", "hello", "a " * 100)
    vectors, _ = model.encode(texts, return_info=True)
    items = [golden_item(text, model.token_ids(text), row) for text, row in zip(texts, vectors, strict=True)]
    return {
        "numerics_revision": revision or _core.NUMERICS_REVISION,
        "output": "sentence_embedding",
        "items": items,
    }


def test_golden_inputs(model: embedrt.Model, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.embedrt"
    assert check_golden(model) is None
    result = check_golden(embedrt.load(write_model(path, golden=golden(model))))
    assert result is not None and result.items == 3 and result.same_revision and result.cosine_worst > 0.999999

    other = golden(model)
    vector = np.nextafter(model.encode("hello"), np.float32(9))
    other["items"][1] = golden_item("hello", model.token_ids("hello"), vector)  # type: ignore[index]
    with pytest.raises(FormatError, match=r"items\[1\]: the vector differs"):
        check_golden(embedrt.load(write_model(path, golden=other)))
    # Under another revision of the arithmetic, other bits are to be expected.
    result = check_golden(embedrt.load(write_model(path, golden=other | {"numerics_revision": 77})))
    assert result is not None and not result.same_revision and result.cosine_worst > 0.999999

    other["items"][1] = golden_item("hello", [2, 5, 3], model.encode("hello"))  # type: ignore[index]
    with pytest.raises(FormatError, match=r"items\[1\]: the text's token ids"):
        check_golden(embedrt.load(write_model(path, golden=other)))

    other["items"][1] |= {"ids": model.token_ids("hello"), "vector": "AAAA"}  # type: ignore[index]
    with pytest.raises(FormatError, match=r"items\[1\].vector"):
        check_golden(embedrt.load(write_model(path, golden=other)))
