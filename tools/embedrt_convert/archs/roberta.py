"""RoBERTa, and what has its layers: XLM-RoBERTa, CamemBERT, data2vec. BERT whose positions begin after padding's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._config import activation, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import IGNORED, WORDS, embeddings, layer, logits_of_first
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._vocabulary import VocabularyHead, scores
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("roberta", "xlm-roberta", "camembert", "data2vec-text")


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    padding, positions = config.get("pad_token_id", 1), positive(config, "max_position_embeddings")
    if type(padding) is not int or not 0 <= padding < positions - 1:
        raise ConversionError(f"config.json has pad_token_id {padding!r}; positions begin after that of padding")
    weights = Weights(checkpoint.tensors, anchor=WORDS, ignored=IGNORED)
    program = Program(positive(config, "vocab_size"), positions - padding - 1)
    layers = Transformer.of(program, weights, config, 1e-12)
    x = embeddings(layers, config, first=padding + 1, typed=checkpoint.typed)
    inner, act = positive(config, "intermediate_size"), activation(config)
    for number in range(positive(config, "num_hidden_layers")):
        x = layer(layers, x, f"encoder.layer.{number}", f"layer.{number}", inner=inner, activation=act)
    return Encoder(program, x, layers.hidden, weights)


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of RobertaForSequenceClassification. Raises ConversionError."""
    return logits_of_first(encoder, labels, "classifier.dense", "classifier.out_proj", "tanh")


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of RobertaForMaskedLM. Raises ConversionError."""
    dense, norm = "lm_head.dense", "lm_head.layer_norm"
    return scores(encoder, config, VocabularyHead(dense, "gelu", norm, "lm_head.decoder", "lm_head.bias"))
