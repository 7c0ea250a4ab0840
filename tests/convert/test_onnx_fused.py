"""Fused embeddings, norms, activations and products beside the standard ops they are expanded to."""

import math

import numpy as np
import pytest
from fused_graphs import check, floats, weight

B, S, H = 2, 5, 16


def ids(high, *shape):
    return np.random.default_rng(3).integers(0, high, shape, dtype=np.int32)


def test_embed_layer_norm():
    mask = np.array([[1] * 5, [1, 1, 1, 0, 0]], np.int32)
    tables = weight(30, H), weight(12, H), weight(2, H), weight(H), weight(H)
    check("EmbedLayerNormalization", [ids(30, B, S), ids(2, B, S), *tables, mask], outputs=("y", "lengths", "sum"))


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
@pytest.mark.parametrize("batch", [1, B])
def test_embed_layer_norm_with_positions_and_no_segments(opset, batch):
    tables = weight(30, H), weight(12, H), None, weight(H), weight(H)
    inputs = [ids(30, B, S), None, *tables, None, ids(12, batch, S)]
    check("EmbedLayerNormalization", inputs, outputs=("y", "lengths"), opset=opset, epsilon=1e-3)


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("skip", [(B, S, H), (1, S, H), (S, H)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_skip_layer_norm(opset, skip, with_bias):
    inputs = [floats(B, S, H), floats(*skip), weight(H), weight(H), weight(H) if with_bias else None]
    check("SkipLayerNormalization", inputs, outputs=("y", "", "", "sum"), opset=opset, epsilon=1e-5)


def test_skip_layer_norm_without_beta():
    check("SkipLayerNormalization", [floats(B, S, H), floats(B, S, H), weight(H)])


@pytest.mark.parametrize("opset", [11, 17, 18])
def test_skip_rms_norm(opset):
    inputs = [floats(B, S, H), floats(B, S, H), weight(H), weight(H)]
    check("SkipSimplifiedLayerNormalization", inputs, outputs=("y", "", "", "sum"), opset=opset, epsilon=1e-2)


@pytest.mark.parametrize("axis", [-1, 1, -2])
@pytest.mark.parametrize(("op", "opset"), [("SimplifiedLayerNormalization", 17), ("RMSNormalization", 23)])
def test_rms_norm(op, opset, axis):
    shape = (S, H) if axis != -1 else (H,)
    check(op, [floats(B, S, H), weight(*shape)], domain="", opset=opset, axis=axis, epsilon=1e-2, fixed=True)


@pytest.mark.parametrize("op", ["Gelu", "FastGelu", "QuickGelu"])
def test_activations(op):
    check(op, [3 * floats(B, S, H)])


def test_quick_gelu_with_alpha():
    check("QuickGelu", [floats(B, S, H)], alpha=1.0)


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_activations_with_bias(op):
    check(op, [3 * floats(B, S, H), weight(H)])


def test_bias_add():
    x, bias, skip = floats(B, S, H), weight(H), floats(B, S, H)
    check("BiasAdd", [x, bias, skip], [x + np.asarray(bias) + skip])


def test_bias_split_gelu():
    x, bias = 2 * floats(B, S, H), weight(H)
    left, right = np.split(x + np.asarray(bias), 2, -1)
    gelu = right * (1 + np.vectorize(math.erf)(right / math.sqrt(2))) / 2
    check("BiasSplitGelu", [x, bias], [(left * gelu).astype(np.float32)])
