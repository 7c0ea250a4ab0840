"""Fused ops of one row or element each, as standard ops: embeddings, norms, activations and products."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from embedrt_convert.onnx_graph.fused_pieces import Pieces

_NO_TRAINING = "export the model for inference"


def layer_norm(p: Pieces, x: str, gamma: str, beta: str | None) -> str:
    return p.add(
        "LayerNormalization", x, gamma, *([beta] if beta else []), axis=-1, epsilon=p.attribute("epsilon", 1e-12)
    )


def rms_norm(p: Pieces, x: str, gamma: str, axes: tuple[int, ...], epsilon: float) -> str:
    mean = p.reduce("ReduceMean", p.add("Mul", x, x), *axes, keepdims=True)
    root = p.add("Sqrt", p.add("Add", mean, p.constant(epsilon)))
    return p.add("Mul", p.add("Div", x, root), gamma)


def embed_layer_norm(p: Pieces) -> list[str]:
    """Outputs: the embeddings, the mask as one length per row of the batch, the sum before the norm."""
    ids, positions = p.required(0), p.required(3)
    x = p.add("Gather", p.required(2), ids, axis=0)
    if (position_ids := p.input(8)) is not None:
        x = p.add("Add", x, p.add("Gather", positions, position_ids, axis=0))
    else:
        x = p.add("Add", x, p.slice(positions, 0, p.length(ids, 1), 0))
    if (segment_ids := p.input(1)) is not None:
        x = p.add("Add", x, p.add("Gather", p.required(4), segment_ids, axis=0))
    y = layer_norm(p, x, p.required(5), p.required(6))
    return [y, _lengths(p, ids) if p.wants(1) else "", x]


def _lengths(p: Pieces, ids: str) -> str:
    mask = p.input(7)
    if mask is None:
        return p.add("Expand", p.constant(0, np.int32), p.length(ids, 0))
    ones = p.add("Cast", p.add("Equal", mask, p.constant(1, np.int32)), to=TensorProto.INT32)
    return p.reduce("ReduceSum", ones, 1, keepdims=False)


def skip_layer_norm(p: Pieces) -> list[str]:
    p.refuse_outputs({1: "mean", 2: "inv_std_var"}, _NO_TRAINING)
    total = p.add_bias(p.add("Add", p.required(0), p.required(1)), p.input(4))
    return [layer_norm(p, total, p.required(2), p.input(3)), "", "", total]


def skip_rms_norm(p: Pieces) -> list[str]:
    p.refuse_outputs({1: "mean", 2: "inv_std_var"}, _NO_TRAINING)
    total = p.add_bias(p.add("Add", p.required(0), p.required(1)), p.input(3))
    return [rms_norm(p, total, p.required(2), (-1,), p.attribute("epsilon", 1e-12)), "", "", total]


def rms_normalization(p: Pieces) -> list[str]:
    """ai.onnx RMSNormalization and onnxruntime's SimplifiedLayerNormalization: over the axes from `axis` on."""
    p.refuse_outputs({1: "inv_std_var"}, _NO_TRAINING)
    x, axis = p.required(0), p.attribute("axis", -1)
    first = axis if axis < 0 else axis - p.rank(x)
    return [rms_norm(p, x, p.required(1), tuple(range(first, 0)), p.attribute("epsilon", 1e-5))]


def gelu(p: Pieces) -> list[str]:
    return [_gelu(p, p.required(0))]


def bias_gelu(p: Pieces) -> list[str]:
    return [_gelu(p, p.add_bias(p.required(0), p.required(1)))]


def _gelu(p: Pieces, x: str) -> str:
    cdf = p.add("Add", p.add("Erf", p.times(x, 0.5**0.5)), p.constant(1))
    return p.times(p.add("Mul", x, cdf), 0.5)


def fast_gelu(p: Pieces) -> list[str]:
    x = p.add_bias(p.required(0), p.input(1))
    cube = p.add("Mul", p.add("Mul", x, x), x)
    inner = p.times(p.add("Add", x, p.times(cube, 0.044715)), (2 / np.pi) ** 0.5)
    return [p.times(p.add("Mul", x, p.add("Add", p.add("Tanh", inner), p.constant(1))), 0.5)]


def quick_gelu(p: Pieces) -> list[str]:
    x = p.required(0)
    return [p.add("Mul", x, p.add("Sigmoid", p.times(x, p.attribute("alpha", 1.702))))]


def bias_add(p: Pieces) -> list[str]:
    return [p.add("Add", p.add("Add", p.required(0), p.required(1)), p.required(2))]


def bias_split_gelu(p: Pieces) -> list[str]:
    """The first half of the columns times gelu of the second."""
    x = p.add("Add", p.required(0), p.required(1))
    half = p.fixed_size(p.required(1), 0) // 2
    left, right = p.split(x, (half, half), -1)
    return [p.add("Mul", left, _gelu(p, right))]
