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

_QUANTISED = ("DequantizeLinear", "MatMulInteger", "ConvInteger")


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
    found: Counter[str] = Counter()
    for node in edit.nodes:
        if dequantise_operators.spell_out(edit, node):
            found[node.op_type] += 1
    reals = Reals(edit)
    for node in edit.nodes:
        if node.op_type == "DequantizeLinear":
            edit.replace(node.output[0], reals.value(node))
            found[node.op_type] += 1
        elif node.op_type in ("MatMulInteger", "ConvInteger"):
            dequantise_integers.rewrite(edit, reals, node)
            found[node.op_type] += 1
    if not found:
        return ()
    for node in edit.nodes:
        if node.op_type in (*_QUANTISED, "QuantizeLinear", "DynamicQuantizeLinear"):
            edit.remove(node)
    edit.finish()
    return _notes(found, reals)


def _notes(found: Counter[str], reals: Reals) -> tuple[str, ...]:
    operators = ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
    notes = [f"quantised weights were taken back to float ({operators})"]
    if reals.rounded:
        notes.append("the rounding of quantised activations was left out")
    return tuple(notes)
