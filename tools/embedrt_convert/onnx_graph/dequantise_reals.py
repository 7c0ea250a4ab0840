"""Where the integers of a quantised graph come from, and the float values they stand for."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import helper

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.dequantise_weights import Array, dequantised, limits, quantised
from embedrt_convert.onnx_graph.edit import Edit, argument, attribute, described

# Operators that move numbers and change none, by how many of their inputs they move (None: all).
_MOVES: dict[str, int | None] = {
    **dict.fromkeys(("Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Tile"), 1),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "Slice", "Split", "MaxPool"), 1),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), 1),
    "Resize": 1,
    "Concat": None,
}
_LOWEST = {
    **dict.fromkeys(("Relu", "Sigmoid", "Softmax", "Abs", "Sqrt", "Exp", "Softplus", "HardSigmoid", "ReduceL2"), 0.0),
    **dict.fromkeys(("Erf", "Tanh"), -1.0),
}
_AVERAGES = ("ReduceMean", "ReduceMax", "GlobalAveragePool", "GlobalMaxPool")
_MASK = -1e3  # a factor or a number below this is for masks
_SIX = 6.0  # where relu6 ends


def _moved_inputs(node: onnx.NodeProto) -> range | tuple[int, ...]:
    """Which inputs of a node that moves numbers are those numbers. Raises ConversionError."""
    if node.op_type != "Pad":
        return range(_MOVES[node.op_type] or len(node.input))
    if argument(node, 2):
        return (0, 2)
    if attribute(node, "mode", b"constant") == b"constant":
        raise ConversionError(f"{described(node)} pads integers with 0, which need not be the zero of their floats")
    return (0,)


class Reals:
    """The float values behind integers of `edit`."""

    def __init__(self, edit: Edit) -> None:
        self._edit = edit
        self._known: dict[tuple[str, str, str, int, int], str] = {}
        self._made: dict[tuple[int, str, str], onnx.NodeProto] = {}
        self.rounded = False  # whether a value that is not constant lost its rounding
        self.limited = False  # whether one lost the limits that calibration gave it, too

    def value(self, node: onnx.NodeProto) -> str:
        """The name of the value of a DequantizeLinear. Raises ConversionError."""
        if not argument(node, 1):
            raise ConversionError(f"{described(node)} has no scale")
        axis, block = attribute(node, "axis", 1), attribute(node, "block_size", 0)
        return self.of(argument(node, 0), argument(node, 1), argument(node, 2), axis=axis, block=block, reader=node)

    def of(self, integers: str, scale: str, zero: str, *, axis: int, block: int, reader: onnx.NodeProto) -> str:
        """The name of (integers − zero) · scale as a float; no `scale` is 1. Raises ConversionError."""
        key = (self._edit.resolved(integers), self._edit.resolved(scale), self._edit.resolved(zero), axis, block)
        if key not in self._known:
            self._known[key] = self._trace(*key, reader)
        return self._known[key]

    def scale_of(self, integers: str, names: list[str]) -> str:
        """Which of `names` scales `integers`, that are not constant, to floats; "" if that cannot be told."""
        source = self._edit.producer(integers)
        while source is not None and source.op_type in _MOVES:
            source = self._edit.producer(source.input[0])
        if source is not None and source.op_type in ("DynamicQuantizeLinear", "QuantizeLinear"):
            own = self._edit.resolved(source.output[1] if source.op_type[0] == "D" else source.input[1])
            return own if own in names else ""
        # Rows of a table, say: any scale of one element serves, and the first factor is that of the first operand.
        for name in names:
            value = self._edit.array(name)
            if value is not None and value.size == 1:
                return name
        return ""

    def _trace(self, integers: str, scale: str, zero: str, axis: int, block: int, reader: onnx.NodeProto) -> str:
        values = self._edit.array(integers)
        if values is not None:
            folded = self._folded(values, scale, zero, axis, block, reader)
            return self._edit.constant(folded, integers)
        source = self._edit.producer(integers)
        if source is not None and source.op_type == "DynamicQuantizeLinear":
            self._same(source.output[2], zero, source, reader)
            self._same(source.output[1], scale, source, reader)
            self.rounded = True
            return argument(source, 0)
        if source is not None and source.op_type == "QuantizeLinear":
            return self._behind(source, scale, zero, axis, reader)
        if source is not None and source.op_type in (*_MOVES, "Pad"):
            return self._moved(source, integers, scale, zero, block, reader)
        return self._computed(integers, scale, zero, reader)

    def _behind(self, source: onnx.NodeProto, scale: str, zero: str, axis: int, reader: onnx.NodeProto) -> str:
        """The value that a QuantizeLinear rounds."""
        self._same(argument(source, 2), zero, source, reader)
        if scale:
            self._same(argument(source, 1), scale, source, reader)
        value = self._edit.array(source.input[0])
        if value is not None and not attribute(source, "block_size", 0):
            own_axis = attribute(source, "axis", 1)
            numbers = quantised(
                value,
                self._parameter(argument(source, 1), source),
                self._zero(source),
                axis=own_axis,
                where=described(source),
            )
            return self._edit.constant(self._folded(numbers, scale, zero, axis, 0, reader), source.output[0])
        self.rounded = self.limited = True
        result = self._clipped(source)
        return result if scale else self._edit.add("Div", [result, argument(source, 1)], source.output[0])

    def _clipped(self, source: onnx.NodeProto) -> str:
        """The input of a QuantizeLinear, not below 0 if its integers end there.

        Tools that quantise drop a Relu before integers whose range begins at 0 anyhow: the range is the Relu.
        """
        value = argument(source, 0)
        step = self._parameter(argument(source, 1), source)
        zero = self._zero(source)
        low, high = limits(zero, described(source))
        begins_at_zero = bool(np.all(zero.astype(np.int32) == low))
        # Rounding makes a little less than 0 of a constant that keeps a sum from being less.
        if not begins_at_zero or self._lowest(value, 16) >= -float(step.max()) or self._masks(value):
            return value
        if step.size == 1 and abs((high - low) * float(step.max()) - _SIX) < 1e-4:
            ends = [self._edit.constant(np.array(end, np.float32), value) for end in (0.0, _SIX)]
            return self._edit.add("Clip", [value, *ends], value)
        return self._edit.add("Relu", [value], value)

    def _lowest(self, name: str, depth: int) -> float:
        """A number that no element of a value is below: minus infinity where the few steps back do not say."""
        value = self._edit.array(name)
        if value is not None:
            return float(value.min(initial=0.0))
        node = self._edit.producer(name)
        if node is None or depth == 0:
            return -math.inf
        if node.op_type == "DequantizeLinear":
            return self._lowest(self.value(node), depth - 1)
        if node.op_type in _LOWEST:
            return _LOWEST[node.op_type]
        if node.op_type == "Clip":
            low = (
                self._edit.array(argument(node, 1)) if argument(node, 1) else np.array(attribute(node, "min", -np.inf))
            )
            return -math.inf if low is None else float(low)
        if node.op_type not in (*_MOVES, *_AVERAGES, "Add", "Mul", "Where"):
            return -math.inf
        parts = node.input[1:] if node.op_type == "Where" else node.input
        if node.op_type not in ("Add", "Mul", "Where", "Concat"):
            parts = parts[:1]
        lows = [self._lowest(part, depth - 1) for part in parts]
        if node.op_type == "Add":
            return sum(lows)
        if node.op_type == "Mul":
            return 0.0 if min(lows) >= 0.0 else -math.inf
        return min(lows)

    def _masks(self, name: str) -> bool:
        """Whether a value has numbers that take keys out of a softmax: calibration may not have seen any."""
        node = self._edit.producer(name)
        if node is None or node.op_type not in ("Where", "Mul"):
            return False
        arrays = (self._edit.array(part) for part in node.input)
        return any(array is not None and array.size == 1 and float(array.min()) < _MASK for array in arrays)

    def _moved(
        self, source: onnx.NodeProto, integers: str, scale: str, zero: str, block: int, reader: onnx.NodeProto
    ) -> str:
        """What `source` makes of the floats behind the integers it moves."""
        parameters = [self._edit.array(name) for name in (scale, zero) if name]
        one = all(parameter is None or parameter.size == 1 for parameter in parameters)
        if block or not one:
            raise ConversionError(
                f"{described(reader)} has scales along an axis of integers that {described(source)} moves"
            )
        key = (id(source), scale, zero)
        if key not in self._made:
            copy = onnx.NodeProto()
            copy.CopyFrom(source)
            for index in _moved_inputs(source):
                copy.input[index] = self.of(source.input[index], scale, zero, axis=1, block=0, reader=reader)
            copy.name = self._edit.name(source.name)
            copy.output[:] = [self._edit.name(name) if name else "" for name in source.output]
            self._edit.append(copy)
            self._made[key] = copy
        position = list(source.output).index(integers)
        return str(self._made[key].output[position])

    def _computed(self, integers: str, scale: str, zero: str, reader: onnx.NodeProto) -> str:
        """Integers that are none of a quantised float: an input, say. The formula itself, which is exact."""
        value = self._edit.add("Cast", [integers], integers, to=onnx.TensorProto.FLOAT)
        for operator, name in (("Sub", zero), ("Mul", scale)):
            if name:
                parameter = self._parameter(name, reader).astype(np.float32)
                if parameter.size != 1:
                    raise ConversionError(
                        f"{described(reader)} has scales along an axis of values that are not constant"
                    )
                constant = self._edit.constant(parameter.reshape(()), name)
                value = self._edit.add(operator, [value, constant], integers)
        return value

    def _folded(self, values: Array, scale: str, zero: str, axis: int, block: int, reader: onnx.NodeProto) -> Array:
        factor = self._parameter(scale, reader) if scale else np.ones((), np.float32)
        offset = self._parameter(zero, reader) if zero else None
        if not scale and offset is not None and offset.size > 1:
            factor = np.ones(offset.shape, np.float32)
        return dequantised(values, factor, offset, axis=axis, block=block, where=described(reader))

    def _parameter(self, name: str, reader: onnx.NodeProto) -> Array:
        value = self._edit.array(name)
        if value is None:
            raise ConversionError(f"{described(reader)} has a scale or zero point that is not constant: {name}")
        return value

    def _zero(self, source: onnx.NodeProto) -> Array:
        """The zero point of a QuantizeLinear, whose type is that of its integers."""
        if argument(source, 2):
            return self._parameter(argument(source, 2), source)
        kind = attribute(source, "output_dtype", 0) or onnx.TensorProto.UINT8
        return np.zeros((), helper.tensor_dtype_to_np_dtype(kind))

    def _same(self, written: str, read: str, source: onnx.NodeProto, reader: onnx.NodeProto) -> None:
        """A scale or zero point must be the same one on both sides."""
        if self._edit.resolved(written) == self._edit.resolved(read):
            return
        arrays = [self._edit.array(name) if name else np.zeros(()) for name in (written, read)]
        if arrays[0] is None or arrays[1] is None or not np.array_equal(arrays[0].reshape(-1), arrays[1].reshape(-1)):
            raise ConversionError(
                f"{described(reader)} reads integers of {described(source)} with another scale or zero point"
            )
