"""Fused attention beside the standard ops it is expanded to."""

import numpy as np
import pytest
from fused_graphs import check, floats, weight

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
