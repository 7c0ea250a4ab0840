"""The checkpoint that a peer is made from: the one that the model came from."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from embedrt_bench.errors import BenchError

# A network of timm or torchvision: its weights alone.
WEIGHTS = (".pth", ".pt", ".safetensors")


def source_of(checkpoint: str | None, model: str | None, about_source: str) -> str:
    """Where the checkpoint is: as said; else MODEL, if it is one; else what the model file says it was made from."""
    if checkpoint is not None:
        return checkpoint
    if model is not None and not model.endswith(".embedrt"):
        return model
    if about_source.startswith(("hf:", "pypi:")):
        return about_source
    raise BenchError(f"the model was made from {about_source!r}: say where that is with --checkpoint")


@contextlib.contextmanager
def checkpoint_folder(source: str) -> Iterator[Path]:
    """The checkpoint's files in a folder, or its file of weights, for as long as the context lasts."""
    if Path(source).is_dir() or Path(source).suffix in WEIGHTS:
        yield Path(source)
        return
    from embedrt_convert.sources import open_source

    files = open_source(source)
    # Exporters read folders, and a wheel is not one.
    with tempfile.TemporaryDirectory(prefix="embedrt-bench-") as root:
        for name in files.names():
            target = Path(root, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files.read(name))
        yield Path(root)


def cache_folder() -> Path:
    """Where peers' models are kept: beside the converted models, in the user's cache."""
    from embedrt_convert import cache

    return cache.root() / "bench"
