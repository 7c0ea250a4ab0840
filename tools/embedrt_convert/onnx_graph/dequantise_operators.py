"""Operators that work on integers inside, as float operators between DequantizeLinear and QuantizeLinear.

What is left then is one form only, pairs around float operators, which `dequantise` dissolves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.dequantise_weights import dequantised, unpacked
from embedrt_convert.onnx_graph.edit import Edit, argument, attribute, described

_MICROSOFT = "com.microsoft"
DOMAINS = ("", "ai.onnx", _MICROSOFT)  # in which the names of operators mean what they mean here


def spell_out(edit: Edit, node: onnx.NodeProto) -> bool:
    """Replaces `node` if it is such an operator; says whether it is. Raises ConversionError for what it cannot."""
    rule = _RULES.get(node.op_type)
    if rule is None or node.domain not in DOMAINS:
        return False
    arity, rewrite = rule
    if len(node.input) < arity or not node.output:
        raise ConversionError(f"{described(node)} has {len(node.input)} inputs, it needs {arity}")
    if attribute(node, "channels_last", 0):
        raise ConversionError(f"{described(node)} has its channels last: save the graph without layout optimisation")
    edit.remove(node)
    rewrite(edit, node)
    return True


def _real(edit: Edit, node: onnx.NodeProto, first: int, axis: int = 1) -> str:
    """The float value of the inputs (integers, scale, zero point) that begin at `first`."""
    return _dequantise(edit, [argument(node, first + part) for part in range(3)], node.output[0], axis)


def _dequantise(edit: Edit, inputs: list[str], hint: str, axis: int = 1) -> str:
    return edit.add("DequantizeLinear", inputs, hint, axis=axis)


def _output(edit: Edit, node: onnx.NodeProto, value: str, first: int) -> None:
    """Quantises `value` with the scale and zero point of the inputs at `first`: the output of `node`."""
    inputs = [value, argument(node, first), argument(node, first + 1)]
    edit.append(helper.make_node("QuantizeLinear", inputs, [node.output[0]], name=node.name))


def _rename(edit: Edit, node: onnx.NodeProto, value: str) -> None:
    edit.append(helper.make_node("Identity", [value], [node.output[0]], name=node.name))


def _attributes(node: onnx.NodeProto, *without: str) -> dict[str, Any]:
    return {
        entry.name: helper.get_attribute_value(entry)
        for entry in node.attribute
        if entry.name not in (*without, "channels_last")
    }


def _add(edit: Edit, value: str, bias: str, hint: str) -> str:
    return edit.add("Add", [value, bias], hint) if bias else value


def _binary(operator: str, axis: int = 1) -> Callable[[Edit, onnx.NodeProto], None]:
    def rewrite(edit: Edit, node: onnx.NodeProto) -> None:
        operands = [_real(edit, node, 0), _real(edit, node, 3, axis)]
        _output(edit, node, edit.add(operator, operands, node.output[0]), 6)

    return rewrite


def _unary(operator: str) -> Callable[[Edit, onnx.NodeProto], None]:
    def rewrite(edit: Edit, node: onnx.NodeProto) -> None:
        value = edit.add(operator, [_real(edit, node, 0)], node.output[0], **_attributes(node))
        _output(edit, node, value, 3)

    return rewrite


def _softmax(edit: Edit, node: onnx.NodeProto) -> None:
    axis = attribute(node, "axis", -1)
    if attribute(node, "opset", 13) < 13 and axis != -1:
        raise ConversionError(f"{described(node)} is over all axes from {axis} on: only the last one is understood")
    _output(edit, node, edit.add("Softmax", [_real(edit, node, 0)], node.output[0], axis=axis), 3)


def _concat(edit: Edit, node: onnx.NodeProto) -> None:
    parts = [_real(edit, node, first) for first in range(2, len(node.input), 3)]
    _output(edit, node, edit.add("Concat", parts, node.output[0], **_attributes(node)), 0)


def _where(edit: Edit, node: onnx.NodeProto) -> None:
    inputs = [node.input[0], _real(edit, node, 1), _real(edit, node, 4)]
    _output(edit, node, edit.add("Where", inputs, node.output[0]), 7)


def _conv(edit: Edit, node: onnx.NodeProto) -> None:
    inputs = [_real(edit, node, 0), _real(edit, node, 3, axis=0)]
    if argument(node, 8):
        inputs.append(_bias(edit, node, argument(node, 8)))
    _output(edit, node, edit.add("Conv", inputs, node.output[0], **_attributes(node)), 6)


def _bias(edit: Edit, node: onnx.NodeProto, bias: str, factor: float = 1.0) -> str:
    """Bias in the integers of the product: their scale is that of the input times those of the weights."""
    scales = [edit.array(node.input[index]) for index in (1, 4)]
    if scales[0] is None or scales[1] is None:
        raise ConversionError(f"{described(node)} has a bias in integers whose scale is not constant")
    scale = np.float32(factor) * scales[0].astype(np.float32) * scales[1].astype(np.float32)
    return _dequantise(edit, [bias, edit.constant(scale, node.output[0])], node.output[0], axis=-1)


def _gemm(edit: Edit, node: onnx.NodeProto) -> None:
    attributes = _attributes(node)
    # Scales of B are one per column of the product.
    axis = 0 if attributes.get("transB", 0) else 1
    inputs = [_real(edit, node, 0), _real(edit, node, 3, axis)]
    if argument(node, 6):
        inputs.append(_bias(edit, node, argument(node, 6), attributes.get("alpha", 1.0)))
    value = edit.add("Gemm", inputs, node.output[0], **attributes)
    if argument(node, 7):
        _output(edit, node, value, 7)
    else:
        _rename(edit, node, value)


def _dynamic_matmul(edit: Edit, node: onnx.NodeProto) -> None:
    weights = _dequantise(edit, [argument(node, index) for index in (1, 2, 3)], node.output[0], axis=-1)
    value = edit.add("MatMul", [node.input[0], weights], node.output[0])
    _rename(edit, node, _add(edit, value, argument(node, 4), node.output[0]))


def _matmul_to_float(edit: Edit, node: onnx.NodeProto) -> None:
    left = _dequantise(edit, [argument(node, index) for index in (0, 2, 4)], node.output[0], axis=-2)
    right = _dequantise(edit, [argument(node, index) for index in (1, 3, 5)], node.output[0], axis=-1)
    value = edit.add("MatMul", [left, right], node.output[0])
    _rename(edit, node, _add(edit, value, argument(node, 6), node.output[0]))


def _attention(edit: Edit, node: onnx.NodeProto) -> None:
    """QAttention: the projections of com.microsoft Attention, in integers."""
    if argument(node, 8):
        raise ConversionError(f"{described(node)} attends to earlier states: only encoders are understood")
    value = _dequantise(edit, [argument(node, index) for index in (0, 3, 6)], node.output[0])
    weights = _dequantise(edit, [argument(node, index) for index in (1, 4, 7)], node.output[0], axis=-1)
    inputs = [value, weights, argument(node, 2), argument(node, 5)]
    attributes = _attributes(node, "past_present_share_buffer")
    edit.append(helper.make_node("Attention", inputs, node.output, name=node.name, domain=_MICROSOFT, **attributes))


def _embed_layer_norm(edit: Edit, node: onnx.NodeProto) -> None:
    """QEmbedLayerNormalization: ids, types, five tables of 8 bits, mask, five scales, five zero points."""
    tables = [
        _dequantise(edit, [argument(node, index) for index in (table, table + 6, table + 11)], node.output[0])
        if argument(node, table)
        else ""
        for table in range(2, 7)
    ]
    inputs = [node.input[0], node.input[1], *tables, argument(node, 7)]
    edit.append(
        helper.make_node(
            "EmbedLayerNormalization", inputs, node.output, name=node.name, domain=_MICROSOFT, **_attributes(node)
        )
    )


def _matmul_bits(edit: Edit, node: onnx.NodeProto) -> None:
    """MatMulNBits: B[n, block, packed] of N columns, each in blocks along K with a scale of their own."""
    columns, rows = attribute(node, "N", 0), attribute(node, "K", 0)
    bits, block = attribute(node, "bits", 4), attribute(node, "block_size", 0)
    if bits not in (2, 4, 8) or min(columns, rows, block) < 1:
        raise ConversionError(f"{described(node)} has {bits} bits, K {rows}, N {columns}, blocks of {block}")
    if attribute(node, "weight_prepacked", 0):
        raise ConversionError(f"{described(node)} has weights that are packed for one kind of device")
    if argument(node, 4):
        raise ConversionError(f"{described(node)} has its rows in groups of another order (g_idx)")
    packed, scale = edit.array(node.input[1]), edit.array(node.input[2])
    if packed is None or scale is None:
        raise ConversionError(f"{described(node)} has weights that are not constant")
    blocks = -(-rows // block)
    if packed.size * 8 != columns * blocks * block * bits or scale.size != columns * blocks:
        raise ConversionError(f"{described(node)} has weights of {packed.size} bytes and {scale.size} scales")
    values = unpacked(packed.astype(np.uint8).reshape(columns, -1), bits).reshape(columns * blocks, block)
    zeros = _block_zeros(edit, node, columns, blocks, bits)
    weights = dequantised(values, scale.reshape(-1), zeros, axis=0, block=0, where=described(node))
    matrix = weights.reshape(columns, blocks * block)[:, :rows].T
    value = edit.add("MatMul", [node.input[0], edit.constant(matrix, node.output[0])], node.output[0])
    _rename(edit, node, _add(edit, value, argument(node, 5), node.output[0]))


def _block_zeros(edit: Edit, node: onnx.NodeProto, columns: int, blocks: int, bits: int) -> Any:
    """One zero point a block: given as floats, packed like the weights, or the middle of the range."""
    if not argument(node, 3):
        return np.full(columns * blocks, 1 << (bits - 1), np.uint8)
    zeros = edit.array(node.input[3])
    if zeros is None:
        raise ConversionError(f"{described(node)} has zero points that are not constant")
    if zeros.dtype == np.uint8:
        per_column = -(-blocks * bits // 8)
        if zeros.size != columns * per_column:
            raise ConversionError(f"{described(node)} has {zeros.size} bytes of zero points")
        zeros = unpacked(zeros.reshape(columns, per_column), bits)[:, :blocks]
    return zeros.reshape(-1)


def _gather_blocks(edit: Edit, node: onnx.NodeProto) -> None:
    """GatherBlockQuantized: rows of a table in blocks along an axis. Bytes hold several numbers of the last axis."""
    table, scale = edit.array(node.input[0]), edit.array(node.input[2])
    zeros = edit.array(node.input[3]) if argument(node, 3) else None
    if table is None or scale is None or (argument(node, 3) and zeros is None):
        raise ConversionError(f"{described(node)} has a table that is not constant")
    axis = attribute(node, "quantize_axis", 1)
    if table.dtype == np.uint8:
        bits = attribute(node, "bits", 4)
        if bits not in (2, 4, 8):
            raise ConversionError(f"{described(node)} has numbers of {bits} bits")
        table = unpacked(table, bits)
        if zeros is None:
            zeros = np.full(scale.shape, 1 << (bits - 1), np.uint8)
        else:
            zeros = unpacked(zeros, bits)[..., : scale.shape[-1]]
    block = attribute(node, "block_size", 128)
    floats = dequantised(table, scale, zeros, axis=axis, block=block, where=described(node))
    inputs = [edit.constant(floats, node.output[0]), node.input[1]]
    value = edit.add("Gather", inputs, node.output[0], axis=attribute(node, "gather_axis", 0))
    _rename(edit, node, value)


# By operator: how many inputs it has at least, and what it becomes.
_RULES: dict[str, tuple[int, Callable[[Edit, onnx.NodeProto], None]]] = {
    "QLinearMatMul": (8, _binary("MatMul", axis=-1)),
    "QLinearConv": (8, _conv),
    "QLinearAdd": (7, _binary("Add")),
    "QLinearMul": (7, _binary("Mul")),
    "QLinearSigmoid": (4, _unary("Sigmoid")),
    "QLinearLeakyRelu": (4, _unary("LeakyRelu")),
    "QLinearGlobalAveragePool": (4, _unary("GlobalAveragePool")),
    "QLinearAveragePool": (4, _unary("AveragePool")),
    "QLinearSoftmax": (4, _softmax),
    "QLinearConcat": (5, _concat),
    "QLinearWhere": (8, _where),
    "QGemm": (5, _gemm),
    "QAttention": (5, _attention),
    "QEmbedLayerNormalization": (13, _embed_layer_norm),
    "DynamicQuantizeMatMul": (3, _dynamic_matmul),
    "MatMulIntegerToFloat": (4, _matmul_to_float),
    "MatMulNBits": (3, _matmul_bits),
    "GatherBlockQuantized": (3, _gather_blocks),
}
