"""What the expansions of fused ops are written with: the standard nodes that take one node's place."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.fused_shapes import Dims, Shapes

_LAST = np.iinfo(np.int64).max

_UNKNOWN = "export the model with another exporter or a newer opset"


class Pieces:
    """The nodes that take one fused node's place, named after it.

    They are ops of opset 11 up to the newest, on float32; where an op changed between them, there is a method for it.
    Methods that append a node return the name of its value.
    """

    def __init__(
        self, node: onnx.NodeProto, opset: int, shapes: Shapes, used: Collection[str], names: set[str]
    ) -> None:
        """`used` are the values that something needs, `names` those that are taken, to which the pieces' are added."""
        self.node = node
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._shapes = shapes
        self._used = used
        self._names = names
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}

    # The fused node

    def input(self, index: int) -> str | None:
        """The name of an input; None where an optional one is left out."""
        return (self.node.input[index] or None) if index < len(self.node.input) else None

    def required(self, index: int) -> str:
        name = self.input(index)
        if name is None:
            self.refuse(f"its input {index} is missing", "the file is damaged")
        return name

    def attribute(self, name: str, default: Any) -> Any:
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def attributes(self, *without: str) -> dict[str, Any]:
        return {name: value for name, value in self._attributes.items() if name not in without}

    def wants(self, index: int) -> bool:
        """Whether something uses an output."""
        return index < len(self.node.output) and self.node.output[index] in self._used

    def heads(self, name: str = "num_heads") -> int:
        count: int = self.attribute(name, 0)
        if count < 1:
            self.refuse(f"its attribute {name} is {count}", "it must be a number of heads")
        return count

    def refuse(self, why: str, advice: str) -> NoReturn:
        raise ConversionError(f"{described(self.node)}: {why}; {advice}")

    def refuse_inputs(self, names: dict[int, str], advice: str) -> None:
        for index, name in names.items():
            if self.input(index) is not None:
                self.refuse(f"its input {name} is not supported", advice)

    def refuse_outputs(self, names: dict[int, str], advice: str) -> None:
        for index, name in names.items():
            if self.wants(index):
                self.refuse(f"its output {name} is not supported, and something uses it", advice)

    def refuse_unless(self, **expected: Any) -> None:
        """Each attribute is absent or as said."""
        for name, value in expected.items():
            if (found := self.attribute(name, value)) != value:
                self.refuse(f"its attribute {name} is {found!r}", f"only {value!r} is supported")

    # Shapes

    def element_type(self, value: str) -> int:
        """The TensorProto.DataType of a value."""
        kind = self._shapes.element_type(value)
        if kind is None:
            self.refuse(f"the element type of its value {value!r} is not known", _UNKNOWN)
        return kind

    def rank(self, value: str) -> int:
        return len(self._known_dims(value))

    def size(self, value: str, axis: int) -> int | None:
        """The size of an axis; None when it is not fixed."""
        return self._known_dims(value)[axis]

    def fixed_size(self, value: str, axis: int) -> int:
        size = self.size(value, axis)
        if size is None:
            self.refuse(f"the size of axis {axis} of its value {value!r} is not fixed", "export it with a fixed one")
        return size

    def _known_dims(self, value: str) -> Dims:
        dims = self._shapes.dims(value)
        if dims is None:
            self.refuse(f"the shape of its value {value!r} is not known", _UNKNOWN)
        return dims

    # Nodes

    def finish(self, results: Sequence[str]) -> None:
        """Let these values be the fused node's outputs; those that nothing uses may be missing."""
        renamed: dict[str, str] = {}
        made = {node.output[0] for node in self.nodes}
        for index, result in enumerate(results):
            if not self.wants(index):
                continue
            output = self.node.output[index]
            self._shapes.add_node(onnx.helper.make_node("Identity", [result], [output]))
            if result in made and result not in renamed:
                renamed[result] = output
            else:
                self.nodes.append(onnx.helper.make_node("Identity", [result], [output], name=f"{self.node.name}/out"))
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [renamed.get(name, name) for name in names]

    def add(self, op: str, *inputs: str | None, **attributes: Any) -> str:
        name = self._unique(f"{self.node.name}/{op}_{len(self.nodes)}")
        node = onnx.helper.make_node(op, [i or "" for i in inputs], [name], name=name, **attributes)
        node.metadata_props.extend(self.node.metadata_props)
        self.nodes.append(node)
        self._shapes.add_node(node)
        return name

    def constant(self, value: ArrayLike, dtype: DTypeLike = np.float32) -> str:
        name = self._unique(f"{self.node.name}/constant_{len(self.constants)}")
        tensor = onnx.numpy_helper.from_array(np.array(value, dtype), name)
        self.constants.append(tensor)
        self._shapes.add_constant(tensor)
        return name

    def _unique(self, name: str) -> str:
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def add_bias(self, x: str, bias: str | None) -> str:
        return x if bias is None else self.add("Add", x, bias)

    def times(self, x: str, factor: float) -> str:
        return x if factor == 1 else self.add("Mul", x, self.constant(factor))

    def reshape(self, x: str, *shape: int) -> str:
        """0 keeps the size of the axis at that place."""
        return self.add("Reshape", x, self.constant(shape, np.int64))

    def transpose(self, x: str, *perm: int) -> str:
        return self.add("Transpose", x, perm=perm)

    def unsqueeze(self, x: str, *axes: int) -> str:
        if self.opset < 13:
            return self.add("Unsqueeze", x, axes=axes)
        return self.add("Unsqueeze", x, self.constant(axes, np.int64))

    def reduce(self, op: str, x: str, *axes: int, keepdims: bool) -> str:
        if self.opset < (13 if op == "ReduceSum" else 18):
            return self.add(op, x, axes=axes, keepdims=int(keepdims))
        return self.add(op, x, self.constant(axes, np.int64), keepdims=int(keepdims))

    def slice(self, x: str, begin: int, end: int | str | None, axis: int, step: int = 1) -> str:
        """Elements begin <= i < end along an axis. `end` may be a value of shape [1]; None takes all to the last."""
        last = end if isinstance(end, str) else self.constant([_LAST if end is None else end], np.int64)
        first, along = (self.constant([n], np.int64) for n in (begin, axis))
        steps = () if step == 1 else (self.constant([step], np.int64),)
        return self.add("Slice", x, first, last, along, *steps)

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        bounds = np.cumsum([0, *sizes])
        return [self.slice(x, int(a), int(b), axis) for a, b in itertools.pairwise(bounds)]

    def length(self, x: str, axis: int) -> str:
        """The size of an axis as a value of shape [1], int64."""
        return self.slice(self.add("Shape", x), axis, axis + 1, 0)

    def count(self, x: str, axis: int) -> str:
        """0, 1, … below the size of an axis, int64."""
        size = self.add("Gather", self.add("Shape", x), self.constant(axis, np.int64))
        return self.add("Range", self.constant(0, np.int64), size, self.constant(1, np.int64))


def described(node: onnx.NodeProto) -> str:
    """A node in words, for messages."""
    return f"node {node.name!r} ({node.domain or 'ai.onnx'} {node.op_type})"
