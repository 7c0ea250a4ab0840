"""The encoder of T5, mT5 and UMT5, alone or beside its decoder: no positions, but how far a key is from the query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from embedrt_convert.archs._bias import bucketed, shared
from embedrt_convert.archs._config import activation, number, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._transformer import Array, Transformer
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import IDS, Program, Tensor
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("t5", "mt5", "umt5")

_NORM = "encoder.final_layer_norm"
_WORDS, _EMBEDDINGS = "shared.weight", "encoder.embed_tokens.weight"
# UMT5's layers have tables of their own; the others' share that of the first.
_EVERY_LAYER = ("umt5",)
_FEED_FORWARDS = {"t5": "relu", "mt5": "gated-gelu", "umt5": "gated-gelu"}


def lower(checkpoint: Checkpoint) -> Encoder:
    """A text may be as long as the checkpoint's tokenizer makes them. Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(config, is_decoder=False)
    assert checkpoint.text is not None
    weights = Weights(checkpoint.tensors, anchor=f"{_NORM}.weight", ignored=(r"(decoder|lm_head)\..*",))
    program = Program(positive(config, "vocab_size"), checkpoint.text.max_tokens)
    epsilon = number(config, "layer_norm_epsilon", 1e-6)
    hidden, heads = positive(config, "d_model"), positive(config, "num_heads")
    layers = Transformer(program, weights, hidden, heads, epsilon, rms=True)
    x = program.op("lookup", IDS, name="embeddings.word", table=_words(layers))
    for block in range(positive(config, "num_layers")):
        if block == 0 or config["model_type"] in _EVERY_LAYER:
            distances = _distances(layers, config, block)
        x = _attention(layers, config, x, block, distances)
        x = _feed_forward(layers, config, x, block)
    return Encoder(program, layers.norm(x, _NORM, "norm"), hidden, weights)


def _words(layers: Transformer) -> Array:
    """The one table of words, which checkpoints hold under either name or both."""
    weights, shape = layers.weights, (layers.program.vocabulary, layers.hidden)
    table = weights.take(_WORDS, *shape, older=_EMBEDDINGS)
    if weights.has(_EMBEDDINGS) and not np.array_equal(table, weights.take(_EMBEDDINGS, *shape)):
        raise ConversionError(f"{_WORDS} and {_EMBEDDINGS} are not the same: the model has one table of words")
    return table


def _distances(layers: Transformer, config: Mapping[str, Any], block: int) -> Tensor:
    buckets = positive(config, "relative_attention_num_buckets", 32)
    farthest = positive(config, "relative_attention_max_distance", 128)
    if buckets % 4 or buckets < 4 or farthest <= buckets // 4:
        raise ConversionError(f"config.json has {buckets} relative_attention_num_buckets for distances to {farthest}")
    source = f"encoder.block.{block}.layer.0.SelfAttention.relative_attention_bias.weight"
    table = layers.weights.take(source, buckets, layers.heads)
    return shared(f"layer.{block}.distances", bucketed(table, layers.program.max_tokens, farthest))


def _attention(layers: Transformer, config: Mapping[str, Any], x: int, block: int, distances: Tensor) -> int:
    """Scores are not scaled, and heads may have any number of columns."""
    source, name = f"encoder.block.{block}.layer.0", f"layer.{block}"
    columns = layers.heads * positive(config, "d_kv")
    parts = [f"{source}.SelfAttention.{part}" for part in "qkv"]
    y = layers.norm(x, f"{source}.layer_norm", f"{name}.attention_norm")
    y = layers.stacked(y, sources=parts, name=f"{name}.qkv", n=columns, biases=(False,) * 3)
    y = layers.program.op("attention", y, heads=layers.heads, scale=1.0, precision="float32", bias=distances)
    out, n = f"{source}.SelfAttention.o", layers.hidden
    return layers.linear(y, x, source=out, name=f"{name}.attention_out", n=n, k=columns, bias=False)


def _feed_forward(layers: Transformer, config: Mapping[str, Any], x: int, block: int) -> int:
    source, name, inner = f"encoder.block.{block}.layer.1", f"layer.{block}", positive(config, "d_ff")
    kind = str(config.get("feed_forward_proj", _FEED_FORWARDS[config["model_type"]]))
    # The name that "gated-gelu" goes by is older than the exact function.
    act = "gelu_new" if kind == "gated-gelu" else kind.removeprefix("gated-")
    act = activation({"feed_forward_proj": act}, "feed_forward_proj")
    wi, wo = f"{source}.DenseReluDense.wi", f"{source}.DenseReluDense.wo"
    y = layers.norm(x, f"{source}.layer_norm", f"{name}.ffn_norm")
    if not kind.startswith("gated-"):
        return layers.feed_forward(y, x, sources=(wi, wo), name=name, inner=inner, activation=act, bias=False)
    y = layers.stacked(y, sources=(f"{wi}_0", f"{wi}_1"), name=f"{name}.ffn_in", n=inner, biases=(False, False))
    y = layers.program.op("glu", y, activation=act)
    return layers.linear(y, x, source=wo, name=f"{name}.ffn_out", n=layers.hidden, k=inner, bias=False)
