"""What every op means: an interpreter of programs in float64 and exact integers (docs/numerics.md).

It is the living definition that the core's ops are tested against, and the fp32 yardstick of every conversion's
quality report: it runs the float program that a lowering made and the quantised one that a file holds. One function for
each op, `op(inputs, tensors, attributes, segments) -> value`; a value is float64 [rows, columns], one row for each
token or for each segment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.builder import Program

Values = NDArray[np.float64]
Inputs = Sequence[Values]
Tensors = Mapping[str, NDArray[Any]]
Attributes = Mapping[str, Any]

_TINY = 2.0**-100  # ranges below this quantise to zeros


@dataclass(frozen=True)
class Segments:
    """Ragged rows: segment i is rows offsets[i] to offsets[i + 1]."""

    offsets: NDArray[np.int64]

    def slices(self) -> list[slice]:
        return [slice(begin, end) for begin, end in zip(self.offsets[:-1], self.offsets[1:], strict=True)]

    def positions(self) -> NDArray[np.int64]:
        """Each row's place in its segment."""
        lengths = np.diff(self.offsets)
        return np.arange(self.offsets[-1]) - np.repeat(self.offsets[:-1], lengths)


def run(
    program: Program, ids: NDArray[np.int32], offsets: NDArray[np.int64], output: str = "sentence_embedding"
) -> Values:
    """An output of the program for token ids [n] in segments offsets [m + 1]: float64 [n, columns] or [m, columns]."""
    values = run_all(program, ids, offsets)
    return values[program.outputs[output]]


