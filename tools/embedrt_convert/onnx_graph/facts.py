"""What an ONNX file says about itself: where its data is, in which precision it computes, who wrote it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import onnx

_FEWER_BITS = {
    getattr(onnx.TensorProto, name)
    for name in ("FLOAT16", "BFLOAT16", "INT8", "UINT8", "INT4", "UINT4", "INT2", "UINT2")
    if hasattr(onnx.TensorProto, name)
} | {number for name, number in onnx.TensorProto.DataType.items() if name.startswith("FLOAT8")}


def external(path: pathlib.Path) -> tuple[str, ...]:
    """The files that hold data of the graph at `path`, by their names from its folder; `read` has checked them."""
    model = onnx.load(str(path), load_external_data=False)
    places = {
        entry.value for tensor in _tensors(model.graph) for entry in tensor.external_data if entry.key == "location"
    }
    return tuple(sorted(places))


def is_lossy(model: onnx.ModelProto) -> bool:
    """Whether weights are in fewer bits than float32, so that the file itself computes something less exact."""
    return any(tensor.data_type in _FEWER_BITS for tensor in _tensors(model.graph))


def about(model: onnx.ModelProto) -> dict[str, Any]:
    """The exporter and the operator sets, for a model file's `about` section."""
    return {
        "exporter": f"{model.producer_name} {model.producer_version}".strip() or "unknown",
        "opsets": {each.domain or "ai.onnx": each.version for each in model.opset_import},
    }


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Initialisers and constants, those of subgraphs too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else []
            yield from attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _tensors(inner)
