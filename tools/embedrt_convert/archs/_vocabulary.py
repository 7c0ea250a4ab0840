"""The heads of masked language models: how well each word of the vocabulary would do in each token's place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedrt_convert.archs._config import number, positive
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import WORDS
from embedrt_convert.archs._transformer import Array
from embedrt_convert.errors import ConversionError


@dataclass(frozen=True)
class VocabularyHead:
    """What the head's parts are called: a linear layer with an activation, a norm, and the table of words.

    The words' biases are the table's, or stand in the checkpoint under the name `bias`, or both.
    """

    dense: str
    activation: str
    norm: str
    decoder: str
    bias: str


def scores(encoder: Encoder, config: Mapping[str, Any], head: VocabularyHead) -> int:
    """[rows, vocabulary]. Raises ConversionError."""
    program, weights = encoder.program, encoder.weights
    columns = weights.shape(WORDS)[-1]
    weight = weights.take(f"{head.dense}.weight", columns, encoder.hidden, outside=True)
    bias = weights.take(f"{head.dense}.bias", columns, outside=True)
    x = program.op("linear", encoder.rows, name="head.dense", weight=weight, bias=bias, activation=head.activation)
    # TensorFlow's names live on in the oldest checkpoints.
    weight = weights.take(f"{head.norm}.weight", columns, older=f"{head.norm}.gamma", outside=True)
    bias = weights.take(f"{head.norm}.bias", columns, older=f"{head.norm}.beta", outside=True)
    epsilon = number(config, "layer_norm_eps", 1e-12)
    x = program.op("norm", x, name="head.norm", weight=weight, bias=bias, epsilon=epsilon)
    weight, bias = _words(encoder, config, head, columns)
    return program.op("linear", x, name="head.vocabulary", weight=weight, bias=bias)


def _words(encoder: Encoder, config: Mapping[str, Any], head: VocabularyHead, columns: int) -> tuple[Array, Array]:
    """The table and its biases: what the embeddings and `bias` hold too, unless config.json unties them."""
    weights, vocabulary = encoder.weights, positive(config, "vocab_size")
    own, shift = f"{head.decoder}.weight", f"{head.decoder}.bias"
    bias = weights.take(shift, vocabulary, older=head.bias, outside=True)
    if not config.get("tie_word_embeddings", True):
        return weights.take(own, vocabulary, columns, outside=True), bias
    table = weights.take(WORDS, vocabulary, columns)
    for name, tied in ((own, table), (head.bias, bias)):
        if weights.has(name, outside=True) and not np.array_equal(weights.take(name, *tied.shape, outside=True), tied):
            raise ConversionError(f"{name} differs from what it is tied to; tie_word_embeddings false would untie it")
    return table, bias
