"""Engines under comparison on images: one module each, of the same names as those for texts.

A peer's module offers `prepare(checkpoint, cache, samples, section) -> list[Contestant]`, slow and cached: its own
models, the variant to be compared with first. `section` is the model file's section `image`. Every module offers
`load(contestant, threads) -> ImageEncoder`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from embedrt_bench.engines import Contestant
from embedrt_bench.images.checkpoint import ImageCheckpoint
from embedrt_bench.images.samples import Samples


class ImageEncoder(Protocol):
    """A loaded model."""

    def prepare(self, files: Sequence[bytes]) -> Any:
        """What `encode` takes, of encoded pictures: made before the clock starts. Slices of it are of pictures."""

    def encode(self, prepared: Any, batch_size: int) -> NDArray[np.float32]:
        """Vectors [n, d]."""

    def encode_files(self, files: Sequence[bytes], batch_size: int) -> NDArray[np.float32]:
        """Vectors [n, d] of encoded pictures."""


class ImageEngine(Protocol):
    """What a peer's module of this package looks like."""

    def prepare(
        self, checkpoint: ImageCheckpoint, cache: Path, samples: Samples, section: dict[str, Any]
    ) -> list[Contestant]: ...

    def load(self, contestant: Contestant, threads: int) -> ImageEncoder: ...


def engine(name: str) -> ImageEngine:
    """The module of that name."""
    return cast(ImageEngine, importlib.import_module(f"{__name__}.{name}"))


def load(contestant: Contestant, threads: int) -> ImageEncoder:
    """The contestant, ready to encode. `threads` bounds its compute threads."""
    return engine(contestant.engine).load(contestant, threads)
