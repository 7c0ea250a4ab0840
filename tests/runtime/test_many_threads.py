"""Two models in many threads at once, others loaded and closed beside them: the bits of one thread alone.

Every round begins with fresh models, so that what a model makes at its first call is made by several threads. Where the
interpreter has no lock of its own (a free-threaded build), nothing but the package's own care keeps them apart.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tiny_image import write_image_model

import embedrt

BERT = pathlib.Path(__file__).parent.parent / "data" / "tiny-bert-v1.embedrt"
THREADS = 8
TEXTS = ["hello world", "", "a b c d", "the password " * 9, "café 中文"] * 3
LONG = "one two three. four five six! seven, eight " * 9
PICTURES = [np.random.default_rng(n).integers(0, 256, (9 + n, 30 - n, 3), np.uint8) for n in range(9)]

Models = tuple[embedrt.Model, embedrt.Model]


def load_and_close(source: str | bytes) -> list[np.ndarray]:
    with embedrt.load(source, threads=2, verify=True) as model:
        return [model.encode(TEXTS[:5])]


def after_closing(path: pathlib.Path) -> None:
    model = embedrt.load(path)
    model.close()
    model.encode_image(PICTURES[:1])


def everything(path: pathlib.Path) -> list[Callable[[embedrt.Model, embedrt.Model], Any]]:
    """Calls of a model of texts and one of images, of all kinds; some of them fail."""
    content = BERT.read_bytes()
    return [
        lambda texts, _: [texts.encode(TEXTS)],
        lambda texts, _: [texts.encode(text) for text in TEXTS[:5]],
        lambda texts, _: texts.encode(TEXTS, output_value="token_embeddings"),
        lambda texts, _: texts.encode([LONG, "hello"], on_long="window"),
        lambda texts, _: texts.encode_segments(LONG, "sentence").embeddings,
        lambda texts, _: texts._open().run_outputs([3, 4, 5], [0, 1, 3], ["token_embeddings", "sentence_embedding"]),
        lambda texts, _: [repr(part).encode() for part in (texts.info.about, texts.info.text, texts._open().outputs())],
        lambda _, images: images.encode_image(PICTURES),
        lambda _, images: images.encode_image(PICTURES, output_value="patch_embeddings"),
        lambda _, images: images.encode_image([PICTURES[0], b"none", PICTURES[1]], on_error="skip"),
        lambda _, images: images.encode_image([*PICTURES, b"none"]),
        lambda _, images: images.encode_image(PICTURES, output_value="none"),
        lambda texts, _: texts.encode(["hello", 5]),  # type: ignore[list-item]
        lambda texts, _: texts._open().run([-1], [0, 1], "sentence_embedding"),
        lambda texts, _: texts._open().section("none"),
        lambda _texts, _: load_and_close(str(BERT)),
        lambda _texts, _: load_and_close(content),
        lambda _texts, _: embedrt.load(content[:-1], verify=True),
        lambda _texts, _: after_closing(path),
    ]


def outcome(call: Callable[[embedrt.Model, embedrt.Model], Any], models: Models) -> tuple[str, ...]:
    """What a call gives, to the bit, or what it raises."""
    try:
        return tuple(bytes(part).hex() for part in call(*models))
    except Exception as error:
        return type(error).__name__, str(error)


@pytest.mark.filterwarnings("ignore::embedrt.TruncationWarning")
@pytest.mark.parametrize("threads", [1, 3])
def test_the_bits_of_one_thread_alone(tmp_path: pathlib.Path, threads: int) -> None:
    path = write_image_model(tmp_path / "images.embedrt")
    calls = everything(path)

    def fresh(threads: int) -> Models:
        return embedrt.load(BERT, threads=threads), embedrt.load(path, threads=threads)

    want = [outcome(call, fresh(1)) for call in calls]
    assert sum(len(found) == 2 and found[0].endswith("Error") for found in want) == 8
    wrong: list[object] = []
    models = fresh(threads)
    together = threading.Barrier(THREADS, timeout=60)

    def work(number: int) -> None:
        nonlocal models
        for turn in range(5):
            if together.wait() == 0:
                models = fresh(threads)
            together.wait()
            for place in range(len(calls)):
                index = (place + number * (turn + 1)) % len(calls)
                if (found := outcome(calls[index], models)) != want[index]:
                    wrong.append((index, want[index], found))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_the_interpreters_lock_stays_off() -> None:
    """An extension module that does not say that it is safe without it switches it on for the whole process."""
    code = """
import sys, embedrt
embedrt.load(sys.argv[1]).encode(["hello"])
print(getattr(sys, "_is_gil_enabled", lambda: True)())
"""
    done = subprocess.run([sys.executable, "-c", code, BERT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(not sysconfig.get_config_var("Py_GIL_DISABLED"))]
    assert not done.stderr
