"""Fixtures of the runtime's tests: tiny models, written once."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

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


@pytest.fixture(params=sorted(tiny_tokenizers.FAMILIES))
def definition(request: pytest.FixtureRequest) -> tiny_tokenizers.Definition:
    return tiny_tokenizers.FAMILIES[request.param]()
