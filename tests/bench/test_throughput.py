"""Which runs are compared, and that a comparison of different things is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from embedrt_bench import harness, throughput
from embedrt_bench.engines import Contestant


class FakeEncoder:
    """Vectors and ids from the texts' lengths; `turned` rotates the vectors away, `shift` changes the ids."""

    def __init__(self, turned: float = 0.0, shift: int = 0) -> None:
        self._turned = turned
        self._shift = shift

    def encode(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        angles = np.array([len(text) for text in texts]) + self._turned
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [[len(text) + self._shift] for text in texts]


A, B = (Contestant("fake", name, "", (0,), {}, {}) for name in "AB")
TEXTS = ["a", "bb", "ccc"]


def test_contestants_that_agree() -> None:
    throughput.check_agreement([A, B], [FakeEncoder(), FakeEncoder(turned=0.1)], TEXTS)


def test_other_token_ids_are_refused() -> None:
    with pytest.raises(RuntimeError, match="B sees other token ids than A"):
        throughput.check_agreement([A, B], [FakeEncoder(), FakeEncoder(shift=1)], TEXTS)


@pytest.mark.parametrize("turned", [0.6, float("nan")])
def test_other_vectors_are_refused(turned: float) -> None:
    with pytest.raises(RuntimeError, match="B and A differ"):
        throughput.check_agreement([A, B], [FakeEncoder(), FakeEncoder(turned=turned)], TEXTS)


def test_a_batch_size_that_changes_nothing_is_not_run() -> None:
    assert throughput.useful_batch_sizes((8, 32), 1) == [8]
    assert throughput.useful_batch_sizes((8, 32), 8) == [8]
    assert throughput.useful_batch_sizes((32, 8), 9) == [8, 32]
    assert throughput.useful_batch_sizes((0,), 100) == [0]


def test_rates() -> None:
    row = harness.add_rates({"seconds": [2.0, 1.0, 4.0], "cpu_seconds": [2.0, 1.5, 4.0]}, "tokens", 100)
    assert row["best_seconds"] == 1.0
    assert row["tokens_per_second"] == 100.0
    assert row["median_tokens_per_second"] == 50.0
    assert row["busy_threads"] == 1.5
