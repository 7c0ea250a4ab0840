"""Texts go through in chunks, tokenised one ahead by a thread of their own: nothing of that shows."""

from __future__ import annotations

import _thread
import itertools
import pathlib
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_tokenizers

import embedrt
from embedrt import _core, _encode
from embedrt._encode import Encoding, Limits
from embedrt._precision import Form
from embedrt._tokenize import TextTokenizer

FORM = Form(1)
CUT = Limits("truncate", 16, 16)
DEFAULTS: dict[str, Any] = {"prompt": "", "limits": CUT, "counted": False, "spread": False}
TEXTS = [f"hello world {number}" for number in range(300)]


def encoding(threads: int, run: Any = None, **options: Any) -> Encoding:
    """A call on a core that does what `run` does with the number of texts of a chunk."""

    def core_run(ids: np.ndarray, offsets: np.ndarray, output: str) -> np.ndarray:
        texts = len(offsets) - 1
        if run:
            run(texts)
        return np.zeros((texts, 1), np.float32)

    definition = tiny_tokenizers.word_piece()
    tokenizer = TextTokenizer(tiny_tokenizers.as_bytes(definition), tiny_tokenizers.vocabulary(definition))
    core: Any = SimpleNamespace(threads=threads, run=core_run)
    return Encoding(core, tokenizer, **DEFAULTS | options)


def sizes(threads: int, texts: Sequence[str]) -> list[int]:
    """Characters of each chunk; the chunks together are the texts, in order."""
    chunks = list(encoding(threads)._chunks(texts))
    assert [text for _, chunk, _ in chunks for text in chunk] == list(texts)
    assert [start for start, _, _ in chunks] == [sum(len(c) for _, c, _ in chunks[:i]) for i in range(len(chunks))]
    return [sum(map(len, chunk)) for _, chunk, _ in chunks]


def test_chunks_grow_and_are_bounded() -> None:
    found = sizes(2, ["hello wor"] * 30_000)
    most = 2 * _encode._CHUNK_CHARACTERS
    assert found[0] <= _encode._FIRST_CHARACTERS
    assert all(size <= most for size in found[:-1]) and found[-1] <= 1.5 * most
    assert max(found) <= 9 * _encode._CHUNK_TEXTS
    assert all(after <= 2.1 * before for before, after in itertools.pairwise(found))
    assert min(found[1:]) > _encode._FIRST_CHARACTERS


def test_one_thread_has_no_small_chunk_first() -> None:
    assert sizes(1, ["hello wor"] * 2000) == [18_000]
    assert len(sizes(2, ["hello wor"] * 2000)) > 1


def test_no_thread_for_a_small_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: pytest.fail("a thread was started"))
    encoding(2).sentences(["hello"], FORM)
    encoding(2).sentences(["hello world"] * 300, FORM)
    encoding(1).sentences(TEXTS * 100, FORM)


def test_the_first_chunk_is_spread_only_over_all_cpus(
    model_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread = []
    encode = TextTokenizer.encode

    def watched(self: TextTokenizer, *arguments: Any, **options: Any) -> Any:
        spread.append(options["spread"])
        return encode(self, *arguments, **options)

    monkeypatch.setattr(TextTokenizer, "encode", watched)
    monkeypatch.setattr(_core, "default_threads", lambda: 4)
    vectors = []
    for threads in (1, 2, 4, 8):
        model = embedrt.load(model_path, threads=threads)
        spread.clear()
        vectors.append(model.encode(TEXTS * 100))
        assert spread[0] == (threads >= 4) and not any(spread[1:])
    for other in vectors[1:]:
        np.testing.assert_array_equal(other, vectors[0])


@pytest.mark.parametrize("threads", [1, 2])
def test_who_tokenises(threads: int, monkeypatch: pytest.MonkeyPatch, threads_left: Callable[[], int]) -> None:
    tokenisers = set()
    encode = TextTokenizer.encode

    def watched(self: TextTokenizer, *arguments: Any, **options: Any) -> Any:
        tokenisers.add(threading.get_ident() == threading.main_thread().ident)
        return encode(self, *arguments, **options)

    monkeypatch.setattr(TextTokenizer, "encode", watched)
    encoding(threads).sentences(TEXTS * 10, FORM)
    assert tokenisers == ({True} if threads == 1 else {True, False})
    assert threads_left() == 0


@pytest.mark.parametrize("bad", [0, 150, 299])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_text_that_is_too_long_is_named(
    bad: int, threads: int, monkeypatch: pytest.MonkeyPatch, threads_left: Callable[[], int]
) -> None:
    monkeypatch.setattr(_encode, "_FIRST_CHARACTERS", 500)
    monkeypatch.setattr(_encode, "_CHUNK_CHARACTERS", 500)
    texts = [*TEXTS]
    texts[bad] = texts[-1] = "hello " * 30
    done: list[int] = []
    with pytest.raises(embedrt.InputError, match=rf"texts\[{bad}\] has 32 tokens"):
        encoding(threads, run=done.append, limits=CUT._replace(on_long="error")).sentences(texts, FORM)
    # Those of the chunks before have run, as they would without anything ahead.
    assert bad - 80 < sum(done) <= bad
    assert threads_left() == 0


@pytest.mark.parametrize("error", [embedrt.EmbedrtError("not finite"), KeyboardInterrupt()])
@pytest.mark.parametrize("output", ["sentences", "tokens"])
def test_an_error_of_the_core_leaves_no_thread(
    error: BaseException, output: str, threads_left: Callable[[], int]
) -> None:
    def fail(texts: int) -> None:
        raise error

    call = encoding(2, run=fail)
    with pytest.raises(type(error)) as caught:
        if output == "tokens":
            call.tokens(TEXTS * 10)
        else:
            call.sentences(TEXTS * 10, FORM)
    # The traceback, which holds the frames of the call, is still there.
    assert caught.value.__traceback__ is not None and threads_left() == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_is_told_in_order_by_the_calling_thread(threads: int) -> None:
    told: list[tuple[int, bool]] = []
    ran: list[int] = []
    advance = lambda texts: told.append((texts, threading.get_ident() == threading.main_thread().ident))  # noqa: E731
    encoding(threads, run=ran.append, advance=advance).sentences(TEXTS * 100, FORM)
    assert told == [(texts, True) for texts in ran] and sum(ran) == len(TEXTS) * 100 and len(ran) > 2


def test_info_over_many_chunks(model: embedrt.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_encode, "_FIRST_CHARACTERS", 100)
    monkeypatch.setattr(_encode, "_CHUNK_CHARACTERS", 100)
    texts = [("hello " * 30 if number % 7 == 0 else "hello world") for number in range(200)]
    _, info = model.encode(texts, return_info=True)
    long = tuple(range(0, 200, 7))
    assert info == embedrt.EncodeInfo(200, 16 * len(long) + 4 * (200 - len(long)), long, 16 * len(long))
