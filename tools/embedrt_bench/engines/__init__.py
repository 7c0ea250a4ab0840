"""Engines under comparison: one module each.

An engine's module offers two functions:

    prepare(checkpoint, cache, calibration) -> list[Contestant]
        Slow and cached. Makes the engine's own model files from a checkpoint; the variant to be compared with first.
        `calibration` are texts to fix scales with, where an engine does that; they are not those that are measured.
    load(contestant, threads, max_tokens) -> Encoder
        What an application would do at its start. Called in child processes whose import time and memory are
        measured, so a module imports nothing at its top that an application would not.

This package itself imports only what every engine needs anyway, for the same reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from embedrt_bench.checkpoint import Checkpoint

# The engines to compare with, the default first.
PEERS = ("onnxruntime", "openvino")


class Contestant(NamedTuple):
    """One model of one engine. JSON carries it to the child processes, so every field is plain data."""

    engine: str  # the module's name in this package
    name: str  # the table's column
    model: str  # path of the model file, or of a folder that holds its files and nothing else
    batch_sizes: tuple[int, ...]  # tried for every workload, the better one counts; 0: all texts in one call
    options: dict[str, Any]  # what the engine's load() needs beside the file
    description: dict[str, str]  # how the model was made and how it is run, for the report

    def summary(self, *, rival: bool) -> dict[str, Any]:
        """What a result says of it. A `rival` is one that embedrt is compared with."""
        return {
            "name": self.name,
            "engine": self.engine,
            "rival": rival,
            "batch_sizes": list(self.batch_sizes),
            "description": self.description,
        }


class Encoder(Protocol):
    """A loaded model."""

    def encode(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        """Vectors [n, d] in the order of `texts`."""

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids that the model sees for each text, special tokens included, cut to the length limit."""


class Engine(Protocol):
    """What a module of this package looks like."""

    def prepare(self, checkpoint: Checkpoint, cache: Path, calibration: Sequence[str]) -> list[Contestant]: ...

    def load(self, contestant: Contestant, threads: int, max_tokens: int) -> Encoder: ...


def engine(name: str) -> Engine:
    """The module of that name."""
    return cast(Engine, importlib.import_module(f"{__name__}.{name}"))


def load(contestant: Contestant, threads: int, max_tokens: int) -> Encoder:
    """The contestant, ready to encode. `threads` bounds its compute threads; texts are cut to `max_tokens`."""
    return engine(contestant.engine).load(contestant, threads, max_tokens)
