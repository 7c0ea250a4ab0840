"""Quantised graphs back to float: weights as the numbers they stand for, activations without rounding.

First the operators that compute in integers are spelled out (`dequantise_operators`). Then each DequantizeLinear and
each product of integers is traced back to where its integers come from: weights are folded, a QuantizeLinear gives way
to the float value it rounds. Steps in between that only move numbers move the floats instead.
"""

from __future__ import annotations

from collections import Counter

import onnx

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph import dequantise_integers, dequantise_operators
from embedrt_convert.onnx_graph.dequantise_reals import Reals
from embedrt_convert.onnx_graph.edit import Edit


def dequantise(model: onnx.ModelProto) -> tuple[str, ...]:
    """Takes the quantised operators of `model`, and its integers, back to float32, in place. Returns notes.

    Raises ConversionError, which names the node, where that cannot be done.
    """
    try:
        return _dequantise(model)
    except RecursionError:
        raise ConversionError("the graph moves its integers through too many nodes") from None


def _dequantise(model: onnx.ModelProto) -> tuple[str, ...]:
    edit = Edit(model)
    found = Counter(node.op_type for node in edit.nodes if _reads_integers(edit, node))
    for node in edit.nodes:
        if dequantise_operators.spell_out(edit, node):
            found[node.op_type] += 1
    if not found:
        return ()
    reals = Reals(edit)
    for node in edit.nodes:
        if _is(node, "DequantizeLinear"):
            edit.replace(node.output[0], reals.value(node))
        elif _is(node, "MatMulInteger", "ConvInteger"):
            dequantise_integers.rewrite(edit, reals, node)
    for node in edit.nodes:
        if _is(node, "DequantizeLinear", "MatMulInteger", "ConvInteger", "QuantizeLinear", "DynamicQuantizeLinear"):
            edit.remove(node)
    edit.finish()
    operators = ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
    notes = [f"quantised weights were taken back to float ({operators})"]
    if reals.rounded:
        limits = ", and the limits that calibration gave them," if reals.limited else ""
        notes.append(f"the rounding of activations{limits} was left out")
    return tuple(notes)


def _reads_integers(edit: Edit, node: onnx.NodeProto) -> bool:
    """Whether a standard operator makes floats of quantised numbers. Casts of weights are folded with the constants."""
    if _is(node, "Cast"):
        return edit.element_type(node.input[0]) in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    return _is(node, "DequantizeLinear", "MatMulInteger", "ConvInteger")


def _is(node: onnx.NodeProto, *operators: str) -> bool:
    return node.op_type in operators and node.domain in dequantise_operators.DOMAINS
