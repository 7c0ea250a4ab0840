"""Rotary positions as standard ops."""

from __future__ import annotations

from embedrt_convert.onnx_graph.fused_attend import merge_heads, split_heads
from embedrt_convert.onnx_graph.fused_pieces import Pieces


def microsoft_rotary_embedding(p: Pieces) -> list[str]:
    """com.microsoft RotaryEmbedding: position_ids are those of each token or, of shape [1], that of the first."""
    p.refuse_unless(is_packed_batching=0, scale=1.0)
    x, positions, cos, sin = (p.required(i) for i in range(4))
    heads = p.attribute("num_heads", 0)
    if not heads and p.rank(x) == 3:
        heads = p.fixed_size(x, 2) // (2 * p.fixed_size(cos, -1))
    tokens = _by_heads(p, x, heads)
    if p.rank(positions) == 1:
        positions = p.unsqueeze(p.add("Add", p.count(tokens, 2), positions), 0)
    return [_like(p, x, rotate(p, tokens, cos, sin, positions, p.attribute("interleaved", 0)))]


def rotary_embedding(p: Pieces) -> list[str]:
    """ai.onnx RotaryEmbedding: without position_ids, the caches are those of the tokens."""
    x, cos, sin = (p.required(i) for i in range(3))
    tokens = _by_heads(p, x, p.attribute("num_heads", 0))
    return [_like(p, x, rotate(p, tokens, cos, sin, p.input(3), p.attribute("interleaved", 0)))]


def _by_heads(p: Pieces, x: str, heads: int) -> str:
    if p.rank(x) == 4:
        return x
    if heads < 1:
        p.refuse(f"its attribute num_heads is {heads}", "it must be a number of heads")
    return split_heads(p, x, heads)


def _like(p: Pieces, x: str, rotated: str) -> str:
    return rotated if p.rank(x) == 4 else merge_heads(p, rotated)


def rotate(p: Pieces, x: str, cos: str, sin: str, positions: str | None, interleaved: int) -> str:
    """The tokens [batch, heads, sequence, size] turned by their angles, in pairs of elements.

    The caches are [batch, sequence, pairs] or, with positions [batch, sequence], [positions, pairs]. A pair is an
    element of the first half and one of the second, or, interleaved, two beside each other. What is left of the
    elements when there are fewer pairs stays as it is.
    """
    if positions is not None:
        cos, sin = (p.add("Gather", cache, positions, axis=0) for cache in (cos, sin))
    turned = 2 * p.fixed_size(cos, -1)
    cos, sin = (p.unsqueeze(cache, 1) for cache in (cos, sin))
    if interleaved:
        a, b = (p.slice(x, i, turned, -1, step=2) for i in (0, 1))
    else:
        a, b = p.split(x, (turned // 2, turned // 2), -1)
    real = p.add("Sub", p.add("Mul", a, cos), p.add("Mul", b, sin))
    imaginary = p.add("Add", p.add("Mul", a, sin), p.add("Mul", b, cos))
    if interleaved:
        pairs = p.add("Concat", p.unsqueeze(real, 4), p.unsqueeze(imaginary, 4), axis=4)
        parts = [p.reshape(pairs, 0, 0, 0, -1)]
    else:
        parts = [real, imaginary]
    if p.size(x, 3) != turned:
        parts.append(p.slice(x, turned, None, -1))
    return p.add("Concat", *parts, axis=-1) if len(parts) > 1 else parts[0]
