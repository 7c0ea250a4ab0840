"""Reads tensors from safetensors files and from PyTorch's pickles, those only through its weights-only loader."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.errors import ConversionError
from embedrt_convert.sources.files import Files

Tensors = dict[str, NDArray[Any]]

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def read_weights(files: Files, folder: str = "") -> Tensors:
    """All tensors of the model in `folder` ("" is the top): safetensors, sharded safetensors, or a PyTorch pickle.

    Raises ConversionError when there are none, when a file is malformed, or when there is only a pickle and no torch.
    """
    prefix = f"{folder}/" if folder else ""
    for stem, read in (("model.safetensors", _safetensors), ("pytorch_model.bin", _pickle)):
        if files.has(prefix + stem):
            return read(files, prefix + stem)
        if files.has(f"{prefix}{stem}.index.json"):
            return _sharded(files, prefix, f"{prefix}{stem}.index.json")
    raise ConversionError(
        f"{files.label} has no {prefix}model.safetensors and no {prefix}pytorch_model.bin: nothing to convert"
    )


def read_file(files: Files, name: str) -> Tensors:
    """All tensors of one file: safetensors by its suffix, else a PyTorch pickle. Raises ConversionError."""
    return (_safetensors if name.endswith(".safetensors") else _pickle)(files, name)


def _sharded(files: Files, prefix: str, index: str) -> Tensors:
    weight_map = files.json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ConversionError(f"{index} in {files.label} has no weight_map")
    read = _safetensors if ".safetensors" in index else _pickle
    tensors: Tensors = {}
    for shard in sorted(set(weight_map.values())):
        tensors.update(read(files, prefix + str(shard)))
    if missing := sorted(weight_map.keys() - tensors.keys()):
        raise ConversionError(f"{index} in {files.label} lists {missing[0]}, which no shard holds")
    return tensors


def _safetensors(files: Files, name: str) -> Tensors:
    from safetensors import SafetensorError, deserialize

    try:
        entries: list[tuple[str, dict[str, Any]]] = deserialize(bytes(files.read(name)))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ConversionError(f"{name} in {files.label} is not a safetensors file: {error}") from None
    return {tensor: _array(tensor, entry) for tensor, entry in entries}


def _array(name: str, entry: Mapping[str, Any]) -> NDArray[Any]:
    """One tensor as the library gives it; bfloat16, which numpy does not have, becomes float32."""
    kind = entry["dtype"]
    if kind not in _DTYPES:
        raise ConversionError(f"{name} has the type {kind}; known: {', '.join(_DTYPES)}")
    array: NDArray[Any] = np.frombuffer(entry["data"], _DTYPES[kind]).reshape(entry["shape"])
    return (array.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else array


def _pickle(files: Files, name: str) -> Tensors:
    try:
        import torch
    except ImportError:
        raise ConversionError(
            f"{files.label} has only {name}, a pickle, which needs PyTorch's weights-only loader, and torch is not "
            "installed: pip install torch, or use a checkpoint with model.safetensors"
        ) from None
    try:
        state = torch.load(io.BytesIO(files.read(name)), map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)  # as training scripts save it, beside the optimiser's
        return {key: (value.float() if value.is_floating_point() else value).numpy() for key, value in state.items()}
    except Exception as error:  # torch raises whatever its unpickler met
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConversionError(
            f"{name} in {files.label} was refused by PyTorch's weights-only loader: {reason}"
        ) from None
