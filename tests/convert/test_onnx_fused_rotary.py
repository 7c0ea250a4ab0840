"""Fused rotary positions beside the standard ops they are expanded to."""

import numpy as np
import pytest
from fused_graphs import RNG, Weight, check, floats

B, S, HEADS, SIZE = 2, 5, 3, 8


def caches(pairs):
    angles = RNG.normal(size=(12, pairs))
    return np.cos(angles).astype(np.float32).view(Weight), np.sin(angles).astype(np.float32).view(Weight)


POSITIONS = {"each": RNG.integers(0, 12, (B, S)), "first": np.array([4])}


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("shape", [(B, S, HEADS * SIZE), (B, HEADS, S, SIZE)])
def test_microsoft_rotary_embedding(shape, positions, interleaved, opset):
    inputs = [floats(*shape), POSITIONS[positions], *caches(SIZE // 2)]
    check("RotaryEmbedding", inputs, interleaved=interleaved, opset=opset)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("shape", [(B, S, HEADS * SIZE), (B, HEADS, S, SIZE)])
def test_microsoft_rotary_embedding_of_a_part(shape, interleaved):
    inputs = [floats(*shape), POSITIONS["each"], *caches(2)]
    check("RotaryEmbedding", inputs, interleaved=interleaved, rotary_embedding_dim=4, num_heads=HEADS)


@pytest.mark.parametrize("part", [0, 4])
@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("shape", [(B, S, HEADS * SIZE), (B, HEADS, S, SIZE)])
@pytest.mark.parametrize("positions", ["each", "none"])
def test_rotary_embedding(shape, interleaved, part, positions):
    cos, sin = caches((part or SIZE) // 2)
    inputs = [floats(*shape), cos, sin, POSITIONS["each"]]
    if positions == "none":
        inputs = [floats(*shape), *(np.asarray(cache)[POSITIONS["each"]] for cache in (cos, sin))]
    attributes = {"interleaved": interleaved, "num_heads": HEADS, "rotary_embedding_dim": part}
    check("RotaryEmbedding", inputs, domain="", opset=23, **attributes)
