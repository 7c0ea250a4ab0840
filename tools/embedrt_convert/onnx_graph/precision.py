"""Half precision to single: the weights, the graph's own types and the casts between them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
# Constants of activations (the two kinds of GELU, quick GELU): rounded with the weights, they are still these.
_MEANT = (math.sqrt(2), math.sqrt(0.5), math.sqrt(2 / math.pi), 0.044715, 1.702)
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision")


def to_single(model: onnx.ModelProto) -> bool:
    """Makes every float16 and bfloat16 of `model` a float32, in place. Says whether there were any.

    Numbers become what they were, nothing is rounded; single ones that are a rounded constant of an activation become
    that constant. Casts between the types become casts of float32 to float32.
    """
    found = False
    graphs = list(_graphs(model.graph))
    for graph in graphs:
        for tensor in graph.initializer:
            found |= _tensor(tensor)
        for info in (*graph.input, *graph.output, *graph.value_info):
            kind = info.type.tensor_type
            if kind.elem_type in _HALF:
                kind.elem_type = onnx.TensorProto.FLOAT
                found = True
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    found |= _tensor(attribute.t)
                if attribute.name in _TYPE_ATTRIBUTES and attribute.i in _HALF:
                    attribute.i = onnx.TensorProto.FLOAT
                    found = True
    return found


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _tensor(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type not in _HALF:
        return False
    values = _values(tensor)
    if values.size == 1:
        half = values.astype(np.float16)
        meant = next((each for each in _MEANT if np.all(half == np.float16(each))), None)
        values = values if meant is None else np.full_like(values, meant)
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    return True


def _values(tensor: onnx.TensorProto) -> NDArray[np.float32]:
    if tensor.data_type == onnx.TensorProto.FLOAT16:
        return np.asarray(numpy_helper.to_array(tensor)).astype(np.float32)
    # The upper half of a float32. Versions of onnx differ in what they make of bfloat16.
    raw = np.frombuffer(tensor.raw_data, "<u2") if tensor.HasField("raw_data") else np.array(tensor.int32_data, "<u2")
    return (raw.astype(np.uint32) << 16).view(np.float32).reshape(tuple(tensor.dims))
