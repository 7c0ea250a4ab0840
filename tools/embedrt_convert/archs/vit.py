"""ViT and DeiT: patches with learned positions after a class token, and DeiT's distillation token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from embedrt_convert.archs._config import activation, positive, refuse_unless, side
from embedrt_convert.archs._patches import image_of, outputs, patch_grid, patches, placed
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("vit", "deit")

_TOKEN = "embeddings.cls_token"
_POOLER = "pooler.dense"
# What pretraining predicts masked patches with, and the heads that are not asked for.
_IGNORED = (r"embeddings\.mask_token", r"decoder\..*", r"((cls_|distillation_)?classifier)\.(weight|bias)")


def lower_images(checkpoint: Checkpoint) -> Program:
    """The program. image_embedding is the pooler's output where the checkpoint has a pooler, else the class token."""
    config, image = checkpoint.config, image_of(checkpoint)
    refuse_unless(config, is_decoder=False, add_cross_attention=False, pruned_heads={})
    grid = patch_grid(config, image)
    weights = Weights(checkpoint.tensors, anchor=_TOKEN, ignored=_IGNORED)
    program = Program(0, 0, (image.height, image.width))
    layers = Transformer.of(program, weights, config, 1e-12)
    hidden = layers.hidden

    patch, trained = side(config, "patch_size"), side(config, "image_size") // side(config, "patch_size")
    projection = "embeddings.patch_embeddings.projection"
    weight = weights.take(f"{projection}.weight", hidden, 3, patch, patch)
    x = patches(program, image, weight, weights.take(f"{projection}.bias", hidden))
    names = (_TOKEN, "embeddings.distillation_token") if config["model_type"] == "deit" else (_TOKEN,)
    tokens = [weights.take(name, 1, 1, hidden) for name in names]
    positions = weights.take("embeddings.position_embeddings", 1, len(tokens) + trained**2, hidden)
    x = placed(program, x, grid, tokens, positions[0])
    for layer in range(positive(config, "num_hidden_layers")):
        x = _layer(layers, config, x, f"encoder.layer.{layer}", f"layer.{layer}")
    rows = layers.norm(x, "layernorm", "norm")

    token = program.op("pool", rows, kind="first")
    program.outputs = {"image_embedding": token, "class_token": token, **outputs(program, rows, len(tokens))}
    if weights.has(f"{_POOLER}.weight"):
        program.outputs["image_embedding"] = _pooler(layers, config, token)
    if image.labels is not None:
        program.outputs["logits"] = _logits(layers, rows, token, len(image.labels))
    weights.finish()
    return program


def _layer(layers: Transformer, config: Mapping[str, Any], x: int, source: str, name: str) -> int:
    qkv_bias = config.get("qkv_bias", True) is not False
    at = f"{source}.attention"
    x = layers.attention(
        layers.norm(x, f"{source}.layernorm_before", f"{name}.attention_norm"),
        x,
        sources=(f"{at}.attention.query", f"{at}.attention.key", f"{at}.attention.value", f"{at}.output.dense"),
        biases=(qkv_bias, qkv_bias, qkv_bias, True),
        name=name,
    )
    return layers.feed_forward(
        layers.norm(x, f"{source}.layernorm_after", f"{name}.ffn_norm"),
        x,
        sources=(f"{source}.intermediate.dense", f"{source}.output.dense"),
        name=name,
        inner=positive(config, "intermediate_size"),
        activation=activation(config),
    )


def _pooler(layers: Transformer, config: Mapping[str, Any], token: int) -> int:
    columns = positive(config, "pooler_output_size") if config.get("pooler_output_size") else layers.hidden
    act = activation(config, "pooler_act", "tanh")
    return layers.linear(token, source=_POOLER, name="pooler", n=columns, k=layers.hidden, activation=act)


def _logits(layers: Transformer, rows: int, token: int, labels: int) -> int:
    """One classifier on the class token; or the mean of it and a second one, on the distillation token."""
    program, weights = layers.program, layers.weights

    def head(x: int, *residual: int, source: str, factor: float = 1.0) -> int:
        weight = weights.take(f"{source}.weight", labels, layers.hidden, outside=True) * np.float32(factor)
        bias = weights.take(f"{source}.bias", labels, outside=True) * np.float32(factor)
        return program.op("linear", x, *residual, name=source, weight=weight, bias=bias)

    if not weights.has("distillation_classifier.weight", outside=True):
        return head(token, source="classifier")
    half = head(token, source="cls_classifier", factor=0.5)
    other = program.op("pool", rows, kind="first", skip=1)
    return head(other, half, source="distillation_classifier", factor=0.5)
