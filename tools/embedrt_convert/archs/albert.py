"""ALBERT: BERT whose layers share their weights, after embeddings that may be narrower."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._config import activation, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import IGNORED, WORDS, Names, embeddings, layer, logits_of_first
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._vocabulary import VocabularyHead, scores
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("albert",)

_NAMES = Names(
    ("attention.query", "attention.key", "attention.value", "attention.dense"),
    "attention.LayerNorm",
    ("ffn", "ffn_output"),
    "full_layer_layer_norm",
)
_HEADS = (r"(predictions|sop_classifier)\..*",)


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    weights = Weights(checkpoint.tensors, anchor=WORDS, ignored=(*IGNORED, *_HEADS))
    program = Program(positive(config, "vocab_size"), positive(config, "max_position_embeddings"))
    layers = Transformer.of(program, weights, config, 1e-12)
    width = positive(config, "embedding_size")
    x = embeddings(dataclasses.replace(layers, hidden=width), config, typed=checkpoint.typed)
    source = "encoder.embedding_hidden_mapping_in"
    x = layers.linear(x, source=source, name="embeddings.project", n=layers.hidden, k=width)
    count, groups = positive(config, "num_hidden_layers"), positive(config, "num_hidden_groups", 1)
    last, length = -1, 0
    for number in range(count):
        group = int(number / (count / groups))
        if group == last:
            x = _again(program, length)
        else:
            before, last = x, group
            x = _group(layers, config, x, group)
            length = x - before
    return Encoder(program, x, layers.hidden, weights)


def _again(program: Program, count: int) -> int:
    """The last `count` instructions once more, on what they made, with the same tensors: the file holds them once."""
    for instruction in program.instructions[-count:]:
        inputs = tuple(value + count for value in instruction.inputs)
        program.instructions.append(dataclasses.replace(instruction, inputs=inputs))
    return len(program.instructions)


def _group(layers: Transformer, config: Mapping[str, Any], x: int, group: int) -> int:
    for number in range(positive(config, "inner_group_num", 1)):
        x = layer(
            layers,
            x,
            f"encoder.albert_layer_groups.{group}.albert_layers.{number}",
            f"group.{group}.{number}",
            names=_NAMES,
            inner=positive(config, "intermediate_size"),
            activation=activation(config),
        )
    return x


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of AlbertForSequenceClassification. Raises ConversionError."""
    return logits_of_first(encoder, labels, "pooler", "classifier", "tanh", pooler=True)


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of AlbertForMaskedLM. Raises ConversionError."""
    dense, norm, decoder = (f"predictions.{part}" for part in ("dense", "LayerNorm", "decoder"))
    return scores(encoder, config, VocabularyHead(dense, activation(config), norm, decoder, "predictions.bias"))
