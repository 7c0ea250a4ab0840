"""Attention made of ONNX nodes, in many spellings, and whole encoders of texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import onnx
from onnx import TensorProto
from onnx_spellings import (
    ACTIVATIONS,
    EMBEDDINGS,
    ENDS,
    FEEDS,
    LINEARS,
    NORMS,
    PAD,
    UNITS,
    Build,
    Part,
    Size,
)

# --- queries, keys and values: (b, x, linear) -> three of [batch, tokens, hidden] ---


def separate(b: Build, x: str, linear: Part) -> tuple[str, str, str]:
    d = b.size.hidden
    return linear(b, x, d, d), linear(b, x, d, d), linear(b, x, d, d)


def fused(b: Build, x: str, linear: Part) -> tuple[str, str, str]:
    d = b.size.hidden
    q, k, v = b.op("Split", linear(b, x, d, 3 * d), b.integers(d, d, d), outputs=3, axis=2)
    return q, k, v


def fused_by_heads(b: Build, x: str, linear: Part) -> tuple[str, str, str]:
    """[heads, 3, head] in the columns of one layer."""
    d, h = b.size.hidden, b.size.heads
    five = b.reshape(linear(b, x, d, 3 * d), 0, 0, h, 3, d // h)
    q, k, v = (b.reshape(b.op("Gather", five, b.constant(i, np.int64), axis=3), 0, 0, d) for i in range(3))
    return q, k, v


QKV = {"separate": separate, "fused": fused, "fused by heads": fused_by_heads}


# --- rotations: (b, x [batch, heads, tokens, head]) -> the same ---


def _angles(b: Build, columns: int) -> tuple[str, str]:
    """cos and sin [tokens, columns / 2] of the positions."""
    rates = b.constant(100.0 ** (-np.arange(columns // 2) / (columns // 2)))
    angle = b.op("Mul", b.unsqueeze(b.cast(b.range()), 1), rates)
    return b.op("Cos", angle), b.op("Sin", angle)


def _turned(b: Build, x: str, columns: int) -> str:
    cos, sin = (b.op("Concat", each, each, axis=-1) for each in _angles(b, columns))
    first, second = b.sliced(x, 3, 0, columns // 2), b.sliced(x, 3, columns // 2, 2**62)
    turned = b.op("Concat", b.op("Neg", second), first, axis=-1)
    return b.op("Add", b.op("Mul", x, cos), b.op("Mul", turned, sin))


def rope_halves(b: Build, x: str) -> str:
    return _turned(b, x, b.size.head)


def rope_interleaved(b: Build, x: str) -> str:
    cos, sin = _angles(b, b.size.head)
    even, odd = b.sliced(x, 3, 0, 2**62, 2), b.sliced(x, 3, 1, 2**62, 2)
    a = b.op("Sub", b.op("Mul", even, cos), b.op("Mul", odd, sin))
    c = b.op("Add", b.op("Mul", even, sin), b.op("Mul", odd, cos))
    pairs = b.op("Concat", b.unsqueeze(a, -1), b.unsqueeze(c, -1), axis=-1)
    return b.reshape(pairs, 0, 0, 0, -1)


def rope_partial(b: Build, x: str) -> str:
    half = b.size.head // 2
    return b.op("Concat", _turned(b, b.sliced(x, 3, 0, half), half), b.sliced(x, 3, half, 2**62), axis=-1)


ROTATIONS: Mapping[str, Part] = {
    "none": lambda b, x: x,
    "halves": rope_halves,
    "interleaved": rope_interleaved,
    "partial": rope_partial,
}


# --- masks and biases: (b, scores [batch, heads, tokens, tokens]) -> the same ---


def _distance(b: Build) -> str:
    """Of key j from query i: [tokens, tokens]."""
    places = b.range()
    return b.op("Sub", b.unsqueeze(places, 0), b.unsqueeze(places, 1))


def added_mask(b: Build, scores: str) -> str:
    off = b.op("Sub", b.constant(1.0), b.cast(b.unsqueeze(b.mask(), 1, 2)))
    return b.op("Add", scores, b.op("Mul", off, b.constant(-1e4)))


def where_mask(b: Build, scores: str) -> str:
    there = b.op("Cast", b.unsqueeze(b.mask(), 1, 2), to=TensorProto.BOOL)
    return b.op("Where", there, scores, b.constant(np.finfo(np.float32).min))


def mask_of_ids(b: Build, scores: str) -> str:
    gone = b.unsqueeze(b.op("Equal", "input_ids", b.constant(PAD, np.int64)), 1, 2)
    return b.op("Where", gone, b.constant(-np.inf), scores)


def causal_where(b: Build, scores: str) -> str:
    later = b.op("Greater", _distance(b), b.constant(0, np.int64))
    return added_mask(b, b.op("Where", later, b.constant(-1e9), scores))


def causal_triangle(b: Build, scores: str) -> str:
    """A stored triangle of which as much is taken as is needed."""
    stored = b.constant(np.triu(np.full((b.size.tokens,) * 2, -np.inf), 1))
    end = b.op("Unsqueeze", b.length(), b.integers(0))
    ends = b.op("Concat", end, end, axis=0)
    return b.op("Add", scores, b.op("Slice", stored, b.integers(0, 0), ends, b.integers(0, 1)))


def window(b: Build, scores: str) -> str:
    near = b.op("LessOrEqual", b.op("Abs", _distance(b)), b.constant(3, np.int64))
    return added_mask(b, b.op("Where", near, scores, b.constant(-1e9)))


def relative(b: Build, scores: str) -> str:
    """Rows of a table, by buckets of the distance."""
    bucket = b.op("Clip", _distance(b), b.constant(-5, np.int64), b.constant(5, np.int64))
    index = b.op("Add", bucket, b.constant(5, np.int64))
    rows = b.op("Gather", b.weight(11, b.size.heads, scale=1), index)
    return added_mask(b, b.op("Add", scores, b.unsqueeze(b.op("Transpose", rows, perm=[2, 0, 1]), 0)))


def alibi(b: Build, scores: str) -> str:
    slopes = b.constant(-(2.0 ** -np.arange(1, b.size.heads + 1))[:, None, None])
    far = b.cast(b.op("Abs", _distance(b)))
    return added_mask(b, b.op("Add", scores, b.op("Mul", slopes, far)))


def alibi_of_keys(b: Build, scores: str) -> str:
    """A slope times the key's own place, as BLOOM has it: the same to a softmax, under a causal mask or none."""
    slopes = b.constant((2.0 ** -np.arange(1, b.size.heads + 1))[:, None, None])
    return b.op("Add", b.op("Mul", slopes, b.unsqueeze(b.cast(b.range()), 0, 1)), scores)


