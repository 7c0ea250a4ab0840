"""MPNet: BERT's layers, in which a key's distance from the query counts too, in the same way in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._bias import bucketed, shared
from embedrt_convert.archs._config import activation, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import IGNORED, WORDS, Names, embeddings, layer, logits_of_first
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._vocabulary import VocabularyHead, scores
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("mpnet",)

_NAMES = Names(
    ("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"),
    "attention.LayerNorm",
    ("intermediate.dense", "output.dense"),
    "output.LayerNorm",
)
# Not in config.json: they are the same for all checkpoints.
_FIRST, _BUCKETS, _FARTHEST = 2, 32, 128


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(config, relative_attention_num_buckets=_BUCKETS, is_decoder=False)
    tokens = positive(config, "max_position_embeddings") - _FIRST
    if tokens < 1:
        raise ConversionError(f"config.json has max_position_embeddings {tokens + _FIRST}; the first {_FIRST} are none")
    weights = Weights(checkpoint.tensors, anchor=WORDS, ignored=IGNORED)
    program = Program(positive(config, "vocab_size"), tokens)
    layers = Transformer.of(program, weights, config, 1e-12)
    buckets = weights.take("encoder.relative_attention_bias.weight", _BUCKETS, layers.heads)
    distances = shared("distances", bucketed(buckets, tokens, _FARTHEST))
    x = embeddings(layers, config, first=_FIRST, types=False)
    for number in range(positive(config, "num_hidden_layers")):
        x = layer(
            layers,
            x,
            f"encoder.layer.{number}",
            f"layer.{number}",
            names=_NAMES,
            inner=positive(config, "intermediate_size"),
            activation=activation(config),
            distances=distances,
        )
    return Encoder(program, x, layers.hidden, weights)


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of MPNetForSequenceClassification. Raises ConversionError."""
    return logits_of_first(encoder, labels, "classifier.dense", "classifier.out_proj", "tanh")


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of MPNetForMaskedLM. Raises ConversionError."""
    dense, norm = "lm_head.dense", "lm_head.layer_norm"
    return scores(encoder, config, VocabularyHead(dense, "gelu", norm, "lm_head.decoder", "lm_head.bias"))
