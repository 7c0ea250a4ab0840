"""BERT: word, position and type embeddings, then layers of attention and feed-forward, each followed by its norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._config import activation, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import WORDS, embeddings, layer, logits_of_first
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._vocabulary import VocabularyHead, scores
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("bert",)

# The pooler and the pretraining heads: sentence vectors are pooled from the last layer.
_IGNORED = (r"pooler\.dense\.(weight|bias)", r"embeddings\.(position|token_type)_ids", r"cls\..*")


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(
        config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False, pruned_heads={}
    )
    weights = Weights(checkpoint.tensors, anchor=WORDS, ignored=_IGNORED)
    program = Program(positive(config, "vocab_size"), positive(config, "max_position_embeddings"))
    layers = Transformer.of(program, weights, config, 1e-12)
    x = embeddings(layers, config, typed=checkpoint.typed)
    inner, act = positive(config, "intermediate_size"), activation(config)
    for number in range(positive(config, "num_hidden_layers")):
        x = layer(layers, x, f"encoder.layer.{number}", f"layer.{number}", inner=inner, activation=act)
    return Encoder(program, x, layers.hidden, weights)


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of BertForSequenceClassification. Raises ConversionError."""
    return logits_of_first(encoder, labels, "pooler.dense", "classifier", "tanh", pooler=True)


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of BertForMaskedLM. Raises ConversionError."""
    dense, norm = "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"
    head = VocabularyHead(dense, activation(config), norm, "cls.predictions.decoder", "cls.predictions.bias")
    return scores(encoder, config, head)
