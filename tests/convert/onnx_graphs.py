"""Small ONNX graphs made by hand, written and run: without PyTorch."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from embedrt_convert.onnx_graph.read import read
from embedrt_convert.onnx_graph.standard import Standard, standard

Arrays = Mapping[str, np.ndarray]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node named after its first output; names of values are separated by spaces, "-" is one left out."""
    names = [name if name != "-" else "" for name in inputs.split()]
    return helper.make_node(operator, names, outputs.split(), name=f"node_{outputs.split()[0]}", **attributes)


def microsoft(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return node(operator, inputs, outputs, domain="com.microsoft", **attributes)


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: str,
    weights: Arrays | None = None,
    *,
    types: Mapping[str, int] | None = None,
    opset: int = 17,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model; `types` are of the inputs and outputs that are not float32."""
    types = types or {}
    body = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, types.get(name, FLOAT), shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, types.get(name, FLOAT), None) for name in outputs.split()],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    domains += [helper.make_opsetid(function.domain, 1) for function in functions]
    return helper.make_model(body, opset_imports=domains, ir_version=10, functions=functions)


def write(model: onnx.ModelProto, folder: pathlib.Path, name: str = "model.onnx") -> pathlib.Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def run(model: onnx.ModelProto | pathlib.Path, feeds: Arrays) -> list[np.ndarray]:
    """What onnxruntime computes, node by node as the graph says."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    source = str(model) if isinstance(model, pathlib.Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"]).run(None, dict(feeds))


def standard_of(model: onnx.ModelProto, folder: pathlib.Path) -> Standard:
    """Through a file, as a user's model comes."""
    return standard(read(write(model, folder)))


def operators(model: onnx.ModelProto) -> list[str]:
    return [entry.op_type for entry in model.graph.node]
