"""What every op means: an interpreter of programs in float64 and exact integers (docs/numerics.md).

It is the living definition that the core's ops are tested against, and the fp32 yardstick of every conversion's
quality report: it runs the float program that a lowering made and the quantised one that a file holds. One function for
each op, `op(inputs, tensors, attributes, segments) -> value`; a value is float64 [rows, columns], one row for each
token or for each segment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert import reference_image
from embedrt_convert.builder import IDS, Program
from embedrt_convert.reference_types import ACTIVATIONS, Attributes, Inputs, Segments, Tensors, Values

_TINY = 2.0**-100  # ranges below this quantise to zeros


def run(
    program: Program,
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    output: str = "sentence_embedding",
    *,
    types: NDArray[np.int32] | None = None,
    attended: NDArray[np.int64] | None = None,
    spans: NDArray[np.int64] | None = None,
    pooling: str | None = None,
) -> Values:
    """An output of the program for token ids [n] in segments offsets [m + 1]: float64 [n, columns] or [m, columns].

    types [n], attended [m], spans [s, 2] (then [s, columns] for an output of segments) and pooling are those of
    `_core.Model.run`.
    """
    segments = Segments(np.asarray(offsets, np.int64), types=types, attended=attended, spans=spans, pooling=pooling)
    wanted = program.outputs[output]
    return _run(program, np.asarray(ids, np.float64)[:, None], segments, "lookup", wanted)[0][wanted]


def run_images(program: Program, pixels: NDArray[np.uint8], output: str = "image_embedding") -> Values:
    """An output of the program for images [n, height, width, 3]: float64 [n, columns], or [n · rows, columns]."""
    wanted = program.outputs[output]
    return _run(program, *_pixels(pixels), "conv2d", wanted)[0][wanted]


def run_all(
    program: Program,
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    *,
    types: NDArray[np.int32] | None = None,
    attended: NDArray[np.int64] | None = None,
    spans: NDArray[np.int64] | None = None,
    pooling: str | None = None,
) -> list[Values]:
    """Every value that texts define, in order; value 0 is the ids, as a column. Those of images are empty."""
    segments = Segments(np.asarray(offsets, np.int64), types=types, attended=attended, spans=spans, pooling=pooling)
    return _run(program, np.asarray(ids, np.float64)[:, None], segments, "lookup")[0]


def run_after(
    program: Program, value: int, rows: Values, offsets: NDArray[np.int64], output: str = "sentence_embedding"
) -> Values:
    """As `run`, with the rows that `value` has: what comes after it, which reads nothing else."""
    values, segments = {value: rows}, Segments(np.asarray(offsets, np.int64))
    for number, instruction in enumerate(program.instructions[value:], value + 1):
        if values.keys() >= set(instruction.inputs):
            tensors = {role: tensor.data for role, tensor in instruction.tensors.items()}
            inputs = [values[each] for each in instruction.inputs]
            values[number] = OPS[instruction.op](inputs, tensors, instruction.attributes, segments)
    return values[program.outputs[output]]


def trace_images(program: Program, pixels: NDArray[np.uint8]) -> tuple[list[Values], list[Segments]]:
    """Every value that images [n, height, width, 3] define, in order, and its items; value 0 is the pixels."""
    return _run(program, *_pixels(pixels), "conv2d")


def _pixels(pixels: NDArray[np.uint8]) -> tuple[Values, Segments]:
    n, height, width, channels = pixels.shape
    segments = Segments(np.arange(n + 1, dtype=np.int64) * (height * width), height, width)
    return pixels.reshape(-1, channels).astype(np.float64), segments


def _run(
    program: Program, start: Values, segments: Segments, reader: str, wanted: int | None = None
) -> tuple[list[Values], list[Segments]]:
    """`reader` is the op that reads value 0 where the items are of this kind.

    With `wanted`, no other value is kept for longer than it is read: all those of a large model take gigabytes.
    """
    values: list[Values | None] = [start]
    places: list[Segments] = [segments]
    last_reads = {value: number for number, each in enumerate(program.instructions, 1) for value in each.inputs}
    for number, instruction in enumerate(program.instructions, 1):
        inputs = [values[value] for value in instruction.inputs]
        if any(each is None for each in inputs) or (instruction.inputs[0] == IDS and instruction.op != reader):
            values.append(None)
            places.append(segments)
            continue
        tensors = {role: tensor.data for role, tensor in instruction.tensors.items()}
        place = places[instruction.inputs[0]]
        known = [each for each in inputs if each is not None]
        values.append(OPS[instruction.op](known, tensors, instruction.attributes, place))
        change = reference_image.SEGMENTS.get(instruction.op)
        places.append(change(place, tensors, instruction.attributes) if change else place)
        if wanted is not None:
            for value in instruction.inputs:
                if last_reads[value] == number and value not in (IDS, wanted):
                    values[value] = None
    return [np.empty((0, 0)) if value is None else value for value in values], places


def _f64(data: NDArray[Any]) -> Values:
    return data.astype(np.float64)


def _bias(tensors: Tensors) -> Values:
    return _f64(tensors["bias"]) if "bias" in tensors else np.zeros(1)


def lookup(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    tokens = inputs[0][:, 0].astype(np.int64)
    none = np.zeros_like(tokens)
    types = none if segments.types is None else np.asarray(segments.types, np.int64)
    index = {"token": tokens, "position": segments.positions(), "constant": none, "type": types}[attributes["index"]]
    index = index + attributes["offset"]
    rows = _f64(tensors["table"][index])
    return rows * _f64(tensors["scale"][index, None]) if "scale" in tensors else rows


def add(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    return inputs[0] + inputs[1]


def norm(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    return _normed(inputs[0], attributes) * _f64(tensors["weight"]) + _bias(tensors)


def _normed(d: Values, attributes: Attributes) -> Values:
    if attributes["kind"] == "layer":
        d = d - d.mean(axis=-1, keepdims=True)
    result: Values = d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + attributes["epsilon"])
    return result


def linear(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    x, weight = inputs[0], _f64(tensors["weight"])
    if "scale" in tensors:
        a, s, offset = quantise_rows(x, attributes["input_bits"])
        scale = _f64(tensors["scale"])
        # Sums of whole numbers below 2^39: float64 holds them exactly.
        y: Values = a @ weight.T * (s * scale) + offset * (_f64(tensors["column_sums"]) * scale)
    else:
        y = x @ weight.T
    y = ACTIVATIONS[attributes["activation"]](y + _bias(tensors))
    return y + inputs[1] if len(inputs) > 1 else y


def quantise_rows(x: Values, bits: int = 8) -> tuple[Values, Values, Values]:
    """Asymmetric 8 or 16 bits for each row of x [rows, K]: (a [rows, K], scale [rows, 1], offset [rows, 1]).

    x ≈ scale · a + offset; the offset is −scale times the zero point, which is a whole number as a is, from 0 to
    2^bits − 1.
    """
    top = 2**bits - 1
    low, high = x.min(axis=1, initial=0)[:, None], x.max(axis=1, initial=0)[:, None]
    span = high - low
    inverse = np.divide(top, span, out=np.zeros_like(span), where=span >= _TINY)
    z = np.rint(np.minimum(-low * inverse, top))
    scale = np.where(span >= _TINY, span / top, 0)
    return np.clip(np.rint(x * inverse + z), 0, top), scale, -scale * z


def attention(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    one = {"int8": _attention_int8, "float32": _attention_float}[attributes["precision"]]
    # [rows, heads, d] -> [heads, rows, d], with each head's own copy of k and v
    q, k, v = (part.transpose(1, 0, 2) for part in _heads(inputs[0], attributes))
    k, v = (part.repeat(len(q) // len(k), axis=0) for part in (k, v))
    out = np.empty(q.shape)
    for item, segment in enumerate(segments.slices()):
        if (rows := segment.stop - segment.start) > 0:
            count = rows if segments.attended is None else int(segments.attended[item])
            seen = slice(segment.start, segment.start + count)
            bias = _position_bias(rows, tensors, attributes)[..., :count]
            out[:, segment] = one(q[:, segment], k[:, seen], v[:, seen], attributes["scale"], bias)
    return _flat(out.transpose(1, 0, 2))


def _heads(qkv: Values, attributes: Attributes) -> tuple[Values, Values, Values]:
    """(q [rows, heads, d], k and v [rows, kv_heads, d]) of what stands side by side."""
    heads = attributes["heads"]
    kv = attributes["kv_heads"] or heads
    every = qkv.reshape(len(qkv), heads + 2 * kv, qkv.shape[1] // (heads + 2 * kv))
    return every[:, :heads], every[:, heads : heads + kv], every[:, heads + kv :]


def _side_by_side(q: Values, k: Values, v: Values) -> Values:
    return _flat(np.concatenate([q, k, v], axis=1))


def _flat(heads: Values) -> Values:
    """[rows, heads · d], of no rows too."""
    rows, count, columns = heads.shape
    return heads.reshape(rows, count * columns)


def _position_bias(rows: int, tensors: Tensors, attributes: Attributes) -> Values:
    """What is added to the scores, [heads or 1, rows, rows]: -inf for the keys that a row does not see."""
    distance = np.arange(rows) - np.arange(rows)[:, None]  # of key j from query i
    seen = distance <= 0 if attributes["mask"] == "causal" else np.ones_like(distance, bool)
    if attributes["window"] > 0:
        seen = seen & (np.abs(distance) <= attributes["window"])
    bias = np.zeros((1, rows, rows))
    if "bias" in tensors:
        table = _f64(tensors["bias"])
        bias = table[:, distance + table.shape[1] // 2]
    return np.where(seen, bias, -np.inf)


def _attention_float(q: Values, k: Values, v: Values, scale: float, bias: Values) -> Values:
    scores = q @ k.transpose(0, 2, 1) * scale + bias
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Values = p @ v / p.sum(axis=-1, keepdims=True)
    return result


def _attention_int8(q: Values, k: Values, v: Values, scale: float, bias: Values) -> Values:
    q8, sq = _symmetric(q, axis=-1)
    k8, sk = _symmetric(k - k.mean(axis=1, keepdims=True), axis=-1)
    v8, sv = _symmetric(v, axis=1)
    scores = q8 @ k8.transpose(0, 2, 1) * sk.transpose(0, 2, 1) * (scale / math.log(2)) * sq + bias / math.log(2)
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
    if "scale" in tensors:
        sums = np.add.reduceat(inputs[0] - segments.zero, segments.offsets[:-1])
        means: Values = sums * _f64(tensors["scale"])
        return means
    one = POOLINGS[segments.pooling or attributes["kind"]]
    pooled = segments.pooled()
    out = np.zeros((len(pooled), inputs[0].shape[1]))
    for item, part in enumerate(pooled):
        if part.stop > part.start:
            out[item] = one(inputs[0][part][attributes["skip"] :])
    return out


def rope(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    cos, sin = (_f64(tensors[role][segments.positions()])[:, None] for role in ("cos", "sin"))

    def turned(heads: Values) -> Values:
        first, second = np.split(heads, 2, axis=2)
        result: Values = heads * cos + np.concatenate([-second, first], axis=2) * sin
        return result

    q, k, v = _heads(inputs[0], attributes)
    return _side_by_side(turned(q), turned(k), v)


def head_norm(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    q, k, v = _heads(inputs[0], attributes)
    q, k = _normed(q, attributes) * _f64(tensors["query"]), _normed(k, attributes) * _f64(tensors["key"])
    return _side_by_side(q, k, v)


def glu(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    first, second = np.split(inputs[0], 2, axis=1)
    result: Values = ACTIVATIONS[attributes["activation"]](first) * second
    return result


def activate(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    return ACTIVATIONS[attributes["activation"]](inputs[0])


def normalize(inputs: Inputs, tensors: Tensors, attributes: Attributes, segments: Segments) -> Values:
    length: Values = np.sqrt((inputs[0] * inputs[0]).sum(axis=1, keepdims=True))
    epsilon: float = attributes["epsilon"]
    return inputs[0] / np.maximum(length, epsilon)


def _weighted_mean(rows: Values) -> Values:
    weights = np.arange(1.0, len(rows) + 1)
    result: Values = weights @ rows / weights.sum()
    return result


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
    "rope": rope,
    "head_norm": head_norm,
    "glu": glu,
    "activate": activate,
    **reference_image.OPS,
}
