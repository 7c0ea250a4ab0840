"""DistilBERT: BERT without types, by names of its own in config.json and among the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._config import activation, head_columns, positive
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import IGNORED, WORDS, Names, embeddings, layer, logits_of_first
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._vocabulary import VocabularyHead, scores
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("distilbert",)

_NAMES = Names(
    ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
    "sa_layer_norm",
    ("ffn.lin1", "ffn.lin2"),
    "output_layer_norm",
)
_HEADS = (r"vocab_(transform|layer_norm|projector)\..*", r"pre_classifier\..*")


def lower(checkpoint: Checkpoint) -> Encoder:
    """Sinusoidal positions are in the checkpoint like learned ones. Raises ConversionError."""
    config = checkpoint.config
    weights = Weights(checkpoint.tensors, anchor=WORDS, ignored=(*IGNORED, *_HEADS))
    program = Program(positive(config, "vocab_size"), positive(config, "max_position_embeddings"))
    heads = positive(config, "n_heads")
    layers = Transformer(program, weights, head_columns(config, "dim", "n_heads") * heads, heads, 1e-12)
    x = embeddings(layers, config, types=False)
    inner, act = positive(config, "hidden_dim"), activation(config, "activation")
    for number in range(positive(config, "n_layers")):
        source, name = f"transformer.layer.{number}", f"layer.{number}"
        x = layer(layers, x, source, name, names=_NAMES, inner=inner, activation=act)
    return Encoder(program, x, layers.hidden, weights)


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of DistilBertForSequenceClassification. Raises ConversionError."""
    return logits_of_first(encoder, labels, "pre_classifier", "classifier", "relu")


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of DistilBertForMaskedLM. Raises ConversionError."""
    dense, act, norm = "vocab_transform", activation(config, "activation"), "vocab_layer_norm"
    return scores(encoder, config, VocabularyHead(dense, act, norm, "vocab_projector", "vocab_projector.bias"))
