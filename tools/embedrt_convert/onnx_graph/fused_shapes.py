"""The shapes and element types of a graph's values while its fused ops are being written out."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx

Dims = tuple[int | None, ...]

# Larger constants are sizes to the shape inference, not values.
_SMALL = 1024


class Shapes:
    """Shapes as far as nodes were added: inferred when one that is not known is asked for.

    onnx cannot infer through ops of other domains: the nodes added are the standard ones that take their place.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        weights = {tensor.name: tensor for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in weights]
        self._known: dict[str, Dims] = {name: tuple(tensor.dims) for name, tensor in weights.items()}
        self._types = {name: tensor.data_type for name, tensor in weights.items()}
        self._learn(inputs)
        self._prefix = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
        self._prefix.graph.name = graph.name
        self._prefix.graph.input.extend(inputs)
        for tensor in weights.values():
            if np.prod(tensor.dims) <= _SMALL:
                self._prefix.graph.initializer.append(tensor)
            else:
                value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                self._prefix.graph.input.append(value)
        self._stale = False

    def add_node(self, node: onnx.NodeProto) -> None:
        copy = self._prefix.graph.node.add()
        copy.CopyFrom(node)
        if node.op_type == "LayerNormalization":
            # It keeps the shape. Graphs of opsets that do not have it yet hold it as an op of onnxruntime.
            copy.op_type = "Identity"
            del copy.input[1:], copy.output[1:], copy.attribute[:]
        self._stale = True

    def add_constant(self, tensor: onnx.TensorProto) -> None:
        self._prefix.graph.initializer.append(tensor)
        self._known[tensor.name] = tuple(tensor.dims)
        self._types[tensor.name] = tensor.data_type

    def dims(self, value: str) -> Dims | None:
        """The sizes of a value's axes, None for one that is not fixed; None when not even their number is known."""
        if value not in self._known:
            self._infer()
        return self._known.get(value)

    def element_type(self, value: str) -> int | None:
        """The TensorProto.DataType of a value, None when it is not known."""
        if value not in self._types:
            self._infer()
        return self._types.get(value)

    def _infer(self) -> None:
        if self._stale:
            self._learn(onnx.shape_inference.infer_shapes(self._prefix, data_prop=True).graph.value_info)
            self._stale = False

    def _learn(self, values: Collection[onnx.ValueInfoProto]) -> None:
        self._types |= {v.name: v.type.tensor_type.elem_type for v in values}
        self._known |= {v.name: dims for v in values if (dims := _dims(v)) is not None}


def _dims(value: onnx.ValueInfoProto) -> Dims | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
