"""DINOv3's ViT: registers, and positions that turn queries and keys instead of being added."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from embedrt_convert.archs._config import activation, head_columns, number, positive, refuse_unless, side
from embedrt_convert.archs._patches import image_of, outputs, patch_grid, patches
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program, Tensor
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("dinov3_vit",)

_TOKEN = "embeddings.cls_token"
_IGNORED = (r"embeddings\.mask_token", r"rope_embeddings\.(inv_freq|periods)")

Rotation = tuple[Tensor, Tensor]


def lower_images(checkpoint: Checkpoint) -> Program:
    """The program. image_embedding is the class token after the last norm, as the reference's pooled output."""
    config, image = checkpoint.config, image_of(checkpoint)
    refuse_unless(config, pruned_heads={})
    grid = patch_grid(config, image)
    weights = Weights(checkpoint.tensors, anchor=_TOKEN, ignored=_IGNORED)
    program = Program(0, 0, (image.height, image.width))
    layers = Transformer.of(program, weights, config, 1e-5)
    hidden, patch = layers.hidden, side(config, "patch_size")

    weight = weights.take("embeddings.patch_embeddings.weight", hidden, 3, patch, patch)
    x = patches(program, image, weight, weights.take("embeddings.patch_embeddings.bias", hidden))
    registers = int(number(config, "num_register_tokens", 0))
    tokens = weights.take(_TOKEN, 1, 1, hidden)[0], weights.take("embeddings.register_tokens", 1, registers, hidden)[0]
    x = program.op("place", x, name="embeddings", prefix=np.concatenate(tokens))
    rotation = _rotation(config, grid, 1 + registers)
    for layer in range(positive(config, "num_hidden_layers")):
        x = _layer(layers, config, x, f"layer.{layer}", rotation)
    rows = layers.norm(x, "norm", "norm")

    token = program.op("pool", rows, kind="first")
    program.outputs = {"image_embedding": token, "class_token": token, **outputs(program, rows, 1 + registers)}
    weights.finish()
    if image.labels is not None:
        raise ConversionError("model_type dinov3_vit has no classifier: convert it without one")
    return program


def _rotation(config: Mapping[str, Any], grid: tuple[int, int], prefix: int) -> Rotation:
    """(cos, sin), [rows, columns of a head]. A patch turns by where its centre is in -1 … 1, down and across.

    Prefix rows are not turned.
    """
    columns, base = head_columns(config), number(config, "rope_theta", 100.0)
    if columns % 4:
        raise ConversionError(f"config.json implies heads of {columns} columns; for rotations they must be fours")
    frequencies = base ** -np.arange(0, 1, 4 / columns)
    centres = [2 * (np.arange(extent) + 0.5) / extent - 1 for extent in grid]
    places = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, 2)
    angles = 2 * math.pi * places[:, :, None] * frequencies
    angles = np.tile(angles.reshape(len(places), -1), 2)
    turned = np.concatenate([np.zeros((prefix, columns)), angles])
    cos, sin = np.cos(turned).astype(np.float32), np.sin(turned).astype(np.float32)
    return Tensor("rotation.cos", "matrix_f32", cos), Tensor("rotation.sin", "matrix_f32", sin)


def _layer(layers: Transformer, config: Mapping[str, Any], x: int, name: str, rotation: Rotation) -> int:
    def has_bias(key: str, default: bool = True) -> bool:
        return bool(config.get(key, default))

    biases = (has_bias("query_bias"), has_bias("key_bias", False), has_bias("value_bias"), has_bias("proj_bias"))
    at = f"{name}.attention"
    x = layers.attention(
        layers.norm(x, f"{name}.norm1", f"{name}.attention_norm"),
        x,
        sources=(f"{at}.q_proj", f"{at}.k_proj", f"{at}.v_proj", f"{at}.o_proj"),
        biases=biases,
        name=name,
        scale=f"{name}.layer_scale1.lambda1",
        rotation=rotation,
    )
    y = layers.norm(x, f"{name}.norm2", f"{name}.ffn_norm")
    inner, act, bias = positive(config, "intermediate_size"), activation(config), has_bias("mlp_bias")
    up, down, scale = f"{name}.mlp.up_proj", f"{name}.mlp.down_proj", f"{name}.layer_scale2.lambda1"
    if not config.get("use_gated_mlp"):
        return layers.feed_forward(
            y, x, sources=(up, down), name=name, inner=inner, activation=act, bias=bias, scale=scale
        )
    both = (f"{name}.mlp.gate_proj", up)
    y = layers.stacked(y, sources=both, name=f"{name}.ffn_in", n=inner, biases=(bias, bias))
    y = layers.program.op("glu", y, activation=act)
    return layers.linear(y, x, source=down, name=f"{name}.ffn_out", n=layers.hidden, k=inner, bias=bias, scale=scale)
