"""Small encoders of texts made of ONNX nodes, each part in many spellings: what an importer must read by its meaning.

A part is a function (Build, value, …) -> value; the tables NORMS, ACTIVATIONS, … have them by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PAD = 1


@dataclass(frozen=True)
class Size:
    vocabulary: int = 61
    hidden: int = 12
    heads: int = 3
    feed: int = 20
    tokens: int = 16

    @property
    def head(self) -> int:
        return self.hidden // self.heads


class Build:
    """A graph while it grows; every method gives the name of a value."""

    def __init__(self, size: Size = Size(), opset: int = 17, seed: int = 0) -> None:
        self.size, self.opset = size, opset
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self.inputs = {"input_ids"}

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """One name, or a tuple of `outputs` of them."""
        number = len(self.nodes)
        names = [f"{kind.lower()}_{number}" + (f"_{each}" if each else "") for each in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"/{number}/{kind}", **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights[name] = np.asarray(value, dtype)
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def weight(self, *shape: int, around: float = 0.0, scale: float = 0.3) -> str:
        return self.constant(self.rng.normal(around, scale, shape))

    def reduce(self, kind: str, x: str, axis: int, keepdims: int = 1) -> str:
        if self.opset >= 18 or (kind == "ReduceSum" and self.opset >= 13):
            return self.op(kind, x, self.integers(axis), keepdims=keepdims)
        return self.op(kind, x, axes=[axis], keepdims=keepdims)

    def reshape(self, x: str, *shape: int) -> str:
        return self.op("Reshape", x, self.integers(*shape))

    def unsqueeze(self, x: str, *axes: int) -> str:
        return self.op("Unsqueeze", x, self.integers(*axes))

    def sliced(self, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
        return self.op("Slice", x, *map(self.integers, (start, end, axis, step)))

    def cast(self, x: str, to: int = TensorProto.FLOAT) -> str:
        return self.op("Cast", x, to=to)

    def length(self) -> str:
        return self.op("Gather", self.op("Shape", "input_ids"), self.constant(1, np.int64))

    def range(self) -> str:
        """0 … tokens - 1."""
        return self.op("Range", self.constant(0, np.int64), self.length(), self.constant(1, np.int64))

    def mask(self) -> str:
        self.inputs.add("attention_mask")
        return "attention_mask"

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "spelled",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
                for name in sorted(self.inputs, reverse=True)
            ],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


Part = Callable[..., str]


# norms


def layer_node(b: Build, x: str) -> str:
    d = b.size.hidden
    return b.op("LayerNormalization", x, b.weight(d, around=1), b.weight(d), axis=-1, epsilon=1e-5)


def _spelled_norm(*, centred: bool, square: str, root: str, weight: str, mean: str = "ReduceMean") -> Part:
    def norm(b: Build, x: str) -> str:
        d = b.size.hidden
        one = b.weight(d, around=1)
        if centred:
            x = b.op("Sub", x, b.reduce("ReduceMean", x, -1))
        squares = b.op("Pow", x, b.constant(2.0)) if square == "pow" else b.op("Mul", x, x)
        variance = b.reduce(mean, squares, -1)
        if mean == "ReduceSum":
            variance = b.op("Div", variance, b.constant(float(d)))
        y = b.op("Add", variance, b.constant(1e-3))
        if weight == "before":
            x = b.op("Mul", one, x)
        if root == "div":
            x = b.op("Div", x, b.op("Sqrt", y))
        elif root == "reciprocal":
            x = b.op("Mul", x, b.op("Reciprocal", b.op("Sqrt", y)))
        elif root == "one over":
            x = b.op("Mul", x, b.op("Div", b.constant(1.0), b.op("Sqrt", y)))
        else:
            x = b.op("Mul", b.op("Pow", y, b.constant(-0.5)), x)
        if weight == "after":
            x = b.op("Mul", x, one)
        elif weight == "left":
            x = b.op("Mul", one, x)
        return b.op("Add", x, b.weight(d)) if centred else x

    return norm


NORMS: Mapping[str, Part] = {
    "layer, node": layer_node,
    **{
        f"{'layer' if centred else 'rms'}, {square}, {root}, weight {weight}{', sum' * (mean == 'ReduceSum')}": (
            _spelled_norm(centred=centred, square=square, root=root, weight=weight, mean=mean)
        )
        for centred in (True, False)
        for square, root, weight, mean in (
            ("pow", "div", "after", "ReduceMean"),
            ("mul", "div", "before", "ReduceMean"),
            ("mul", "reciprocal", "left", "ReduceMean"),
            ("pow", "power", "after", "ReduceMean"),
            ("pow", "one over", "before", "ReduceMean"),
            ("pow", "reciprocal", "after", "ReduceSum"),
        )
    },
}


# activations


def _erf(inside: str, order: str) -> Part:
    def gelu(b: Build, x: str) -> str:
        u = b.op("Div", x, b.constant(math.sqrt(2))) if inside == "div" else b.op("Mul", b.constant(math.sqrt(0.5)), x)
        more = b.op("Add", b.op("Erf", u), b.constant(1.0))
        half = b.constant(0.5)
        if order == "half of all":
            return b.op("Mul", b.op("Mul", x, more), half)
        if order == "half of x":
            return b.op("Mul", b.op("Mul", x, half), more)
        return b.op("Mul", b.op("Mul", more, half), x)

    return gelu


def gelu_tanh(b: Build, x: str, cube: str = "pow") -> str:
    cubed = b.op("Pow", x, b.constant(3.0)) if cube == "pow" else b.op("Mul", b.op("Mul", x, x), x)
    inner = b.op("Add", x, b.op("Mul", cubed, b.constant(0.044715)))
    t = b.op("Tanh", b.op("Mul", inner, b.constant(math.sqrt(2 / math.pi))))
    return b.op("Mul", b.op("Mul", b.constant(0.5), x), b.op("Add", b.constant(1.0), t))


def silu(b: Build, x: str) -> str:
    return b.op("Mul", x, b.op("Sigmoid", x))


def silu_exp(b: Build, x: str) -> str:
    return b.op("Div", x, b.op("Add", b.op("Exp", b.op("Neg", x)), b.constant(1.0)))


def quick_gelu(b: Build, x: str) -> str:
    return b.op("Mul", b.op("Sigmoid", b.op("Mul", x, b.constant(1.702))), x)


ACTIVATIONS: Mapping[str, Part] = {
    **{f"gelu, {i}, {o}": _erf(i, o) for i in ("div", "mul") for o in ("half of all", "half of x", "half of erf")},
    "gelu tanh, pow": gelu_tanh,
    "gelu tanh, mul": lambda b, x: gelu_tanh(b, x, "mul"),
    "silu": silu,
    "silu, exp": silu_exp,
    "quick gelu": quick_gelu,
    "relu": lambda b, x: b.op("Relu", x),
    "relu, max": lambda b, x: b.op("Max", x, b.constant(0.0)),
    "tanh": lambda b, x: b.op("Tanh", x),
    "sigmoid": lambda b, x: b.op("Sigmoid", x),
    "hard swish": lambda b, x: b.op("HardSwish", x),
    "relu6": lambda b, x: b.op("Clip", x, b.constant(0.0), b.constant(6.0)),
}


# linear layers: (b, x [batch, tokens, k], k, n)


def matmul(b: Build, x: str, k: int, n: int) -> str:
    return b.op("Add", b.op("MatMul", x, b.weight(k, n)), b.weight(n))


def bias_left(b: Build, x: str, k: int, n: int) -> str:
    return b.op("Add", b.weight(n), b.op("MatMul", x, b.weight(k, n)))


def transposed(b: Build, x: str, k: int, n: int) -> str:
    return b.op("Add", b.op("MatMul", x, b.op("Transpose", b.weight(n, k), perm=[1, 0])), b.weight(n))


def constant_first(b: Build, x: str, k: int, n: int) -> str:
    turned = b.op("MatMul", b.weight(n, k), b.op("Transpose", x, perm=[0, 2, 1]))
    return b.op("Transpose", b.op("Add", turned, b.weight(n, 1)), perm=[0, 2, 1])


def batched_weight(b: Build, x: str, k: int, n: int) -> str:
    return b.op("Add", b.op("MatMul", x, b.weight(1, k, n)), b.weight(1, 1, n))


def einsum(b: Build, x: str, k: int, n: int) -> str:
    return b.op("Add", b.op("Einsum", x, b.weight(n, k), equation="bsk,nk->bsn"), b.weight(n))


def pointwise(b: Build, x: str, k: int, n: int) -> str:
    turned = b.op("Transpose", x, perm=[0, 2, 1])
    return b.op("Transpose", b.op("Conv", turned, b.weight(n, k, 1), b.weight(n)), perm=[0, 2, 1])


def _gemm(**attributes: Any) -> Part:
    def gemm(b: Build, x: str, k: int, n: int) -> str:
        flat = b.reshape(x, -1, k)
        if attributes.get("transA"):
            flat = b.op("Transpose", flat, perm=[1, 0])
        weight = b.weight(n, k) if attributes.get("transB") else b.weight(k, n)
        made = b.op("Gemm", flat, weight, b.weight(n), **attributes)
        shape = b.op("Concat", b.op("Shape", "input_ids"), b.integers(n), axis=0)
        return b.op("Reshape", made, shape)

    return gemm


LINEARS: Mapping[str, Part] = {
    "matmul": matmul,
    "bias left": bias_left,
    "without bias": lambda b, x, k, n: b.op("MatMul", x, b.weight(k, n)),
    "transposed weight": transposed,
    "constant first": constant_first,
    "batched weight": batched_weight,
    "einsum": einsum,
    "pointwise": pointwise,
    "gemm": _gemm(),
    "gemm, transB": _gemm(transB=1),
    "gemm, transA": _gemm(transA=1),
    "gemm, alpha and beta": _gemm(transB=1, alpha=0.7, beta=1.3),
}


# feed-forward parts: (b, x, linear, activation)


def plain_feed(b: Build, x: str, linear: Part, activation: Part) -> str:
    d, f = b.size.hidden, b.size.feed
    return linear(b, activation(b, linear(b, x, d, f)), f, d)


def _glu(halves: str, first: bool) -> Part:
    def glu(b: Build, x: str, linear: Part, activation: Part) -> str:
        d, f = b.size.hidden, b.size.feed
        if halves == "split":
            y, z = b.op("Split", linear(b, x, d, 2 * f), b.integers(f, f), outputs=2, axis=-1)
        elif halves == "slice":
            both = linear(b, x, d, 2 * f)
            y, z = b.sliced(both, 2, 0, f), b.sliced(both, -1, f, 2**62)
        else:
            y, z = linear(b, x, d, f), linear(b, x, d, f)
        gated = b.op("Mul", activation(b, y), z) if first else b.op("Mul", y, activation(b, z))
        return linear(b, gated, f, d)

    return glu


FEEDS: Mapping[str, Part] = {
    "plain": plain_feed,
    **{
        f"glu, {halves}, gate {'first' if first else 'second'}": _glu(halves, first)
        for halves in ("split", "slice", "two layers")
        for first in (True, False)
    },
}


# embeddings: (b) -> [batch, tokens, hidden]


def words(b: Build) -> str:
    return b.op("Gather", b.weight(b.size.vocabulary, b.size.hidden, scale=1), "input_ids")


def positions_by_range(b: Build) -> str:
    return b.op("Add", words(b), b.op("Gather", b.weight(b.size.tokens, b.size.hidden), b.range()))


def positions_by_buffer(b: Build) -> str:
    """A stored [1, tokens] of which as much is taken as is needed."""
    stored = b.constant(np.arange(b.size.tokens)[None], np.int64)
    end = b.op("Unsqueeze", b.length(), b.integers(0))
    index = b.op("Slice", stored, b.integers(0), end, b.integers(1))
    return b.op("Add", words(b), b.op("Gather", b.weight(b.size.tokens, b.size.hidden), index))


def positions_sliced(b: Build) -> str:
    end = b.op("Unsqueeze", b.length(), b.integers(0))
    table = b.op("Slice", b.weight(b.size.tokens, b.size.hidden), b.integers(0), end, b.integers(0))
    return b.op("Add", words(b), table)


def positions_by_mask(b: Build) -> str:
    """CumSum of the mask, less one."""
    count = b.op("CumSum", b.mask(), b.constant(1, np.int64))
    index = b.op("Sub", count, b.constant(1, np.int64))
    index = b.op("Max", index, b.constant(0, np.int64)) if b.opset >= 12 else index
    return b.op("Add", words(b), b.op("Gather", b.weight(b.size.tokens, b.size.hidden), index))


def positions_by_ids(b: Build) -> str:
    """Those of tokens that are no padding, after the padding's own row, as RoBERTa's."""
    there = b.cast(b.op("Not", b.op("Equal", "input_ids", b.constant(PAD, np.int64))), TensorProto.INT64)
    count = b.op("Mul", b.op("CumSum", there, b.constant(1, np.int64)), there)
    index = b.op("Add", count, b.constant(PAD, np.int64))
    return b.op("Add", words(b), b.op("Gather", b.weight(b.size.tokens + PAD + 1, b.size.hidden), index))


def with_types(b: Build) -> str:
    b.inputs.add("token_type_ids")
    types = b.op("Gather", b.weight(2, b.size.hidden), "token_type_ids")
    return b.op("Add", b.op("Add", words(b), types), b.op("Gather", b.weight(b.size.tokens, b.size.hidden), b.range()))


def shifted_ids(b: Build) -> str:
    """A table with more rows in front than there are tokens."""
    index = b.op("Add", "input_ids", b.constant(3, np.int64))
    return b.op("Gather", b.weight(b.size.vocabulary + 3, b.size.hidden, scale=1), index)


def factorised(b: Build) -> str:
    narrow = b.op("Gather", b.weight(b.size.vocabulary, 5, scale=1), "input_ids")
    return matmul(b, narrow, 5, b.size.hidden)


EMBEDDINGS: Mapping[str, Part] = {
    "words": words,
    "positions by range": positions_by_range,
    "positions by a buffer": positions_by_buffer,
    "positions sliced": positions_sliced,
    "positions by the mask": positions_by_mask,
    "positions by ids": positions_by_ids,
    "types": with_types,
    "scaled": lambda b: b.op("Mul", words(b), b.constant(3.5)),
    "shifted ids": shifted_ids,
    "factorised": factorised,
}


# ends: (b, x [batch, tokens, hidden]) -> [batch, hidden]


def _wide_mask(b: Build) -> str:
    return b.unsqueeze(b.cast(b.mask()), -1)


def mean_divided(b: Build, x: str) -> str:
    mask = _wide_mask(b)
    total = b.reduce("ReduceSum", b.op("Mul", x, mask), 1, keepdims=0)
    return b.op("Div", total, b.reduce("ReduceSum", mask, 1, keepdims=0))


def mean_expanded(b: Build, x: str) -> str:
    """As sentence-transformers writes it."""
    mask = b.op("Expand", _wide_mask(b), b.op("Shape", x))
    total = b.reduce("ReduceSum", b.op("Mul", mask, x), 1, keepdims=0)
    count = b.op("Clip", b.reduce("ReduceSum", mask, 1, keepdims=0), b.constant(1e-9))
    return b.op("Div", total, count)


def mean_where(b: Build, x: str) -> str:
    there = b.op("Cast", b.unsqueeze(b.mask(), -1), to=TensorProto.BOOL)
    kept = b.op("Where", there, x, b.constant(0.0))
    count = b.reduce("ReduceSum", b.cast(b.mask()), 1, keepdims=1)
    return b.op("Mul", b.reduce("ReduceSum", kept, 1, keepdims=0), b.op("Reciprocal", count))


def mean_weights(b: Build, x: str) -> str:
    """Weights that sum to one come first."""
    mask = _wide_mask(b)
    weights = b.op("Div", mask, b.reduce("ReduceSum", mask, 1))
    return b.reduce("ReduceSum", b.op("Mul", x, weights), 1, keepdims=0)


def mean_sqrt(b: Build, x: str) -> str:
    mask = _wide_mask(b)
    total = b.reduce("ReduceSum", b.op("Mul", x, mask), 1, keepdims=0)
    return b.op("Div", total, b.op("Sqrt", b.reduce("ReduceSum", mask, 1, keepdims=0)))


def summed(b: Build, x: str) -> str:
    return b.reduce("ReduceSum", b.op("Mul", x, _wide_mask(b)), 1, keepdims=0)


def greatest(b: Build, x: str) -> str:
    there = b.op("Cast", b.unsqueeze(b.mask(), -1), to=TensorProto.BOOL)
    return b.reduce("ReduceMax", b.op("Where", there, x, b.constant(-1e9)), 1, keepdims=0)


def first_taken(b: Build, x: str) -> str:
    return b.op("Gather", x, b.constant(0, np.int64), axis=1)


def first_sliced(b: Build, x: str) -> str:
    return b.op("Squeeze", b.sliced(x, 1, 0, 1), b.integers(1))


def last_counted(b: Build, x: str) -> str:
    """Row mask.sum() - 1 of each text."""
    last = b.op("Sub", b.reduce("ReduceSum", b.mask(), 1, keepdims=0), b.constant(1, np.int64))
    batch = b.op("Gather", b.op("Shape", "input_ids"), b.constant(0, np.int64))
    item = b.op("Range", b.constant(0, np.int64), batch, b.constant(1, np.int64))
    return b.op("GatherND", x, b.op("Concat", b.unsqueeze(item, -1), b.unsqueeze(last, -1), axis=-1))


def dense_of_first(b: Build, x: str) -> str:
    d = b.size.hidden
    return b.op("Tanh", b.op("Gemm", first_taken(b, x), b.weight(d, d), b.weight(d), transB=1))


ENDS: Mapping[str, Part] = {
    "mean, divided": mean_divided,
    "mean, expanded": mean_expanded,
    "mean, where": mean_where,
    "mean, weights": mean_weights,
    "mean_sqrt": mean_sqrt,
    "sum": summed,
    "max": greatest,
    "first, taken": first_taken,
    "first, sliced": first_sliced,
    "last, counted": last_counted,
    "first, dense, tanh": dense_of_first,
}


# unit length: (b, x [batch, hidden])


def unit_clipped(b: Build, x: str) -> str:
    """As torch.nn.functional.normalize is exported."""
    length = b.op("Clip", b.reduce("ReduceL2", x, -1), b.constant(1e-12))
    return b.op("Div", x, b.op("Expand", length, b.op("Shape", x)))


def unit_max(b: Build, x: str) -> str:
    squares = b.reduce("ReduceSum", b.op("Mul", x, x), 1)
    return b.op("Div", x, b.op("Max", b.op("Sqrt", squares), b.constant(1e-9)))


def unit_plain(b: Build, x: str) -> str:
    return b.op("Div", x, b.op("Sqrt", b.reduce("ReduceSum", b.op("Pow", x, b.constant(2.0)), -1)))


def unit_power(b: Build, x: str) -> str:
    squares = b.reduce("ReduceSumSquare", x, -1)
    return b.op("Mul", x, b.op("Pow", squares, b.constant(-0.5)))


UNITS: Mapping[str, Part] = {
    "none": lambda b, x: x,
    "clipped": unit_clipped,
    "max": unit_max,
    "plain": unit_plain,
    "power": unit_power,
    "node": lambda b, x: b.op("LpNormalization", x, axis=-1, p=2),
}
