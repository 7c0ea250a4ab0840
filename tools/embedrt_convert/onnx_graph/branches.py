"""Control flow that sizes decide: a fixed branch in the place of an If, or an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.edit import attribute, described
from embedrt_convert.onnx_graph.simplify import simplified

_ROUNDS = 8  # sizes behind a branch are known when the branch is


def straight(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without control flow; as it is if it has none. Raises ConversionError where data decide.

    Exporters write an If for what depends on a size they do not know. onnxruntime puts a branch in the place of an If
    of a constant condition, but a size is no constant to it while any other one of the same value is open.
    """
    for _ in range(_ROUNDS):
        if not any(map(_has_graphs, model.graph.node)):
            return model
        model = simplified(model)
        if not _fold_sizes(model):
            break
    for node in model.graph.node:
        if _has_graphs(node):
            raise ConversionError(
                f"{described(node)} runs one graph or another as the data decide: only a fixed sequence of steps "
                "can be converted. Export the model without control flow"
            )
    return model


def _has_graphs(node: onnx.NodeProto) -> bool:
    return any(entry.HasField("g") or entry.graphs for entry in node.attribute)


def _fold_sizes(model: onnx.ModelProto) -> bool:
    """Makes constants of the known sizes that a Gather takes out of a Shape. Says whether there are any."""
    graph = model.graph
    shapes = {info.name: info.type.tensor_type.shape.dim for info in (*graph.input, *graph.value_info)}
    shape_of = {node.output[0]: node for node in graph.node if node.op_type == "Shape"}
    small = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT64}
    found = False
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        source = shape_of.get(node.input[0]) if node.op_type == "Gather" else None
        if source is None or node.input[1] not in small or attribute(source, "start", 0) or attribute(source, "end", 0):
            continue
        sizes = _sizes(shapes.get(source.input[0], ()), numpy_helper.to_array(small[node.input[1]]))
        if sizes is not None:
            graph.initializer.add().CopyFrom(numpy_helper.from_array(sizes, node.output[0]))
            del graph.node[index]
            found = True
    return found


def _sizes(dims: Any, indices: Any) -> Any:
    """The sizes at `indices`, None unless all of them are known."""
    if not np.all((indices >= -len(dims)) & (indices < len(dims))):
        return None
    taken = [dims[int(index)] for index in indices.reshape(-1)]
    if not all(dim.HasField("dim_value") for dim in taken):
        return None
    return np.array([dim.dim_value for dim in taken], np.int64).reshape(indices.shape)