def run_all(program: Program, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> list[Values]:
    """Every value of the program, in order; value 0 is the ids, as a column."""
    segments = Segments(np.asarray(offsets, np.int64))
    values: list[Values] = [np.asarray(ids, np.float64)[:, None]]
    for instruction in program.instructions:
        inputs = [values[value] for value in instruction.inputs]
        tensors = {role: tensor.data for role, tensor in instruction.tensors.items()}
        values.append(OPS[instruction.op](inputs, tensors, instruction.attributes, segments))
    return values


def _f64(data: NDArray[Any]) -> Values:
    return data.astype(np.float64)


def _bias(tensors: Tensors) -> Values:
    return _f64(tensors["bias"]) if "bias" in tensors else np.zeros(1)


def lookup(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    tokens = inputs[0][:, 0].astype(np.int64)
    index = {"token": tokens, "position": segments.positions(), "constant": np.zeros_like(tokens)}[attributes["index"]]
    index = index + attributes["offset"]
    rows = _f64(tensors["table"][index])
    return rows * _f64(tensors["scale"][index, None]) if "scale" in tensors else rows


def add(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    return inputs[0] + inputs[1]


def norm(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    d = inputs[0]
    if attributes["kind"] == "layer":
        d = d - d.mean(axis=1, keepdims=True)
    r = 1 / np.sqrt((d * d).mean(axis=1, keepdims=True) + attributes["epsilon"])
    result: Values = d * r * _f64(tensors["weight"]) + _bias(tensors)
    return result


def linear(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    x, weight = inputs[0], _f64(tensors["weight"])
    if "scale" in tensors:
        a, s, offset = quantise_rows(x)
        scale = _f64(tensors["scale"])
        # Products of whole numbers below 2^31: float64 holds them exactly.
        y: Values = a @ weight.T * (s * scale) + offset * (_f64(tensors["column_sums"]) * scale)
    else:
        y = x @ weight.T
    y = ACTIVATIONS[attributes["activation"]](y + _bias(tensors))
    return y + inputs[1] if len(inputs) > 1 else y


def quantise_rows(x: Values) -> tuple[Values, Values, Values]:
    """Asymmetric 8 bits for each row of x [rows, K]: (a in 0…255 [rows, K], scale [rows, 1], offset [rows, 1]).

    x ≈ scale · a + offset; the offset is −scale times the zero point, a whole number in 0…255.
    """
    low, high = x.min(axis=1, initial=0)[:, None], x.max(axis=1, initial=0)[:, None]
    span = high - low
    inverse = np.divide(255, span, out=np.zeros_like(span), where=span >= _TINY)
    z = np.rint(np.minimum(-low * inverse, 255))
    scale = np.where(span >= _TINY, span / 255, 0)
    return np.clip(np.rint(x * inverse + z), 0, 255), scale, -scale * z


def attention(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    heads, scale = attributes["heads"], attributes["scale"]
    one = {"int8": _attention_int8, "float32": _attention_float}[attributes["precision"]]
    rows, columns = inputs[0].shape
    out = np.empty((rows, columns // 3))
    # [rows, 3 · heads · d] -> [q, k, v][heads][rows, d]
    parts = inputs[0].reshape(rows, 3, heads, columns // (3 * heads)).transpose(1, 2, 0, 3)
    for segment in segments.slices():
        if segment.stop > segment.start:
            q, k, v = parts[:, :, segment]
            out[segment] = one(q, k, v, scale).transpose(1, 0, 2).reshape(-1, columns // 3)
    return out


def _attention_float(q: Values, k: Values, v: Values, scale: float) -> Values:
    scores = q @ k.transpose(0, 2, 1) * scale
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Values = p @ v / p.sum(axis=-1, keepdims=True)
    return result


def _attention_int8(q: Values, k: Values, v: Values, scale: float) -> Values:
    q8, sq = _symmetric(q, axis=-1)
    k8, sk = _symmetric(k - k.mean(axis=1, keepdims=True), axis=-1)
    v8, sv = _symmetric(v, axis=1)
    scores = q8 @ k8.transpose(0, 2, 1) * sk.transpose(0, 2, 1) * (scale / math.log(2)) * sq
    top = scores.max(axis=-1, keepdims=True)
    # A little above the greatest score, as in float32; their common factor cancels in the quotient.
    p = np.rint(65535 * np.exp2(scores - (top + np.abs(top) * 2.0**-22)))
    result: Values = p @ v8 * (sv / p.sum(axis=-1, keepdims=True))
    return result


def _symmetric(x: Values, axis: int) -> tuple[Values, Values]:
    """(whole numbers in ±127, scale) with one scale along `axis`."""
    largest = np.abs(x).max(axis=axis, keepdims=True)
    inverse = np.divide(127, largest, out=np.zeros_like(largest), where=largest >= _TINY)
    return np.rint(x * inverse), np.where(largest >= _TINY, largest / 127, 0)


def pool(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    one = POOLINGS[attributes["kind"]]
    out = np.zeros((len(segments.offsets) - 1, inputs[0].shape[1]))
    for item, part in enumerate(segments.slices()):
        if part.stop > part.start:
            out[item] = one(inputs[0][part])
    return out


def normalize(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    length: Values = np.sqrt((inputs[0] * inputs[0]).sum(axis=1, keepdims=True))
    epsilon: float = attributes["epsilon"]
    return inputs[0] / np.maximum(length, epsilon)


def _weighted_mean(rows: Values) -> Values:
    weights = np.arange(1.0, len(rows) + 1)
    result: Values = weights @ rows / weights.sum()
    return result


def _sigmoid(x: Values) -> Values:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _gelu_tanh(x: Values) -> Values:
    u: Values = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    result: Values = 0.5 * x * (1 + np.tanh(u))
    return result


# erf at multiples of 1/512 up to 6, and three further Taylor terms: exact to 1e-15.
_ERF_STEP = 1 / 512
_ERF_TABLE = np.array([math.erf(i * _ERF_STEP) for i in range(6 * 512 + 1)])


def erf(x: Values) -> Values:
    """The error function, which NumPy does not have."""
    size = np.minimum(np.abs(x), 6.0)
    nearest = np.rint(size / _ERF_STEP)
    at = nearest * _ERF_STEP
    h = size - at
    slope = 2 / math.sqrt(math.pi) * np.exp(-at * at)
    taylor = h * (1 + h * (-at + h * ((2 * at * at - 1) / 3 + h * (3 * at - 2 * at**3) / 6)))
    result: Values = np.copysign(_ERF_TABLE[nearest.astype(np.int64)] + slope * taylor, x)
    return result


ACTIVATIONS: dict[str, Callable[[Values], Values]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": _gelu_tanh,
    "silu": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
}

POOLINGS: dict[str, Callable[[Values], Values]] = {
    "mean": lambda rows: rows.mean(axis=0),
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
    "max": lambda rows: rows.max(axis=0),
    "sum": lambda rows: rows.sum(axis=0),
    "weighted_mean": _weighted_mean,
    "mean_sqrt": lambda rows: rows.sum(axis=0) / math.sqrt(len(rows)),
}

OPS: dict[str, Callable[[Inputs, Tensors, Attributes, Segments], Values]] = {
    "lookup": lookup,
    "add": add,
    "norm": norm,
    "linear": linear,
    "attention": attention,
    "pool": pool,
    "normalize": normalize,
}
