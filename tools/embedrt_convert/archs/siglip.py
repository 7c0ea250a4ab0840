"""SigLIP, and SigLIP 2 of a fixed resolution: a ViT that attends to its patches once more to pool them, and texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from embedrt_convert.archs._config import activation, positive, refuse_unless, side
from embedrt_convert.archs._patches import image_of, outputs, patch_grid, patches, placed
from embedrt_convert.archs._towers import encoder, text_rows, without_labels
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint, Image

MODEL_TYPES = ("siglip", "siglip_vision_model")

_POSITIONS = "embeddings.position_embedding.weight"
_EPSILON = 1e-6
_IGNORED = (r"(.*\.)?embeddings\.position_ids", "logit_scale", "logit_bias")


def lower_images(checkpoint: Checkpoint) -> Program:
    """The program: of both towers, or of the one for images alone. The vectors are not normalised."""
    config, image = checkpoint.config, image_of(checkpoint)
    without_labels(checkpoint, image)
    size = (image.height, image.width)
    if config["model_type"] == "siglip_vision_model":
        weights = Weights(checkpoint.tensors, anchor=_POSITIONS, ignored=_IGNORED)
        program = Program(0, 0, size)
        _images(program, weights, config, image, "")
    else:
        text = config["text_config"]
        weights = Weights(checkpoint.tensors, anchor=f"vision_model.{_POSITIONS}", ignored=_IGNORED)
        program = Program(positive(text, "vocab_size"), positive(text, "max_position_embeddings"), size)
        _images(program, weights, config["vision_config"], image, "vision_model.")
        _texts(program, weights, text)
    weights.finish()
    return program


def _images(program: Program, weights: Weights, config: Mapping[str, Any], image: Image, at: str) -> None:
    """`at` stands before the names of the weights."""
    refuse_unless(config, vision_use_head=True)
    grid = patch_grid(config, image)
    layers = Transformer.of(program, weights, config, _EPSILON)
    hidden, patch = layers.hidden, side(config, "patch_size")
    trained = side(config, "image_size") // patch
    projection = f"{at}embeddings.patch_embedding"
    weight = weights.take(f"{projection}.weight", hidden, 3, patch, patch)
    x = patches(program, image, weight, weights.take(f"{projection}.bias", hidden), "vision.patches")
    positions = weights.take(f"{at}{_POSITIONS}", trained**2, hidden)
    x = placed(program, x, grid, [], positions, name="vision.embeddings")
    rows = layers.norm(encoder(layers, config, x, at, "vision."), f"{at}post_layernorm", "vision.norm")
    program.outputs |= {"image_embedding": _pooled(layers, config, rows, f"{at}head"), **outputs(program, rows, 0)}


def _pooled(layers: Transformer, config: Mapping[str, Any], rows: int, source: str) -> int:
    """A learned query attends to the patches; then a feed-forward half."""
    program, weights, hidden = layers.program, layers.weights, layers.hidden
    weight = weights.take(f"{source}.attention.in_proj_weight", 3 * hidden, hidden)
    bias = weights.take(f"{source}.attention.in_proj_bias", 3 * hidden)
    probe = weights.take(f"{source}.probe", 1, 1, hidden)[0, 0]
    query = weight[:hidden].astype(np.float64) @ probe + bias[:hidden]
    key_value = program.op(
        "linear", rows, name="vision.head.kv", weight=weight[hidden:].copy(), bias=bias[hidden:].copy()
    )
    x = program.op(
        "attention_pool",
        key_value,
        name="vision.head",
        query=query.astype(np.float32),
        heads=layers.heads,
        scale=1 / math.sqrt(hidden // layers.heads),
    )
    out = f"{source}.attention.out_proj"
    x = layers.linear(x, source=out, name="vision.head.attention_out", n=hidden, k=hidden)
    return layers.feed_forward(
        layers.norm(x, f"{source}.layernorm", "vision.head.ffn_norm"),
        x,
        sources=(f"{source}.mlp.fc1", f"{source}.mlp.fc2"),
        name="vision.head",
        inner=positive(config, "intermediate_size"),
        activation=activation(config),
    )


def _texts(program: Program, weights: Weights, config: Mapping[str, Any]) -> None:
    """Every token attends to all, and the last one is pooled: both go for the padding, too, which a text must have."""
    layers = Transformer.of(program, weights, config, _EPSILON)
    rows = text_rows(layers, config, mask="none")
    pooled = program.op("pool", rows, kind="last")
    columns = positive(config, "projection_size") if config.get("projection_size") else layers.hidden
    sentence = layers.linear(pooled, source="text_model.head", name="text.head", n=columns, k=layers.hidden)
    program.outputs |= {"sentence_embedding": sentence, "token_embeddings": rows}
