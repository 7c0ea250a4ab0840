"""A graph under rewriting: constants by name, producers by value, nodes to be replaced."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from embedrt_convert.errors import ConversionError

Array = NDArray[Any]


def described(node: onnx.NodeProto) -> str:
    """How messages call a node."""
    return f"{node.name or node.output[0]} ({node.op_type})"


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    return default


def argument(node: onnx.NodeProto, index: int) -> str:
    """The name of an input, "" where it is left out."""
    return str(node.input[index]) if index < len(node.input) else ""


class Edit:
    """The main graph of a model while nodes of it are replaced. `finish` writes it back."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self._nodes: dict[int, onnx.NodeProto] = {}
        self._tensors: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._producers: dict[str, onnx.NodeProto] = {}
        self._aliases: dict[str, str] = {}
        self._count = 0
        for node in model.graph.node:
            self.append(node)
        self._names = {info.name for info in model.graph.input} | set(self._tensors) | set(self._producers)

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """Those that are not removed, old ones first."""
        return list(self._nodes.values())

    def append(self, node: onnx.NodeProto) -> None:
        self._nodes[id(node)] = node
        for name in filter(None, node.output):
            self._producers[name] = node

    def name(self, hint: str) -> str:
        """A name that is not taken."""
        while True:
            self._count += 1
            name = f"{hint}_{self._count}"
            if name not in self._names:
                self._names.add(name)
                return name

    def add(self, operator: str, inputs: list[str], hint: str, *, domain: str = "", **attributes: Any) -> str:
        """A new node with one output, whose name is returned. Order does not matter until `finish`."""
        output = self.name(hint)
        self.append(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def constant(self, value: Array, hint: str) -> str:
        name = self.name(hint)
        tensor = self.model.graph.initializer.add()
        tensor.name = name
        tensor.data_type = helper.np_dtype_to_tensor_dtype(value.dtype)
        tensor.dims.extend(value.shape)
        tensor.raw_data = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
        self._tensors[name] = tensor
        return name

    def array(self, name: str) -> Array | None:
        """The value of a constant, also behind nodes that only rename, turn or reshape it. None for anything else."""
        name = self.resolved(name)
        if name in self._tensors:
            return np.asarray(numpy_helper.to_array(self._tensors[name]))
        node = self.producer(name)
        if node is None or node.op_type not in ("Constant", "Identity", "Transpose", "Reshape"):
            return None
        if node.op_type == "Constant":
            return _constant(node)
        value = self.array(node.input[0])
        if value is None or node.op_type == "Identity":
            return value
        if node.op_type == "Transpose":
            return np.asarray(value.transpose(attribute(node, "perm", None)))
        shape = self.array(argument(node, 1))
        if shape is None or 0 in shape:
            return None
        return value.reshape(tuple(shape.tolist()))

    def element_type(self, name: str) -> int:
        """The onnx.TensorProto.DataType of a weight, 0 for any other value."""
        tensor = self._tensors.get(name)
        return 0 if tensor is None else int(tensor.data_type)

    def producer(self, name: str) -> onnx.NodeProto | None:
        return self._producers.get(self.resolved(name))

    def consumers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if any(self.resolved(value) == name for value in node.input)]

    def resolved(self, name: str) -> str:
        while name in self._aliases:
            name = self._aliases[name]
        return name

    def replace(self, old: str, new: str) -> None:
        """Whoever reads `old` reads `new` from now on."""
        if self.resolved(new) == old:
            raise ConversionError(f"the value {old} of the graph is made of itself")
        self._aliases[old] = new

    def remove(self, node: onnx.NodeProto) -> None:
        """Takes a node away. Whatever still needs an output of it is found by `finish`."""
        del self._nodes[id(node)]
        for name in node.output:
            self._producers.pop(name, None)

    def finish(self) -> None:
        """Writes the nodes that the outputs need back in order, and their constants. Raises ConversionError."""
        graph = self.model.graph
        for info in graph.output:
            if info.name in self._aliases:
                self.append(helper.make_node("Identity", [self.resolved(info.name)], [info.name]))
                del self._aliases[info.name]
        ordered, used = self._ordered([info.name for info in graph.output])
        del graph.node[:], graph.value_info[:]
        graph.node.extend(ordered)
        # One by one, in place: a list put back would copy all weights.
        for index in reversed(range(len(graph.initializer))):
            if graph.initializer[index].name not in used:
                del graph.initializer[index]

    def _ordered(self, outputs: list[str]) -> tuple[list[onnx.NodeProto], set[str]]:
        """The nodes that `outputs` need, producers first, with resolved inputs, and the names of all values used."""
        given = {info.name for info in self.model.graph.input} | set(self._tensors)
        ordered: list[onnx.NodeProto] = []
        used: set[str] = set()
        state: dict[int, bool] = {}  # by id of a node: False while its inputs are being made
        pending: list[tuple[onnx.NodeProto | None, str, str]] = [
            (None, name, "the graph's outputs") for name in outputs
        ]
        while pending:
            node, name, reader = pending.pop()
            if node is not None:
                state[id(node)] = True
                ordered.append(node)
                continue
            name = self.resolved(name)
            used.add(name)
            if not name or name in given:
                continue
            producer = self._producers.get(name)
            if producer is None:
                raise ConversionError(
                    f"{reader} reads {name}, integers of a quantised graph that cannot be taken back to float there"
                )
            if id(producer) in state:
                if not state[id(producer)]:
                    raise ConversionError(f"the graph has a cycle through {described(producer)}")
                continue
            state[id(producer)] = False
            producer.input[:] = [self.resolved(value) for value in producer.input]
            pending.append((producer, "", ""))
            needs = [*producer.input, *captured(producer)]
            pending.extend((None, value, described(producer)) for value in needs)
        return ordered, used


def _constant(node: onnx.NodeProto) -> Array | None:
    for entry in node.attribute:
        value = helper.get_attribute_value(entry)
        if entry.name == "value":
            return np.asarray(numpy_helper.to_array(value))
        if entry.name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
        if entry.name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
    return None


def captured(node: onnx.NodeProto) -> list[str]:
    """The outer values that the graphs inside a node read."""
    names: list[str] = []
    for entry in node.attribute:
        for graph in ([entry.g] if entry.HasField("g") else []) + list(entry.graphs):
            inner = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
            inner.update(name for inside in graph.node for name in inside.output)
            for inside in graph.node:
                names.extend(name for name in [*inside.input, *captured(inside)] if name not in inner)
            names.extend(info.name for info in graph.output if info.name not in inner)
    return names
