"""Fixtures of the runtime's tests: tiny models, written once."""

from __future__ import annotations

import pathlib
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import tiny_tokenizers
from tiny_model import write_model

import embedrt


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.embedrt")


@pytest.fixture
def model(model_path: pathlib.Path) -> Iterator[embedrt.Model]:
    with embedrt.load(model_path, threads=2) as loaded:
        yield loaded


@pytest.fixture
def threads_left() -> Iterator[Callable[[], int]]:
    """Counts the threads of Python code that the test has started and that do not end; there must be none at last."""
    before = sys._current_frames().keys()

    def count() -> int:
        end = time.monotonic() + 0.05  # one that has done its work may still be ending
        while (left := len(sys._current_frames().keys() - before)) and time.monotonic() < end:
            time.sleep(0.001)
        return left

    yield count
    assert count() == 0


@pytest.fixture(params=sorted(tiny_tokenizers.FAMILIES))
def definition(request: pytest.FixtureRequest) -> tiny_tokenizers.Definition:
    return tiny_tokenizers.FAMILIES[request.param]()
