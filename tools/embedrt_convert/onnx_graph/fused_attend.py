"""Scaled dot product attention in standard ops: what all fused attention ops have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from embedrt_convert.onnx_graph.fused_pieces import Pieces

NO_CACHE = "export an encoder, without caches of keys and values"
# Added to a score it leaves a probability of 0, and unlike -inf it makes no NaN where a row has nothing else.
HIDDEN = float(np.finfo(np.float32).min)


def split_heads(p: Pieces, x: str, heads: int) -> str:
    """[batch, sequence, heads · size] as [batch, heads, sequence, size]."""
    return p.transpose(p.reshape(x, 0, 0, heads, -1), 0, 2, 1, 3)


def merge_heads(p: Pieces, x: str) -> str:
    """[batch, heads, sequence, size] as [batch, sequence, heads · size]."""
    return p.reshape(p.transpose(x, 0, 2, 1, 3), 0, 0, -1)


def repeat_heads(p: Pieces, x: str, heads: int, groups: int) -> str:
    """[batch, groups, sequence, size] as [batch, heads, sequence, size]: each group serves heads beside each other."""
    if heads % groups:
        p.refuse(f"{heads} heads do not share {groups} heads of keys", "the file is damaged")
    if heads == groups:
        return x
    return p.add("Gather", x, p.constant(np.arange(heads) // (heads // groups), np.int64), axis=1)


def scale(p: Pieces, q: str) -> float:
    """The factor of the scores: the attribute, or what the size of a head makes it."""
    return float(p.attribute("scale", 0.0)) or p.fixed_size(q, 3) ** -0.5


def attend(
    p: Pieces, q: str, k: str, v: str, added: Sequence[str | None], softcap: float = 0, visible: str | None = None
) -> str:
    """Attention of queries, keys and values [batch, heads, sequence, size].

    Each of `added` is broadcast to the scores [batch, heads, queries, keys]; where `visible` is false, probabilities
    are 0: that matters for queries without any key only, which come out as zeros.
    """
    scores = p.times(p.add("MatMul", q, p.transpose(k, 0, 1, 3, 2)), scale(p, q))
    if softcap:
        scores = p.times(p.add("Tanh", p.times(scores, 1 / softcap)), softcap)
    for bias in added:
        scores = p.add_bias(scores, bias)
    probabilities = p.add("Softmax", scores, axis=-1)
    if visible is not None:
        probabilities = p.add("Where", visible, probabilities, p.constant(0))
    return p.add("MatMul", probabilities, v)


def causal(p: Pieces, q: str, k: str) -> str:
    """True where a key is not later than its query: [queries, keys]."""
    ends = p.add("Add", p.count(q, 2), p.constant(1, np.int64))
    return p.add("Less", p.count(k, 2), p.unsqueeze(ends, 1))


def before(p: Pieces, ends: str, k: str) -> str:
    """True for keys before their row's end, of shape [batch], int32: [batch, 1, 1, keys]."""
    return p.add("Less", p.count(k, 2), p.unsqueeze(p.add("Cast", ends, to=TensorProto.INT64), 1, 2, 3))
