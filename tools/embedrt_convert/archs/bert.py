"""BERT: word, position and type embeddings, then layers of attention and feed-forward, each followed by its norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from embedrt_convert.archs._config import activation, head_columns, number, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import IDS, Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("bert",)

_WORDS = "embeddings.word_embeddings.weight"
# The pooler and the pretraining heads: sentence vectors are pooled from the last layer.
_IGNORED = (r"pooler\.dense\.(weight|bias)", r"embeddings\.(position|token_type)_ids", r"cls\..*")


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(
        config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False, pruned_heads={}
    )
    vocabulary, hidden, positions, types = (
        positive(config, key) for key in ("vocab_size", "hidden_size", "max_position_embeddings", "type_vocab_size")
    )
    weights = Weights(checkpoint.tensors, anchor=_WORDS, ignored=_IGNORED)
    program = Program(vocabulary, positions)

    # Every token has type 0: that row of the type table goes into the position table.
    table = weights.take("embeddings.position_embeddings.weight", positions, hidden)
    table = table + weights.take("embeddings.token_type_embeddings.weight", types, hidden)[0]
    words = program.op("lookup", IDS, name="embeddings.word", table=weights.take(_WORDS, vocabulary, hidden))
    where = program.op("lookup", IDS, name="embeddings.position", table=table, index="position")
    x = _norm(program, weights, config, program.op("add", words, where), "embeddings.LayerNorm", "embeddings.norm")
    for layer in range(positive(config, "num_hidden_layers")):
        x = _layer(program, weights, config, x, f"encoder.layer.{layer}", f"layer.{layer}")
    return Encoder(program, x, hidden, weights)


def _layer(program: Program, weights: Weights, config: Mapping[str, Any], x: int, source: str, name: str) -> int:
    hidden, heads, inner = (
        positive(config, key) for key in ("hidden_size", "num_attention_heads", "intermediate_size")
    )
    attention = f"{source}.attention"

    def linear(x: int, at: str, name: str, n: int, k: int, *residual: int, activation: str = "none") -> int:
        weight, bias = weights.take(f"{at}.weight", n, k), weights.take(f"{at}.bias", n)
        return program.op("linear", x, *residual, name=name, weight=weight, bias=bias, activation=activation)

    parts = [f"{attention}.self.{part}" for part in ("query", "key", "value")]
    qkv = program.op(
        "linear",
        x,
        name=f"{name}.qkv",
        weight=np.concatenate([weights.take(f"{part}.weight", hidden, hidden) for part in parts]),
        bias=np.concatenate([weights.take(f"{part}.bias", hidden) for part in parts]),
    )
    mixed = program.op("attention", qkv, heads=heads, scale=1 / math.sqrt(head_columns(config)), precision="float32")
    y = linear(mixed, f"{attention}.output.dense", f"{name}.attention_out", hidden, hidden, x)
    x = _norm(program, weights, config, y, f"{attention}.output.LayerNorm", f"{name}.attention_norm")
    act = activation(config)
    y = linear(x, f"{source}.intermediate.dense", f"{name}.ffn_in", inner, hidden, activation=act)
    y = linear(y, f"{source}.output.dense", f"{name}.ffn_out", hidden, inner, x)
    return _norm(program, weights, config, y, f"{source}.output.LayerNorm", f"{name}.ffn_norm")


def _norm(program: Program, weights: Weights, config: Mapping[str, Any], x: int, source: str, name: str) -> int:
    hidden = positive(config, "hidden_size")
    # TensorFlow's names live on in the oldest checkpoints.
    weight = weights.take(f"{source}.weight", hidden, older=f"{source}.gamma")
    bias = weights.take(f"{source}.bias", hidden, older=f"{source}.beta")
    epsilon = number(config, "layer_norm_eps", 1e-12)
    return program.op("norm", x, name=name, weight=weight, bias=bias, epsilon=epsilon)