MASKS: Mapping[str, Part] = {
    "none": lambda b, scores: scores,
    "added": added_mask,
    "where": where_mask,
    "of ids": mask_of_ids,
    "causal, where": causal_where,
    "causal, triangle": causal_triangle,
    "window": window,
    "relative": relative,
    "alibi": alibi,
    "alibi of keys": alibi_of_keys,
}

SCALES = ("none", "of queries", "of keys", "of both", "of scores", "of scores, divided", "of weights")
HEADS = ("four axes", "three axes", "einsum", "keys turned at once", "grouped", "softmax spelled out")


def attention(b: Build, x: str, spelling: Spelling) -> str:
    d, h, w, heads = b.size.hidden, b.size.heads, b.size.head, spelling.heads
    linear = LINEARS[spelling.linear]
    by = 1 / math.sqrt(w)
    groups = h
    if heads == "grouped":  # one head of keys and values for all of queries
        groups = 1
        q, k, v = (linear(b, x, d, n) for n in (d, w, w))
    else:
        q, k, v = QKV[spelling.qkv](b, x, linear)
    if spelling.scale == "of queries":
        q = b.op("Mul", q, b.constant(by))
    if spelling.scale == "of keys":
        k = b.op("Mul", b.constant(by), k)

    def split(y: str, count: int) -> str:
        return b.op("Transpose", b.reshape(y, 0, -1, count, w), perm=[0, 2, 1, 3])

    rotate = ROTATIONS[spelling.rotation]
    if heads == "keys turned at once" and spelling.rotation == "none":
        q, v = split(q, h), split(v, h)
        kt = b.op("Transpose", b.reshape(k, 0, -1, h, w), perm=[0, 2, 3, 1])
    else:
        q, k, v = rotate(b, split(q, h)), rotate(b, split(k, groups)), split(v, groups)
        if heads == "grouped":
            shape = b.op("Shape", q)
            k, v = b.op("Expand", k, shape), b.op("Expand", v, shape)
        if heads == "three axes":
            q, k, v = (
                b.op("Reshape", each, b.op("Concat", b.integers(-1), b.unsqueeze(b.length(), 0), b.integers(w), axis=0))
                for each in (q, k, v)
            )
        kt = b.op("Transpose", k, perm=[0, 2, 1] if heads == "three axes" else [0, 1, 3, 2])
    if spelling.scale == "of both":
        root = b.constant(math.sqrt(by))
        q, kt = b.op("Mul", q, root), b.op("Mul", kt, root)
    if heads == "einsum":
        scores = b.op(
            "Einsum",
            q,
            k if spelling.scale != "of both" else b.op("Transpose", kt, perm=[0, 1, 3, 2]),
            equation="bhid,bhjd->bhij",
        )
    else:
        scores = b.op("MatMul", q, kt)
    if spelling.scale == "of scores":
        scores = b.op("Mul", scores, b.constant(by))
    if spelling.scale == "of scores, divided":
        scores = b.op("Div", scores, b.constant(math.sqrt(w)))
    if heads == "three axes":
        four = b.op("Concat", b.integers(-1, h), b.op("Tile", b.unsqueeze(b.length(), 0), b.integers(2)), axis=0)
        shape = b.op("Shape", scores)
        scores = MASKS[spelling.mask](b, b.op("Reshape", scores, four))
        scores = b.op("Reshape", scores, shape)
    else:
        scores = MASKS[spelling.mask](b, scores)
    if heads == "softmax spelled out":
        e = b.op("Exp", b.op("Sub", scores, b.reduce("ReduceMax", scores, -1)))
        p = b.op("Div", e, b.reduce("ReduceSum", e, -1))
    else:
        p = b.op("Softmax", scores, axis=-1)
    if heads == "einsum":
        mixed = b.op("Einsum", p, v, equation="bhij,bhjd->bihd")
    else:
        mixed = b.op("MatMul", p, v)
        if heads == "three axes":
            mixed = b.op(
                "Reshape", mixed, b.op("Concat", b.integers(-1, h), b.unsqueeze(b.length(), 0), b.integers(w), axis=0)
            )
        mixed = b.op("Transpose", mixed, perm=[0, 2, 1, 3])
    return linear(b, b.reshape(mixed, 0, -1, d), d, d)


