"""CLIP: a ViT for images and a causal transformer for texts, each projected into one space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._config import positive, side
from embedrt_convert.archs._patches import image_of, outputs, patch_grid, patches, placed
from embedrt_convert.archs._towers import encoder, text_rows, without_labels
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint, Image

MODEL_TYPES = ("clip", "clip_vision_model")

_TOKEN = "embeddings.class_embedding"
_EPSILON = 1e-5
_IGNORED = (r"(.*\.)?embeddings\.position_ids", "logit_scale")


def lower_images(checkpoint: Checkpoint) -> Program:
    """The program: of both towers, or of the one for images alone.

    image_embedding and sentence_embedding are the projected vectors, not normalised. Without a projection
    image_embedding is the reference's pooled output, which is class_token: the class token's row after a norm of its
    own, which the patches do not have.
    """
    config, image = checkpoint.config, image_of(checkpoint)
    without_labels(checkpoint, image)
    size = (image.height, image.width)
    if config["model_type"] == "clip_vision_model":
        weights = Weights(checkpoint.tensors, anchor=_TOKEN, ignored=_IGNORED)
        program = Program(0, 0, size)
        columns = positive(config, "projection_dim") if weights.has("visual_projection.weight", outside=True) else None
        _images(program, weights, config, image, "", columns)
    else:
        text, columns = config["text_config"], positive(config, "projection_dim")
        weights = Weights(checkpoint.tensors, anchor=f"vision_model.{_TOKEN}", ignored=_IGNORED)
        program = Program(positive(text, "vocab_size"), positive(text, "max_position_embeddings"), size)
        _images(program, weights, config["vision_config"], image, "vision_model.", columns)
        _texts(program, weights, text, columns)
    weights.finish()
    return program


def _images(
    program: Program, weights: Weights, config: Mapping[str, Any], image: Image, at: str, columns: int | None
) -> None:
    """`at` stands before the names of the weights, but for that of the projection to `columns`."""
    grid = patch_grid(config, image)
    layers = Transformer.of(program, weights, config, _EPSILON)
    hidden, patch = layers.hidden, side(config, "patch_size")
    trained = side(config, "image_size") // patch
    weight = weights.take(f"{at}embeddings.patch_embedding.weight", hidden, 3, patch, patch)
    x = patches(program, image, weight, None, "vision.patches")
    token = weights.take(f"{at}{_TOKEN}", hidden)
    positions = weights.take(f"{at}embeddings.position_embedding.weight", 1 + trained**2, hidden)
    x = placed(program, x, grid, [token], positions, name="vision.embeddings")
    x = layers.norm(x, f"{at}pre_layrnorm", "vision.first_norm")
    rows = encoder(layers, config, x, at, "vision.")
    token_row = program.op("pool", rows, kind="first")
    pooled = layers.norm(token_row, f"{at}post_layernorm", "vision.norm")
    projected = pooled
    if columns is not None:
        weight = weights.take("visual_projection.weight", columns, hidden, outside=True)
        projected = program.op("linear", pooled, name="vision.projection", weight=weight)
    program.outputs |= {"image_embedding": projected, "class_token": pooled, **outputs(program, rows, 1)}


def _texts(program: Program, weights: Weights, config: Mapping[str, Any], columns: int) -> None:
    """The last token of a text is its end, which the reference pools at."""
    layers = Transformer.of(program, weights, config, _EPSILON)
    rows = text_rows(layers, config, mask="causal")
    pooled = program.op("pool", rows, kind="last")
    weight = weights.take("text_projection.weight", columns, layers.hidden)
    sentence = program.op("linear", pooled, name="text.projection", weight=weight)
    program.outputs |= {"sentence_embedding": sentence, "token_embeddings": rows}
