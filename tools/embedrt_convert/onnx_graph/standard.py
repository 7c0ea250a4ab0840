"""Any encoder's graph as a standard one: plain ONNX operators on float32, constants folded."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnx.inliner

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph import fused
from embedrt_convert.onnx_graph.branches import straight
from embedrt_convert.onnx_graph.dequantise import dequantise
from embedrt_convert.onnx_graph.edit import described
from embedrt_convert.onnx_graph.precision import to_single
from embedrt_convert.onnx_graph.simplify import simplified

_INTEGERS = ("QuantizeLinear", "DynamicQuantizeLinear")


@dataclass(frozen=True)
class Standard:
    model: onnx.ModelProto  # one that onnxruntime runs
    notes: tuple[str, ...]  # what was taken back, in words


def standard(model: onnx.ModelProto) -> Standard:
    """The standard form of a model that `read` gave. `model` is taken over: it is not to be used afterwards.

    The result computes what `model` computes, in float32 and without the rounding of quantised activations.
    Raises ConversionError.
    """
    try:
        return _standard(model)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        # What the checker lets through and onnxruntime would not: an attribute of another type, say.
        raise ConversionError(f"the graph is malformed: {type(error).__name__}: {error}") from error


def _standard(model: onnx.ModelProto) -> Standard:
    notes: list[str] = []
    if model.functions:
        model = _inlined(model)
    _drop_weights_from_inputs(model)
    if to_single(model):
        notes.append("half precision was taken to float32")
    model = straight(model)
    notes.extend(dequantise(model))
    model, expanded = fused.expand(model)
    notes.extend(expanded)
    model = simplified(model)
    _check_integers(model)
    return Standard(model, tuple(notes))


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Functions of the model's own, which exporters write for modules, put where they are called."""
    try:
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        raise ConversionError(f"the functions of the graph cannot be put where they are called: {error}") from None


def _drop_weights_from_inputs(model: onnx.ModelProto) -> None:
    """Old files list weights as inputs, too, so that a caller may replace them: nothing would be folded."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = model.graph.input
    for index in reversed(range(len(inputs))):
        if inputs[index].name in weights:
            del inputs[index]


def _check_integers(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type in _INTEGERS:
            raise ConversionError(f"{described(node)} makes integers whose floats are not known")
