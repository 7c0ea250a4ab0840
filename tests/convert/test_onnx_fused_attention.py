"""Fused attention beside the standard ops it is expanded to."""

import copy

import numpy as np
import pytest
from fused_graphs import Weight, check, floats, graph_of, run, weight

from embedrt_convert.onnx_graph import fused

B, S, H, HEADS = 2, 5, 16, 4
MASKS = {
    "none": None,
    "lengths": np.array([5, 3], np.int32),
    "ends and starts": np.array([5, 4, 2, 1], np.int32),
    "ends and offsets": np.array([3, 4, 0, 3, 5, 0, 3, 5], np.int32),
    "keys": np.array([[1] * 5, [0, 1, 1, 0, 0]], np.int32),
    "one column": np.array([[1], [0]], np.int32),
    "queries and keys": np.tril(np.ones((B, S, S), np.int32)),
}


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("unidirectional", [0, 1])
@pytest.mark.parametrize("mask", MASKS)
def test_attention(mask, unidirectional, opset):
    inputs = [floats(B, S, H), weight(H, 3 * H), weight(3 * H), MASKS[mask]]
    check("Attention", inputs, num_heads=HEADS, unidirectional=unidirectional, opset=opset)


def test_attention_with_other_sizes_a_scale_and_a_bias_of_positions():
    inputs = [floats(B, S, H), weight(H, 40), weight(40), MASKS["keys"], None, floats(1, HEADS, S, S)]
    check("Attention", inputs, num_heads=HEADS, qkv_hidden_sizes=[16, 16, 8], scale=0.3, mask_filter_value=-3.0)


def test_attention_without_biases():
    check("Attention", [floats(B, S, H), weight(H, 3 * H)], num_heads=HEADS)


@pytest.mark.parametrize("unidirectional", [0, 1])
@pytest.mark.parametrize("mask", ["none", "lengths", "ends and offsets", "keys", "queries and keys"])
def test_multi_head_attention(mask, unidirectional):
    inputs = [floats(B, S, H), floats(B, S, H), floats(B, S, 8), weight(40), MASKS[mask]]
    check("MultiHeadAttention", inputs, num_heads=HEADS, unidirectional=unidirectional)


def test_multi_head_attention_across():
    inputs = [floats(B, S, H), floats(B, 7, H), floats(B, 7, H), None, None, floats(1, 1, S, 7)]
    check("MultiHeadAttention", inputs, num_heads=HEADS, scale=0.7, opset=11)


def test_multi_head_attention_of_ready_keys():
    shape = (B, HEADS, 7, H // HEADS)
    check("MultiHeadAttention", [floats(B, S, H), floats(*shape), floats(*shape)], num_heads=HEADS)


@pytest.mark.parametrize("packed", ["all", "keys and values"])
def test_multi_head_attention_of_packed_values(packed):
    """onnxruntime has it on GPUs only: beside the op with the parts apart."""
    parts = [floats(B, S, HEADS, H // HEADS) for _ in range(3)]
    query, key, value = (part.reshape(B, S, H) for part in parts)
    model, feeds = graph_of("MultiHeadAttention", [query, key, value, None, MASKS["keys"]], num_heads=HEADS)
    together = [np.stack(parts, 3)] if packed == "all" else [query, np.stack(parts[1:], 3)]
    inputs = [*together, *[None] * (4 - len(together)), MASKS["keys"]]
    check("MultiHeadAttention", inputs, run(model, feeds), num_heads=HEADS)


def test_attention_with_a_mask_as_large_as_any():
    """onnxruntime has it on GPUs only: beside the op with the part of the mask that it takes."""
    large = np.tril(np.ones((B, 1, 9, 9), np.int32), k=1)
    inputs = [floats(B, S, H), weight(H, 3 * H), weight(3 * H)]
    small = np.ascontiguousarray(large[:, 0, :S, :S])
    model, feeds = graph_of("Attention", [*inputs, small], num_heads=HEADS)
    check("Attention", [*inputs, large], run(model, feeds), num_heads=HEADS)


QUERIES, KEYS = 4, 2
LENGTHS = np.array([4, 2], np.int32)  # without the last


@pytest.mark.parametrize("options", [{}, {"softcap": 2.0}, {"scale": 0.2}, {"causal": 0}])
@pytest.mark.parametrize("packed", [False, True])
def test_group_query_attention(packed, options):
    qkv = floats(B, S, 64), None, None
    if not packed:
        qkv = floats(B, S, 32), floats(B, S, 16), floats(B, S, 16)
    check_rows([*qkv, None, None, LENGTHS, np.array(S, np.int32)], **options)


@pytest.mark.parametrize("interleaved", [0, 1])
def test_group_query_attention_with_rotary_positions(interleaved):
    angles = floats(9, 8)
    caches = [f(angles).view(Weight) for f in (np.cos, np.sin)]
    inputs = [floats(B, S, 8 * 16), None, None, None, None, LENGTHS, np.array(S, np.int32), *caches]
    check_rows(inputs, do_rotary=1, rotary_interleaved=interleaved)


def check_rows(inputs, **options):
    """Of rows after the length of a text, GroupQueryAttention says nothing."""
    options |= {"num_heads": QUERIES, "kv_num_heads": KEYS}
    model, feeds = graph_of("GroupQueryAttention", inputs, **options)
    (expected,) = run(model, feeds)
    expanded, _ = fused.expand(copy.deepcopy(model))
    (output,) = run(expanded, feeds)
    for row, length in enumerate(LENGTHS + 1):
        np.testing.assert_allclose(output[row, :length], expected[row, :length], rtol=1e-5, atol=1e-5)


SEEN = np.tril(np.ones((B, 1, S, S), bool))
SEEN[1, :, 2] = False  # a query that sees nothing
STANDARD_MASKS = {
    "none": None,
    "truth": SEEN,
    "of keys": np.array([True, True, False, True, False]) & np.ones((S, S), bool),
    "added": floats(B, 4, S, S),
    "added, with infinities": np.where(SEEN, 0, -np.inf).astype(np.float32),
}


@pytest.mark.parametrize("opset", [23, 24])
@pytest.mark.parametrize("is_causal", [0, 1])
@pytest.mark.parametrize("mask", STANDARD_MASKS)
@pytest.mark.parametrize("groups", [4, 2])
def test_standard_attention(mask, is_causal, groups, opset):
    inputs = [floats(B, 4, S, 6), floats(B, groups, S, 6), floats(B, groups, S, 3), STANDARD_MASKS[mask]]
    check("Attention", inputs, domain="", opset=opset, is_causal=is_causal, fixed=True)


def test_standard_attention_with_flat_heads():
    inputs = [floats(B, S, 24), floats(B, 7, 12), floats(B, 7, 6)]
    heads = {"q_num_heads": 4, "kv_num_heads": 2}
    check("Attention", inputs, domain="", opset=23, scale=0.4, softcap=1.5, **heads)
