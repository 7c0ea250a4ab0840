"""Products of integers, MatMulInteger and ConvInteger, with what scales them to floats, as products of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.dequantise_reals import Reals
from embedrt_convert.onnx_graph.edit import Edit, argument, attribute, described

# By operator: what it is on floats, and along which axis its second operand may have a zero point each.
_OPERATORS = {"MatMulInteger": ("MatMul", -1), "ConvInteger": ("Conv", 0)}


def rewrite(edit: Edit, reals: Reals, node: onnx.NodeProto) -> None:
    """Puts float products in the place of `node` and of the Cast and the Mul that follow it. Raises ConversionError.

    The scales of both operands are multiplied back after the product. Those of an operand that is no constant go back
    to that operand, so that it is the float value it stands for; what is left goes to the weights.
    """
    for cast in edit.consumers(node.output[0]):
        if cast.op_type != "Cast" or attribute(cast, "to", 0) != onnx.TensorProto.FLOAT:
            raise ConversionError(
                f"{described(cast)} reads the integers of {described(node)}: they have no float value"
            )
        for scaled in edit.consumers(cast.output[0]):
            factors = _scales(edit, scaled, cast)
            edit.replace(scaled.output[0], _product(edit, reals, node, scaled, factors))
            edit.remove(scaled)


def _scales(edit: Edit, scaled: onnx.NodeProto, cast: onnx.NodeProto) -> list[str]:
    """What the Mul after a product of integers multiplies it by."""
    names = [name for name in scaled.input if edit.resolved(name) != cast.output[0]]
    if scaled.op_type != "Mul" or len(names) != 1:
        raise ConversionError(f"{described(scaled)} reads a product of integers that is not scaled to floats")
    return _factors(edit, names[0])


def _factors(edit: Edit, name: str) -> list[str]:
    name = edit.resolved(name)
    node = edit.producer(name)
    if node is None or node.op_type != "Mul" or edit.array(name) is not None:
        return [name]
    return [factor for value in node.input for factor in _factors(edit, value)]


def _product(edit: Edit, reals: Reals, node: onnx.NodeProto, scaled: onnx.NodeProto, factors: list[str]) -> str:
    operator, axis = _OPERATORS[node.op_type]
    operands = []
    for index, side in ((0, -2), (1, axis)):
        integers, zero = argument(node, index), argument(node, index + 2)
        scale = "" if edit.array(integers) is not None else reals.scale_of(integers, factors)
        if scale:
            factors.remove(scale)
        operands.append(reals.of(integers, scale, zero, axis=side, block=0, reader=node))
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    product = edit.add(operator, operands, node.output[0], **attributes)
    for factor in factors:
        product = _times(edit, product, factor, scaled)
    return product


def _times(edit: Edit, product: str, factor: str, scaled: onnx.NodeProto) -> str:
    """`product` times a constant: in its weights if that is possible, so that they are what they were."""
    node = edit.producer(product)
    scale = edit.array(factor)
    assert node is not None
    if scale is None:
        raise ConversionError(f"{described(scaled)} scales a product of integers by something else than their scales")
    if node.op_type == "Mul":
        return edit.add("Mul", [product, factor], product)
    weights: Any = edit.array(node.input[1])
    columns = node.op_type == "MatMul" and weights is not None and weights.ndim == 2
    if weights is not None and (scale.size == 1 or (columns and scale.shape == (weights.shape[1],))):
        node.input[1] = edit.constant(weights * scale.astype(np.float32).reshape(scale.shape or ()), node.input[1])
        return product
    return edit.add("Mul", [product, factor], product)
