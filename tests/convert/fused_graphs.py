"""Graphs of one fused op, and their comparison with what it is expanded to: both run by onnxruntime."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from embedrt_convert.onnx_graph import fused

RNG = np.random.default_rng(11)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


class Weight(np.ndarray):
    """An input that is an initializer of the graph."""


def weight(*shape: int) -> Weight:
    return floats(*shape).view(Weight)


def graph_of(
    op: str,
    inputs: Sequence[np.ndarray | None],
    *,
    outputs: Sequence[str] = ("out",),
    domain: str = "com.microsoft",
    opset: int = 17,
    fixed: bool = False,
    **attributes: object,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A graph of one node and what to feed it. Of inputs, batch and sequence (their first two axes when there are
    three, the first else) are dynamic unless `fixed`."""
    names = ["" if value is None else f"in{i}" for i, value in enumerate(inputs)]
    given = {name: value for name, value in zip(names, inputs, strict=True) if value is not None}
    node = helper.make_node(op, names, list(outputs), name="the_node", domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "graph",
        [value_info(n, v, fixed) for n, v in given.items() if not isinstance(v, Weight)],
        [onnx.ValueInfoProto(name=name) for name in outputs if name],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in given.items() if isinstance(v, Weight)],
    )
    return model_of(graph, opset), {n: v for n, v in given.items() if not isinstance(v, Weight)}


def value_info(name: str, value: np.ndarray, fixed: bool = False) -> onnx.ValueInfoProto:
    dynamic = 0 if fixed else 2 if value.ndim > 2 else 1
    shape = [f"{name}_{i}" if i < dynamic else size for i, size in enumerate(value.shape)]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), shape)


def model_of(graph: onnx.GraphProto, opset: int = 17) -> onnx.ModelProto:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8 if opset < 21 else 10)


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # As it is: onnxruntime must not fuse again what was expanded.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def check(
    op: str, inputs: Sequence[np.ndarray | None], expected: Sequence[np.ndarray] | None = None, **options: object
):
    """The expansion's outputs are those of the op, or the expected ones where onnxruntime has the op on GPUs only."""
    model, feeds = graph_of(op, inputs, **options)
    check_model(model, feeds, expected)


def check_model(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray], expected: Sequence[np.ndarray] | None = None
) -> onnx.ModelProto:
    expanded, notes = fused.expand(copy.deepcopy(model))
    assert len(notes) == 1
    assert {node.domain for node in expanded.graph.node} == {""}
    assert [o.domain for o in expanded.opset_import] == [""]
    if expanded.opset_import[0].version >= 17:
        # onnx wants types of outputs, which the graphs here leave to inference.
        onnx.checker.check_model(onnx.shape_inference.infer_shapes(expanded, strict_mode=True))
    outputs = run(expanded, feeds)
    for output, right in zip(outputs, run(model, feeds) if expected is None else expected, strict=True):
        np.testing.assert_allclose(output, right, rtol=1e-5, atol=1e-5)
        assert output.dtype == right.dtype
    return expanded