@dataclass(frozen=True)
class Spelling:
    """An encoder: every field is a key of the table of its parts."""

    embedding: str = "positions by range"
    norm: str = "layer, node"
    qkv: str = "separate"
    heads: str = "four axes"
    scale: str = "of scores"
    rotation: str = "none"
    mask: str = "added"
    linear: str = "matmul"
    feed: str = "plain"
    activation: str = "gelu, div, half of all"
    end: str = "mean, divided"
    unit: str = "none"
    order: str = "after"

    def __str__(self) -> str:
        return "; ".join(f"{each.name} {getattr(self, each.name)}" for each in fields(self))


CHOICES: Mapping[str, tuple[str, ...]] = {
    "embedding": tuple(EMBEDDINGS),
    "norm": tuple(NORMS),
    "qkv": tuple(QKV),
    "heads": HEADS,
    "scale": SCALES[:-1],
    "rotation": tuple(ROTATIONS),
    "mask": tuple(MASKS),
    "linear": tuple(LINEARS),
    "feed": tuple(FEEDS),
    "activation": tuple(ACTIVATIONS),
    "end": (*ENDS, "tokens"),
    "unit": tuple(UNITS),
    "order": ("after", "before"),
}


def encoder(spelling: Spelling, size: Size = Size(), *, opset: int = 17, seed: int = 0) -> onnx.ModelProto:  # noqa: B008
    """One layer; `order` says whether norms come after or before each part. Its output is named `output`."""
    b = Build(size, opset, seed)
    norm, linear = NORMS[spelling.norm], LINEARS[spelling.linear]
    x = EMBEDDINGS[spelling.embedding](b)

    def feed(x: str) -> str:
        return FEEDS[spelling.feed](b, x, linear, ACTIVATIONS[spelling.activation])

    if spelling.order == "after":
        x = norm(b, x)
        x = norm(b, b.op("Add", attention(b, x, spelling), x))
        x = norm(b, b.op("Add", x, feed(x)))
    else:
        x = b.op("Add", x, attention(b, norm(b, x), spelling))
        x = norm(b, b.op("Add", feed(norm(b, x)), x))
    if spelling.end != "tokens":
        x = UNITS[spelling.unit](b, ENDS[spelling.end](b, x))
    return b.model(b.op("Identity", x))
