"""Tiny random ONNX graphs, made by hand: an encoder of texts, a network of images."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

VOCABULARY, COLUMNS, POSITIONS, SIZE = 40, 12, 24, 16


def text_graph(
    *,
    tokens: str | None = "last_hidden_state",
    pooled: str | None = None,
    masked: bool = True,
    vocabulary: int = VOCABULARY,
    seed: int = 0,
) -> onnx.ModelProto:
    """Token and position rows, attention with one head, its norm.

    `tokens` and `pooled` name the outputs: token vectors, and their mean. Without `masked` neither attention nor mean
    heeds the attention mask.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {
        "words": rng.normal(0, 1, (vocabulary, COLUMNS)),
        "positions": rng.normal(0, 0.3, (POSITIONS, COLUMNS)),
        **{f"{part}.weight": rng.normal(0, 0.3, (COLUMNS, COLUMNS)) for part in ("q", "k", "v", "o")},
        **{f"{part}.bias": rng.normal(0, 0.1, COLUMNS) for part in ("q", "k", "v", "o")},
        "norm.weight": rng.normal(1, 0.1, COLUMNS),
        "norm.bias": rng.normal(0, 0.1, COLUMNS),
        "scale": np.array(1 / np.sqrt(COLUMNS)),
        "one": np.array(1.0),
        "far": np.array(-10000.0),
    }
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    integers = {"first": np.array(0), "second": np.array(1), "step": np.array(1)}
    integers["axis.2"] = np.array([2])
    integers["axis.1"] = np.array([1])
    constants += [numpy_helper.from_array(value.astype(np.int64), name) for name, value in integers.items()]
    nodes: list[onnx.NodeProto] = []

    def op(kind: str, *inputs: str, to: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [to], name=f"/{to}/{kind}", **attributes))
        return to

    def cast(name: str, to: str) -> str:
        nodes.append(helper.make_node("Cast", [name], [to], to=TensorProto.FLOAT))
        return to

    words = op("Gather", "words", "input_ids", to="word_rows")
    length = op("Gather", op("Shape", "input_ids", to="shape"), "second", to="length")
    places = op("Range", "first", length, "step", to="places")
    x = op("Add", words, op("Gather", "positions", places, to="position_rows"), to="embeddings")

    def linear(x: str, part: str) -> str:
        product = op("MatMul", x, f"{part}.weight", to=f"{part}.product")
        return op("Add", product, f"{part}.bias", to=f"{part}.out")

    q, k, v = (linear(x, part) for part in ("q", "k", "v"))
    scores = op("Mul", op("MatMul", q, op("Transpose", k, to="k.t", perm=[0, 2, 1]), to="qk"), "scale", to="scores")
    mask = cast("attention_mask", "mask") if masked else ""
    if masked:
        hidden = op("Mul", op("Sub", "one", mask, to="off"), "far", to="hidden")
        scores = op("Add", scores, op("Unsqueeze", hidden, "axis.1", to="hidden.rows"), to="masked")
    mixed = op("MatMul", op("Softmax", scores, to="p", axis=-1), v, to="mixed")
    y = op("Add", linear(mixed, "o"), x, to="residual")
    rows = op("LayerNormalization", y, "norm.weight", "norm.bias", to=tokens or "token_rows", axis=-1, epsilon=1e-5)
    outputs = [helper.make_tensor_value_info(rows, TensorProto.FLOAT, ["batch", "sequence", COLUMNS])] if tokens else []
    if pooled:
        if masked:
            wide = op("Unsqueeze", mask, "axis.2", to="wide")
            total = op("ReduceSum", op("Mul", rows, wide, to="kept"), "axis.1", to="total", keepdims=0)
            op("Div", total, op("ReduceSum", wide, "axis.1", to="count", keepdims=0), to=pooled)
        else:
            op("ReduceMean", rows, to=pooled, axes=[1], keepdims=0)
        outputs.append(helper.make_tensor_value_info(pooled, TensorProto.FLOAT, ["batch", COLUMNS]))
    names = ["input_ids", "attention_mask"] if masked else ["input_ids"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
    return _model(nodes, inputs, outputs, constants)


def image_graph(*, output: str = "image_embedding", size: int | str = SIZE, seed: int = 0) -> onnx.ModelProto:
    """Two convolutions with ReLU, the mean of all places, and a linear layer to eight columns."""
    rng = np.random.default_rng(seed)
    weights = {
        "conv.weight": rng.normal(0, 0.2, (6, 3, 4, 4)),
        "conv.bias": rng.normal(0, 0.1, 6),
        "second.weight": rng.normal(0, 0.2, (6, 6, 3, 3)),
        "second.bias": rng.normal(0, 0.1, 6),
        "head.weight": rng.normal(0, 0.4, (8, 6)),
        "head.bias": rng.normal(0, 0.1, 8),
    }
    nodes = [
        helper.make_node("Conv", ["pixel_values", "conv.weight", "conv.bias"], ["patches"], strides=[4, 4]),
        helper.make_node("Relu", ["patches"], ["active"]),
        helper.make_node("Conv", ["active", "second.weight", "second.bias"], ["deeper"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["deeper"], ["places"]),
        helper.make_node("GlobalAveragePool", ["places"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head.weight", "head.bias"], [output], transB=1),
    ]
    inputs = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, size, size])]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 8])]
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    return _model(nodes, inputs, outputs, constants)


def save(model: onnx.ModelProto, path: pathlib.Path) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def _model(nodes: Any, inputs: Any, outputs: Any, constants: Any) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="by hand")
    onnx.checker.check_model(model)
    return model
