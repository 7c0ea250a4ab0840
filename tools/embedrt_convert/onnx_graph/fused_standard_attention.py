"""ai.onnx Attention as simpler ops."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from embedrt_convert.onnx_graph.fused_attend import (
    HIDDEN,
    NO_CACHE,
    attend,
    causal,
    merge_heads,
    repeat_heads,
    split_heads,
)
from embedrt_convert.onnx_graph.fused_pieces import Pieces


def standard_attention(p: Pieces) -> list[str]:
    """ai.onnx Attention of [batch, sequence, heads · size] or [batch, heads, sequence, size]."""
    p.refuse_inputs({4: "past_key", 5: "past_value", 6: "nonpad_kv_seqlen"}, NO_CACHE)
    p.refuse_outputs({1: "present_key", 2: "present_value", 3: "qk_matmul_output"}, NO_CACHE)
    q, k, v = (p.required(i) for i in range(3))
    flat = p.rank(q) == 3
    heads: int | None
    groups: int | None
    if flat:
        heads, groups = p.heads("q_num_heads"), p.heads("kv_num_heads")
        q, k, v = (split_heads(p, x, n) for x, n in ((q, heads), (k, groups), (v, groups)))
    else:
        heads, groups = p.size(q, 1), p.size(k, 1)
    added, visible = _mask(p, q, k)
    # Where exporters compute even the number of heads, as many or one are right as they are, and others do not fit.
    if heads is not None and groups is not None:
        k, v = (repeat_heads(p, x, heads, groups) for x in (k, v))
    y = attend(p, q, k, v, [added], p.attribute("softcap", 0.0), visible)
    return [merge_heads(p, y) if flat else y]


def _mask(p: Pieces, q: str, k: str) -> tuple[str | None, str | None]:
    """What is added to the scores, and where a mask lets queries see keys: one may see none."""
    mask = p.input(3)
    earlier = causal(p, q, k) if p.attribute("is_causal", 0) else None
    if mask is None:
        return (None if earlier is None else p.add("Where", earlier, p.constant(0), p.constant(HIDDEN))), None
    truth = p.element_type(mask) == TensorProto.BOOL
    visible = mask if truth else p.add("Greater", mask, p.constant(-np.inf))
    if earlier is not None:
        visible = p.add("And", visible, earlier)
    if truth or earlier is not None:
        mask = p.add("Where", visible, p.constant(0) if truth else mask, p.constant(HIDDEN))
    return mask, visible
