"""A light view of an ONNX graph: nodes in order, constants as arrays."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt._extras import extra

with extra("onnx"):
    import onnx

_SIZES = ("Shape", "Size")  # they read no numbers


@dataclass(frozen=True, eq=False)
class Node:
    """One node. `scope` is the path of the module that it was exported from, or "" where the file does not say."""

    op: str
    name: str
    scope: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        where = f" of {self.scope}" if self.scope else ""
        return f"node {self.name or self.outputs[0]} ({self.op}){where}"


@dataclass(frozen=True)
class Input:
    """What a graph takes: `shape` has the name of a symbolic extent, or None for an unknown one."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...]


class Graph:
    """A standard float32 graph. Constants become arrays when they are asked for."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.opset = max(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
        self._initializers = {each.name: each for each in model.graph.initializer}
        self._arrays: dict[str, NDArray[Any]] = {}
        self.inputs = tuple(_input(each) for each in model.graph.input if each.name not in self._initializers)
        self.outputs = tuple(each.name for each in model.graph.output)
        nodes = []
        for each in model.graph.node:
            if each.op_type == "Constant":
                self._arrays[each.output[0]] = _constant(each)
            else:
                nodes.append(_node(each))
        self.nodes = tuple(nodes)
        self.readers = Counter(name for node in nodes if node.op not in _SIZES for name in node.inputs if name)
        self.readers.update(self.outputs)
        self.producers = {name: node for node in nodes for name in node.outputs if name}

    def is_constant(self, name: str) -> bool:
        return name in self._initializers or name in self._arrays

    def constant(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            self._arrays[name] = onnx.numpy_helper.to_array(self._initializers[name])
        return self._arrays[name]

    def ancestors(self, names: tuple[str, ...], *, through_sizes: bool = True) -> set[str]:
        """The values that `names` are made from, themselves included; or only those whose elements matter."""
        found: set[str] = set()
        stack = list(names)
        while stack:
            name = stack.pop()
            if name and name not in found:
                found.add(name)
                if name in self.producers and (through_sizes or self.producers[name].op not in ("Shape", "Size")):
                    stack += self.producers[name].inputs
        return found


def _input(value: onnx.ValueInfoProto) -> Input:
    tensor = value.type.tensor_type
    shape = tuple(each.dim_value if each.HasField("dim_value") else each.dim_param or None for each in tensor.shape.dim)
    return Input(value.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), shape)


def _node(node: onnx.NodeProto) -> Node:
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    return Node(node.op_type, node.name, _scope(node), tuple(node.input), tuple(node.output), attributes)


def _scope(node: onnx.NodeProto) -> str:
    """The module's path: PyTorch's exporter writes it beside the node, the older one into its name."""
    for each in node.metadata_props:
        if each.key == "pkg.torch.onnx.name_scopes":
            try:
                scopes = [str(scope) for scope in json.loads(each.value.replace("'", '"'))]
            except ValueError:
                return str(each.value)
            return ".".join(scope for scope in scopes[-2:-1] if scope)
    return ".".join(node.name.split("/")[1:-1])


def _constant(node: onnx.NodeProto) -> NDArray[Any]:
    (attribute,) = node.attribute
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return onnx.numpy_helper.to_array(value)
    dtype = {"value_float": np.float32, "value_floats": np.float32}.get(attribute.name, np.int64)
    return np.asarray(value, dtype)
