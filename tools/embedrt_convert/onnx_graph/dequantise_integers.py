"""Products of integers, MatMulInteger and ConvInteger, with what scales them to floats, as products of floats."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import helper

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.dequantise_reals import Reals
from embedrt_convert.onnx_graph.edit import Edit, argument, attribute, described

_OPERATORS = {"MatMulInteger": ("MatMul", -1), "ConvInteger": ("Conv", 0)}


def rewrite(edit: Edit, reals: Reals, node: onnx.NodeProto) -> None:
    """Puts a float product in the place of `node` and of the Cast (and Mul) that follow it. Raises ConversionError.

    Integers of DynamicQuantizeLinear stand for its input divided by a scale that each row of data chooses: that scale
    must be multiplied back right after the product, and then neither is needed.
    """
    operator, axis = _OPERATORS[node.op_type]
    operands = [
        reals.of(argument(node, index), "", argument(node, index + 2), axis=side, block=0, reader=node)
        for index, side in ((0, -2), (1, axis))
    ]
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    product = edit.add(operator, operands, node.output[0], **attributes)
    scales = Counter(filter(None, (_dynamic_scale(edit, argument(node, index)) for index in (0, 1))))
    for cast in edit.consumers(node.output[0]):
        if cast.op_type == "DequantizeLinear":
            continue  # it finds the product as what its integers are
        if cast.op_type != "Cast" or attribute(cast, "to", 0) != onnx.TensorProto.FLOAT:
            raise ConversionError(
                f"{described(cast)} reads the integers of {described(node)}: they have no float value"
            )
        if not scales:
            edit.replace(cast.output[0], product)
            continue
        for scaled in edit.consumers(cast.output[0]):
            edit.replace(scaled.output[0], _scaled(edit, product, scaled, cast, scales))
            edit.remove(scaled)


def _dynamic_scale(edit: Edit, integers: str) -> str:
    """The scale that DynamicQuantizeLinear chose for these integers, "" if none did."""
    node = edit.producer(integers)
    while node is not None and node.op_type in ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Gather", "Slice"):
        node = edit.producer(node.input[0])
    return node.output[1] if node is not None and node.op_type == "DynamicQuantizeLinear" else ""


def _scaled(edit: Edit, product: str, scaled: onnx.NodeProto, cast: onnx.NodeProto, scales: Counter[str]) -> str:
    """`product` times those factors of the Mul `scaled` that are not the chosen scales."""
    names = [name for name in scaled.input if edit.resolved(name) != cast.output[0]]
    if scaled.op_type != "Mul" or len(names) != 1:
        raise ConversionError(f"{described(scaled)} reads a product of integers that is not scaled to floats")
    factors = _factors(edit, names[0])
    dynamic = Counter(name for name in factors if edit.array(name) is None)
    if dynamic != scales:
        raise ConversionError(f"{described(scaled)} scales a product of integers by something else than its own scales")
    for name in factors:
        if name not in dynamic:
            product = _times(edit, product, name)
    return product


def _factors(edit: Edit, name: str) -> list[str]:
    name = edit.resolved(name)
    node = edit.producer(name)
    if node is None or node.op_type != "Mul" or edit.array(name) is not None:
        return [name]
    return [factor for value in node.input for factor in _factors(edit, value)]


def _times(edit: Edit, product: str, factor: str) -> str:
    """`product` times a constant: in its weights if that is possible, so that they are what they were."""
    node = edit.producer(product)
    scale = edit.array(factor)
    assert node is not None and scale is not None
    weights: Any = edit.array(node.input[1])
    columns = node.op_type == "MatMul" and weights is not None and weights.ndim == 2
    if weights is not None and (scale.size == 1 or (columns and scale.shape == (weights.shape[1],))):
        node.input[1] = edit.constant(weights * scale.astype(np.float32), node.input[1])
        return product
    return edit.add("Mul", [product, factor], product)
