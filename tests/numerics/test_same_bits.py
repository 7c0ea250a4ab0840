"""The same text gives the same bits in any batch, in any order, on any number of threads, at any time."""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numeric_programs import core_model, encoder, offsets_of, rng
from numpy.typing import NDArray

from embedrt import _core

# Texts of no token and of one; many short ones that share a block; some longer than a block.
LENGTHS = (3, 0, 1, 120, *range(1, 34, 3), 0, 300, 2, 1, 64, 65, 128, 257, 0)
OUTPUTS = ("sentence_embedding", "token_embeddings")
Texts = list[NDArray[np.int32]]


def texts() -> Texts:
    random = rng(1)
    return [random.integers(0, 97, length).astype(np.int32) for length in LENGTHS]


@functools.cache
def model(precision: str, threads: int) -> _core.Model:
    return core_model(encoder(precision), threads)


def run(one: _core.Model, some: Texts, output: str) -> list[bytes]:
    """The bytes of each text's result."""
    offsets = offsets_of([len(text) for text in some])
    ids = np.concatenate([*some, np.zeros(0, np.int32)])
    result = one.run(ids, offsets, output)
    assert result.dtype == np.float32
    if output == "sentence_embedding":
        return [row.tobytes() for row in result]
    return [result[begin:end].tobytes() for begin, end in itertools.pairwise(offsets)]


@functools.cache
def alone(precision: str, output: str) -> list[bytes]:
    """Each text on its own, on one thread."""
    return [run(model(precision, 1), [text], output)[0] for text in texts()]


pytestmark = [
    pytest.mark.parametrize("precision", ["int8", "mixed", "fp32"]),
    pytest.mark.parametrize("output", OUTPUTS),
]


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_batched_equals_alone(precision: str, output: str, threads: int) -> None:
    assert run(model(precision, threads), texts(), output) == alone(precision, output)


@pytest.mark.parametrize("threads", [1, 2])
def test_order_does_not_matter(precision: str, output: str, threads: int) -> None:
    all_texts, expected = texts(), alone(precision, output)
    by_length = sorted(range(len(all_texts)), key=lambda i: len(all_texts[i]))
    for order in (by_length, by_length[::-1], rng(2).permutation(len(all_texts)).tolist()):
        found = run(model(precision, threads), [all_texts[i] for i in order], output)
        assert found == [expected[i] for i in order]


def test_neighbours_do_not_matter(precision: str, output: str) -> None:
    """Batches of every size, so that each text lies at many places of its block."""
    all_texts, expected = texts(), alone(precision, output)
    for size in (2, 3, 5, 16):
        for first in range(0, len(all_texts), size):
            found = run(model(precision, 2), all_texts[first : first + size], output)
            assert found == expected[first : first + size]


def test_calls_at_the_same_time(precision: str, output: str) -> None:
    expected = alone(precision, output)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(run, model(precision, 2), texts(), output) for _ in range(6)]
    assert all(call.result() == expected for call in calls)


def test_what_ran_before_does_not_matter(precision: str, output: str) -> None:
    """The memory of a call is used again by the next: what it left behind must not show."""
    fresh = core_model(encoder(precision), 1)
    for index in (16, 3, 2, 16, 22, 2, 1):
        assert run(fresh, [texts()[index]], output) == [alone(precision, output)[index]]
