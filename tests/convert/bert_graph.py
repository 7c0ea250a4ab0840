"""A BERT of one layer as exporters write it, node by node, with random weights."""

from __future__ import annotations

import numpy as np
import onnx
from fused_graphs import floats, model_of
from onnx import TensorProto, helper

VOCABULARY, POSITIONS, HIDDEN, HEADS = 40, 16, 16, 4


class _Writer:
    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def linear(self, x: str, columns: int, rows: int) -> str:
        product = self.add("MatMul", x, self.constant(floats(rows, columns) / rows**0.5))
        return self.add("Add", self.constant(floats(columns)), product)

    def layer_norm(self, x: str) -> str:
        scale, bias = self.constant(1 + floats(HIDDEN) / 4), self.constant(floats(HIDDEN) / 4)
        if self.opset >= 17:
            return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)
        centred = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        square = self.add("Pow", centred, self.constant(2))
        deviation = self.add("Sqrt", self.add("Add", self.add("ReduceMean", square, axes=[-1]), self.constant(1e-12)))
        return self.add("Add", self.add("Mul", self.add("Div", centred, deviation), scale), bias)

    def unsqueeze(self, x: str, axis: int) -> str:
        if self.opset < 13:
            return self.add("Unsqueeze", x, axes=[axis])
        return self.add("Unsqueeze", x, self.constant([axis], np.int64))

    def heads(self, x: str, *perm: int) -> str:
        apart = self.add("Reshape", x, self.constant([0, 0, HEADS, HIDDEN // HEADS], np.int64))
        return self.add("Transpose", apart, perm=perm)


def bert(opset: int) -> onnx.ModelProto:
    w = _Writer(opset)
    length = w.unsqueeze(w.add("Gather", w.add("Shape", "input_ids"), w.constant(1, np.int64), axis=0), 0)
    bounds = w.constant([0], np.int64), length, *(w.constant([1], np.int64) for _ in range(2))
    positions = w.add("Slice", w.constant([range(POSITIONS)], np.int64), *bounds)
    words = w.add("Gather", w.constant(floats(VOCABULARY, HIDDEN)), "input_ids", axis=0)
    kinds = w.add("Gather", w.constant(floats(2, HIDDEN)), "token_type_ids", axis=0)
    places = w.add("Gather", w.constant(floats(POSITIONS, HIDDEN)), positions, axis=0)
    x = w.layer_norm(w.add("Add", w.add("Add", words, kinds), places))

    mask = w.add("Cast", w.unsqueeze(w.unsqueeze("attention_mask", 1), 2), to=TensorProto.FLOAT)
    mask = w.add("Mul", w.add("Sub", w.constant(1), mask), w.constant(-10000))
    q, k, v = (w.linear(x, HIDDEN, HIDDEN) for _ in range(3))
    scores = w.add("MatMul", w.heads(q, 0, 2, 1, 3), w.heads(k, 0, 2, 3, 1))
    scores = w.add("Add", w.add("Div", scores, w.constant((HIDDEN // HEADS) ** 0.5)), mask)
    mixed = w.add("MatMul", w.add("Softmax", scores, axis=3), w.heads(v, 0, 2, 1, 3))
    mixed = w.add("Reshape", w.add("Transpose", mixed, perm=[0, 2, 1, 3]), w.constant([0, 0, HIDDEN], np.int64))
    x = w.layer_norm(w.add("Add", w.linear(mixed, HIDDEN, HIDDEN), x))

    inner = w.linear(x, 2 * HIDDEN, HIDDEN)
    cdf = w.add("Add", w.add("Erf", w.add("Div", inner, w.constant(2**0.5))), w.constant(1))
    gelu = w.add("Mul", w.add("Mul", inner, cdf), w.constant(0.5))
    y = w.layer_norm(w.add("Add", w.linear(gelu, HIDDEN, 2 * HIDDEN), x))

    w.add("Identity", y)
    names = ("input_ids", "token_type_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
    output = helper.make_tensor_value_info(w.nodes[-1].output[0], TensorProto.FLOAT, ["batch", "sequence", HIDDEN])
    return model_of(helper.make_graph(w.nodes, "bert", inputs, [output], w.weights), opset)


def padded_batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    mask = np.array([[1] * 7, [1] * 4 + [0] * 3, [1] * 5 + [0] * 2])
    return {
        "input_ids": rng.integers(0, VOCABULARY, mask.shape) * mask,
        "token_type_ids": rng.integers(0, 2, mask.shape) * mask,
        "attention_mask": mask,
    }
