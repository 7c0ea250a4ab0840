"""onnxruntime's attention ops as standard ops."""

from __future__ import annotations

import numpy as np

from embedrt_convert.onnx_graph.fused_attend import (
    HIDDEN,
    NO_CACHE,
    attend,
    before,
    causal,
    merge_heads,
    repeat_heads,
    split_heads,
)
from embedrt_convert.onnx_graph.fused_pieces import Pieces
from embedrt_convert.onnx_graph.fused_rotary import rotate

_DAMAGED = "the file is damaged"


def attention(p: Pieces) -> list[str]:
    """com.microsoft Attention: of [batch, sequence, hidden], with the product that makes queries, keys and values."""
    p.refuse_inputs({4: "past", 6: "past_sequence_length"}, NO_CACHE)
    p.refuse_outputs({1: "present"}, NO_CACHE)
    p.refuse_unless(do_rotary=0)
    weights, heads = p.required(1), p.heads()
    columns = p.fixed_size(weights, 1)
    sizes = p.attribute("qkv_hidden_sizes", None) or [columns // 3] * 3
    if sum(sizes) != columns or len(sizes) != 3 or sizes[0] != sizes[1] or any(n < 1 or n % heads for n in sizes):
        p.refuse(f"{heads} heads and hidden sizes {list(sizes)} do not fit weights of {columns} columns", _DAMAGED)
    packed = p.add_bias(p.add("MatMul", p.required(0), weights), p.input(2))
    q, k, v = (split_heads(p, part, heads) for part in p.split(packed, sizes, -1))
    return [merge_heads(p, attend(p, q, k, v, [p.input(5), _mask(p, p.input(3), q, k)]))]


def multi_head_attention(p: Pieces) -> list[str]:
    """com.microsoft MultiHeadAttention: of queries, keys and values, which only lack their bias."""
    p.refuse_inputs({6: "past_key", 7: "past_value", 8: "past_sequence_length", 9: "cache_indirection"}, NO_CACHE)
    p.refuse_outputs({1: "present_key", 2: "present_value", 3: "qk"}, NO_CACHE)
    q, k, v = _queries_keys_values(p, p.heads())
    return [merge_heads(p, attend(p, q, k, v, [p.input(5), _mask(p, p.input(4), q, k)]))]


def _queries_keys_values(p: Pieces, heads: int) -> list[str]:
    """Of MultiHeadAttention, each [batch, heads, sequence, size]."""
    query, key, value, bias = p.required(0), p.input(1), p.input(2), p.input(3)
    if key is not None and value is not None and p.rank(key) == 3:
        parts = [query, key, value]
        if bias is not None:
            sizes = [p.fixed_size(part, 2) for part in parts]
            parts = [p.add("Add", part, b) for part, b in zip(parts, p.split(bias, sizes, 0), strict=True)]
        return [split_heads(p, part, heads) for part in parts]
    if bias is not None:
        p.refuse("it has a bias beside packed or ready keys and values", "export it with keys and values apart")
    if key is None:
        return _unpacked(p, query, 3)
    if value is None:
        return [split_heads(p, query, heads), *_unpacked(p, key, 2)]
    return [split_heads(p, query, heads), key, value]


def _unpacked(p: Pieces, packed: str, parts: int) -> list[str]:
    """[batch, sequence, heads, parts, size] as so many of [batch, heads, sequence, size]."""
    apart = (p.add("Gather", packed, p.constant(i, np.int64), axis=3) for i in range(parts))
    return [p.transpose(part, 0, 2, 1, 3) for part in apart]


def _mask(p: Pieces, mask: str | None, q: str, k: str) -> str | None:
    """What a mask input and the attribute unidirectional add to the scores."""
    added = None
    visible = None if mask is None else _visible(p, mask, q, k)
    if visible is not None:
        added = p.add("Where", visible, p.constant(0), p.constant(p.attribute("mask_filter_value", -10000.0)))
    if p.attribute("unidirectional", 0):
        added = p.add("Where", causal(p, q, k), added or p.constant(0), p.constant(HIDDEN))
    return added


def _visible(p: Pieces, mask: str, q: str, k: str) -> str | None:
    """The forms of a mask, int32, as truth values that broadcast to [batch, heads, queries, keys]."""
    rank = p.rank(mask)
    if rank == 1:
        return _within(p, mask, q, k)
    ones = p.add("Greater", mask, p.constant(0, np.int32))
    if rank == 2:  # [batch, keys]; one column is the same for all keys, which is no mask
        return None if p.size(mask, 1) == 1 else p.unsqueeze(ones, 1, 2)
    if rank == 3:  # [batch, queries, keys]
        return p.unsqueeze(ones, 1)
    if rank == 4:  # [batch, 1, most, most]
        return p.slice(p.slice(ones, 0, p.length(q, 2), 2), 0, p.length(k, 2), 3)
    p.refuse(f"its mask has {rank} axes", _DAMAGED)


def _within(p: Pieces, bounds: str, q: str, k: str) -> str:
    """Keys from the start of their row to its end: of bounds that are all ends; ends, then starts; or ends, then
    offsets, of another number, that no CPU kernel needs."""
    batch = p.length(q, 0)
    twice = p.add("Add", batch, batch)
    starts = p.add("Slice", p.add("Concat", bounds, bounds, axis=0), batch, twice)
    zero = p.constant(0, np.int32)
    starts = p.add("Where", p.add("Equal", p.add("Shape", bounds), twice), starts, zero)
    inside = p.add("Not", before(p, starts, k))
    return p.add("And", inside, before(p, p.slice(bounds, 0, batch, 0), k))


def group_query_attention(p: Pieces) -> list[str]:
    """com.microsoft GroupQueryAttention of whole texts: no cache, rows padded on the right."""
    unsupported = {3: "past_key", 4: "past_value", 11: "head_sink", 12: "k_scale", 13: "v_scale"}
    p.refuse_inputs(unsupported | {14: "q_norm_weight", 15: "k_norm_weight", 16: "query_seqlens"}, NO_CACHE)
    p.refuse_outputs({1: "present_key", 2: "present_value", 3: "output_qk"}, NO_CACHE)
    p.refuse_unless(local_window_size=-1, smooth_softmax=0, sliding_window_cache=0)
    heads, groups = p.heads(), p.heads("kv_num_heads")
    query, key, value = p.required(0), p.input(1), p.input(2)
    if key is None or value is None:
        size = p.fixed_size(query, 2) // (heads + 2 * groups)
        query, key, value = p.split(query, (heads * size, groups * size, groups * size), -1)
    q, k, v = (split_heads(p, x, n) for x, n in ((query, heads), (key, groups), (value, groups)))
    if p.attribute("do_rotary", 0):
        positions = p.input(9) or p.unsqueeze(p.count(q, 2), 0)
        caches = p.required(7), p.required(8), positions, p.attribute("rotary_interleaved", 0)
        q, k = (rotate(p, x, *caches) for x in (q, k))
    ends = p.add("Add", p.required(5), p.constant(1, np.int32))
    visible = before(p, ends, k)
    if p.attribute("causal", 1):
        visible = p.add("And", visible, causal(p, q, k))
    added = p.add("Where", visible, p.constant(0), p.constant(HIDDEN))
    k, v = (repeat_heads(p, x, heads, groups) for x in (k, v))
    return [merge_heads(p, attend(p, q, k, v, [p.input(10), added], p.attribute("softcap", 0.0)))]
