"""What is done to an exported graph before it is handed on: fused, in half precision, quantised.

Each takes the path of a graph and the path to write to; the tools are onnxruntime's own, but for `weights_*`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

HEADS, HIDDEN = 4, 32
_FLOAT = {"DefaultTensorType": onnx.TensorProto.FLOAT}  # of values whose type is not inferred through a fused operator


def fused(source: pathlib.Path, target: pathlib.Path, *, float16: bool = False, **options: bool) -> None:
    """onnxruntime's transformer optimiser; `options` are those of its FusionOptions."""
    settings = FusionOptions("bert")
    for name, value in options.items():
        assert hasattr(settings, name)
        setattr(settings, name, value)
    model = optimize_model(
        str(source), "bert", num_heads=HEADS, hidden_size=HIDDEN, opt_level=0, optimization_options=settings
    )
    if float16:
        model.convert_float_to_float16(keep_io_types=True)
    model.save_model_to_file(str(target))


def float16(source: pathlib.Path, target: pathlib.Path, *, outputs: bool = True) -> None:
    """Half precision inside; and float32 outputs, if asked for."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=outputs), str(target))


def saved_by_session(source: pathlib.Path, target: pathlib.Path, *, level: str = "EXTENDED") -> None:
    """What a session makes of the graph when it loads it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def dynamic(source: pathlib.Path, target: pathlib.Path, *, signed: bool = True, per_channel: bool = False) -> None:
    """Weights in 8 bits, activations measured at every run."""
    quantization.quantize_dynamic(
        str(source),
        str(target),
        per_channel=per_channel,
        weight_type=quantization.QuantType.QInt8 if signed else quantization.QuantType.QUInt8,
        extra_options=_FLOAT,
    )


def fused_then_dynamic(source: pathlib.Path, target: pathlib.Path) -> None:
    step = target.with_suffix(".step.onnx")
    fused(source, step)
    dynamic(step, target)
    step.unlink()


def dynamic_then_session(source: pathlib.Path, target: pathlib.Path) -> None:
    step = target.with_suffix(".step.onnx")
    dynamic(source, step)
    saved_by_session(step, target)
    step.unlink()


def static(
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    feeds: list[dict[str, NDArray[Any]]],
    form: str = "QDQ",
    per_channel: bool = False,
    operators: tuple[str, ...] = (),
) -> None:
    """Weights and activations in 8 bits, by ranges measured on `feeds`; of all operators unless some are named."""
    step = target.with_suffix(".step.onnx")
    quantization.quant_pre_process(str(source), str(step), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(step),
        str(target),
        _Reader(feeds),
        quant_format=quantization.QuantFormat[form],
        op_types_to_quantize=list(operators) or None,
        per_channel=per_channel,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        extra_options=_FLOAT,
    )
    step.unlink()


class _Reader(quantization.CalibrationDataReader):
    def __init__(self, feeds: Iterable[dict[str, NDArray[Any]]]) -> None:
        self._left = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._left, None)


def in_blocks(
    source: pathlib.Path, target: pathlib.Path, *, bits: int, form: str = "QOperator", symmetric: bool = True
) -> None:
    """Weights in 4 or 8 bits by blocks of 16."""
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig

    config = DefaultWeightOnlyQuantConfig(
        block_size=16, is_symmetric=symmetric, bits=bits, quant_format=quantization.QuantFormat[form]
    )
    quantizer = MatMulNBitsQuantizer(onnx.load(str(source)), algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target))


def weights_dequantised(source: pathlib.Path, target: pathlib.Path, *, cast: bool = False) -> None:
    """Matrices in 8 bits by columns, and a DequantizeLinear, or a Cast and a Mul, before each."""
    model = onnx.load(str(source))
    graph = model.graph
    made = []
    for tensor in list(graph.initializer):
        weight = numpy_helper.to_array(tensor)
        if weight.dtype != np.float32 or weight.ndim != 2:
            continue
        scale = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
        whole = np.rint(weight / scale).astype(np.int8)
        name = tensor.name
        graph.initializer.remove(tensor)
        graph.initializer.extend(
            [numpy_helper.from_array(whole, f"{name}_int8"), numpy_helper.from_array(scale, f"{name}_scale")]
        )
        if cast:
            made.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_float"], to=onnx.TensorProto.FLOAT))
            made.append(helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [name]))
        else:
            zeros = numpy_helper.from_array(np.zeros(scale.shape, np.int8), f"{name}_zero")
            graph.initializer.append(zeros)
            made.append(
                helper.make_node("DequantizeLinear", [f"{name}_int8", f"{name}_scale", f"{name}_zero"], [name], axis=1)
            )
    nodes = [*made, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
