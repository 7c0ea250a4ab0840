"""What CLIP and SigLIP share: the layers of both towers, and the beginning of the one for texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._config import activation, positive
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.builder import IDS
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint, Image


def without_labels(checkpoint: Checkpoint, image: Image) -> None:
    """Raises ConversionError when a classifier is asked for."""
    if image.labels is not None:
        raise ConversionError(
            f"a classifier of model_type {checkpoint.config['model_type']} is not supported: convert it without one"
        )


def text_rows(layers: Transformer, config: Mapping[str, Any], mask: str) -> int:
    """The rows of a text after the last norm."""
    program, weights, hidden = layers.program, layers.weights, layers.hidden
    vocabulary, positions = positive(config, "vocab_size"), positive(config, "max_position_embeddings")
    at = "text_model.embeddings"
    words = weights.take(f"{at}.token_embedding.weight", vocabulary, hidden)
    places = weights.take(f"{at}.position_embedding.weight", positions, hidden)
    word = program.op("lookup", IDS, name="text.word", table=words)
    place = program.op("lookup", IDS, name="text.position", table=places, index="position")
    x = encoder(layers, config, program.op("add", word, place), "text_model.", "text.", mask)
    return layers.norm(x, "text_model.final_layer_norm", "text.norm")


def encoder(layers: Transformer, config: Mapping[str, Any], x: int, at: str, name: str, mask: str = "none") -> int:
    """All layers of a tower. `at` and `name` stand before their weights' names in the checkpoint and in the program."""
    for layer in range(positive(config, "num_hidden_layers")):
        source, made = f"{at}encoder.layers.{layer}", f"{name}layer.{layer}"
        q, k, v, out = (f"{source}.self_attn.{part}" for part in ("q_proj", "k_proj", "v_proj", "out_proj"))
        y = layers.norm(x, f"{source}.layer_norm1", f"{made}.attention_norm")
        x = layers.attention(y, x, sources=(q, k, v, out), name=made, mask=mask)
        x = layers.feed_forward(
            layers.norm(x, f"{source}.layer_norm2", f"{made}.ffn_norm"),
            x,
            sources=(f"{source}.mlp.fc1", f"{source}.mlp.fc2"),
            name=made,
            inner=positive(config, "intermediate_size"),
            activation=activation(config),
        )
    return x
