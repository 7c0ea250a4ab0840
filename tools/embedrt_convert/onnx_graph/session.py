"""Runs a graph with onnxruntime, on texts of unlike lengths or on pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from embedrt_convert.errors import ConversionError

Ids = NDArray[np.int32]

_TYPES = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}


class Session:
    """`model` is a file or a graph in memory; `roles` says what each input is for; `outputs` are what `run` gives.

    Raises ConversionError when onnxruntime refuses the graph.
    """

    def __init__(
        self, model: pathlib.Path | onnx.ModelProto, roles: Mapping[str, str], outputs: Sequence[str], label: str
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # What changes no result: other levels may approximate.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self._label, self._roles, self._outputs = label, roles, list(outputs)
        content = str(model) if isinstance(model, pathlib.Path) else model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common class
            raise ConversionError(f"onnxruntime cannot load {label}: {_first_line(error)}") from None

    def texts(self, texts: Sequence[Ids], pad: int = 0) -> list[NDArray[np.float64]]:
        """The outputs for a batch of token ids, filled up with `pad` to the longest and masked. ConversionError."""
        lengths = np.array([len(ids) for ids in texts])
        ids = np.full((len(texts), lengths.max()), pad)
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = text
        positions = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        return self._run({"ids": ids, "mask": mask, "types": np.zeros_like(ids), "positions": positions})

    def images(self, pixels: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        """The outputs for what the network takes, [n, 3, height, width]. Raises ConversionError."""
        return self._run({"pixels": pixels})

    def _run(self, values: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float64]]:
        feed: dict[str, NDArray[Any]] = {
            each.name: values[self._roles[each.name]].astype(_TYPES.get(each.type, np.float32))
            for each in self._session.get_inputs()
        }
        try:
            return [np.asarray(each, np.float64) for each in self._session.run(self._outputs, feed)]
        except Exception as error:
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
            raise ConversionError(f"onnxruntime cannot run {self._label} on {shapes}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
