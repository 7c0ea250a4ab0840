"""ELECTRA: BERT whose embeddings may be narrower than its layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._config import activation, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import IGNORED, WORDS, embeddings, layer, logits_of_first
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._vocabulary import VocabularyHead, scores
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("electra",)

_HEADS = (r"(discriminator_predictions|generator_predictions|generator_lm_head)\..*",)


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    weights = Weights(checkpoint.tensors, anchor=WORDS, ignored=(*IGNORED, *_HEADS))
    program = Program(positive(config, "vocab_size"), positive(config, "max_position_embeddings"))
    layers = Transformer.of(program, weights, config, 1e-12)
    width = positive(config, "embedding_size")
    x = embeddings(dataclasses.replace(layers, hidden=width), config, typed=checkpoint.typed)
    if width != layers.hidden:
        x = layers.linear(x, source="embeddings_project", name="embeddings.project", n=layers.hidden, k=width)
    inner, act = positive(config, "intermediate_size"), activation(config)
    for number in range(positive(config, "num_hidden_layers")):
        x = layer(layers, x, f"encoder.layer.{number}", f"layer.{number}", inner=inner, activation=act)
    return Encoder(program, x, layers.hidden, weights)


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of ElectraForSequenceClassification. Raises ConversionError."""
    return logits_of_first(encoder, labels, "classifier.dense", "classifier.out_proj", "gelu")


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of ElectraForMaskedLM, the generator. Raises ConversionError."""
    dense, norm = "generator_predictions.dense", "generator_predictions.LayerNorm"
    return scores(encoder, config, VocabularyHead(dense, "gelu", norm, "generator_lm_head", "generator_lm_head.bias"))
