"""GTE 1.5 and multilingual, Snowflake Arctic Embed m 2.0: rotary positions, gated feed-forward layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from embedrt_convert.archs._config import activation, head_columns, number, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import IGNORED, WORDS, logits_of_first
from embedrt_convert.archs._rotary import Array, frequencies, rotation, theta
from embedrt_convert.archs._rotary_encoder import Biases, Names, Part, RotaryEncoder, named, split
from embedrt_convert.archs._vocabulary import VocabularyHead, scores
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("new", "gte")

_THETAS = {"new": 10_000.0, "gte": 160_000.0}  # where config.json has none
_TABLES = r"(embeddings\.)?rotary_emb\.(inv_freq|cos_cached|sin_cached)"

_PUBLISHED = Names(
    layers="encoder.layer",
    norm="embeddings.LayerNorm",
    qkv=split("attention.qkv_proj", 3),
    attention_out="attention.o_proj",
    attention_norm="attn_ln",
    # The first half of the rows is the factor, the second goes through the activation.
    ffn_in=split("mlp.up_gate_proj", 2)[::-1],
    ffn_out="mlp.down_proj",
    ffn_norm="mlp_ln",
)
_UNPACKED = tuple(Part(f"attention.{part}_proj") for part in "qkv")


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(config, position_embedding_type="rope", logn_attention_scale=False)
    norms = {"layer_norm": "layer", "rms_norm": "rms"}
    norm = config.get("layer_norm_type", "layer_norm")
    if norm not in norms:
        raise ConversionError(f"config.json has layer_norm_type {norm!r}; known: {', '.join(norms)}")
    weights = Weights(checkpoint.tensors, anchor=WORDS, ignored=(*IGNORED, _TABLES))
    columns, positions = head_columns(config), positive(config, "max_position_embeddings")
    published = _PUBLISHED if config.get("pack_qkv", True) else replace(_PUBLISHED, qkv=_UNPACKED)
    return RotaryEncoder(
        program=Program(positive(config, "vocab_size"), positions),
        weights=weights,
        names=named(weights, published),
        biases=Biases(True, True, False, True),
        hidden=positive(config, "hidden_size"),
        heads=positive(config, "num_attention_heads"),
        inner=positive(config, "intermediate_size"),
        activation=activation(config),
        epsilon=number(config, "layer_norm_eps", 1e-12),
        rotation=rotation(_turns(config, columns), positions, columns),
        norm=norms[norm],
    ).encoder(positive(config, "num_hidden_layers"), int(number(config, "type_vocab_size", 1)), checkpoint.typed)


def _turns(config: Mapping[str, Any], columns: int) -> Array:
    scaling, default = config.get("rope_scaling") or {}, _THETAS[config["model_type"]]
    if scaling.get("type", scaling.get("rope_type")) != "ntk":
        return frequencies(theta(config, default), columns)
    if scaling.get("mixed_b") is not None:
        raise ConversionError(f"config.json has rope_scaling with mixed_b {scaling['mixed_b']!r}: not supported")
    # As if the angles were written in another base: the lowest frequency is that of texts `factor` times as long.
    factor = number(scaling, "factor", 1.0)
    turns = frequencies(number(config, "rope_theta", default) * factor, columns)
    slower: Array = turns / np.float32(factor ** (2 / columns))
    return slower


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of NewForSequenceClassification and GteForSequenceClassification.

    Raises ConversionError.
    """
    return logits_of_first(encoder, labels, "pooler.dense", "classifier", "tanh", pooler=True)


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of NewForMaskedLM and GteForMaskedLM. Raises ConversionError."""
    refuse_unless(config, hidden_act="gelu")  # the two differ in whether another one would count
    norm = "lm_head.norm" if encoder.weights.has("lm_head.norm.weight", outside=True) else "lm_head.layer_norm"
    return scores(encoder, config, VocabularyHead("lm_head.dense", "gelu", norm, "lm_head.decoder", "lm_head.bias"))
