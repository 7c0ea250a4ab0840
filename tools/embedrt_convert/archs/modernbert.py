"""ModernBERT: gated feed-forward layers, rotary positions, and attention that in most layers sees near tokens alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedrt_convert.archs._config import activation, head_columns, number, positive
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._rotary import Rotation, frequencies, rotation, theta
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import IDS, Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("modernbert",)

_WORDS = "embeddings.tok_embeddings.weight"
# The pretraining head; a classifier's layers begin with the same `head`, but its last would be left over.
_IGNORED = (r"head\.(dense|norm)\.(weight|bias)", r"decoder\.(weight|bias)")
_FULL, _SLIDING = "full_attention", "sliding_attention"
# The key of older configs for a kind of layer's rotations, and transformers' default.
_THETAS = {_FULL: ("global_rope_theta", 160_000.0), _SLIDING: ("local_rope_theta", 10_000.0)}


@dataclass(frozen=True)
class _Layers:
    """Appends layers, each with the biases that config.json says."""

    program: Program
    weights: Weights
    config: Mapping[str, Any]

    def linear(self, x: int, *residual: int, source: str, name: str, n: int, k: int, **options: Any) -> int:
        bias = self.config.get("mlp_bias" if ".mlp." in source else "attention_bias", False)
        weight = self.weights.take(f"{source}.weight", n, k)
        shift = self.weights.take(f"{source}.bias", n) if bias else None
        return self.program.op("linear", x, *residual, name=name, weight=weight, bias=shift, **options)

    def norm(self, x: int, source: str, name: str, *, outside: bool = False) -> int:
        hidden = positive(self.config, "hidden_size")
        weight = self.weights.take(f"{source}.weight", hidden, outside=outside)
        has_bias = self.config.get("norm_bias", False)
        bias = self.weights.take(f"{source}.bias", hidden, outside=outside) if has_bias else None
        epsilon = number(self.config, "norm_eps", 1e-5)
        return self.program.op("norm", x, name=name, weight=weight, bias=bias, epsilon=epsilon)

    def layer(self, x: int, number: int, turned: Rotation, window: int) -> int:
        """`window` is how far a token sees each way, 0 for all."""
        source, name = f"layers.{number}", f"layer.{number}"
        hidden, heads, inner = (
            positive(self.config, key) for key in ("hidden_size", "num_attention_heads", "intermediate_size")
        )
        # The embeddings have been normed just before the first layer.
        y = x if number == 0 else self.norm(x, f"{source}.attn_norm", f"{name}.attention_norm")
        y = self.linear(y, source=f"{source}.attn.Wqkv", name=f"{name}.qkv", n=3 * hidden, k=hidden)
        y = self.program.op("rope", y, cos=turned[0], sin=turned[1], heads=heads)
        scale = 1 / math.sqrt(head_columns(self.config))
        y = self.program.op("attention", y, heads=heads, scale=scale, precision="float32", window=window)
        x = self.linear(y, x, source=f"{source}.attn.Wo", name=f"{name}.attention_out", n=hidden, k=hidden)
        y = self.norm(x, f"{source}.mlp_norm", f"{name}.ffn_norm")
        y = self.linear(y, source=f"{source}.mlp.Wi", name=f"{name}.ffn_in", n=2 * inner, k=hidden)
        y = self.program.op("glu", y, activation=activation(self.config, "hidden_activation"))
        return self.linear(y, x, source=f"{source}.mlp.Wo", name=f"{name}.ffn_out", n=hidden, k=inner)


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    vocabulary, hidden, positions = (
        positive(config, key) for key in ("vocab_size", "hidden_size", "max_position_embeddings")
    )
    weights = Weights(checkpoint.tensors, anchor=_WORDS, ignored=_IGNORED)
    program = Program(vocabulary, positions)
    layers = _Layers(program, weights, config)
    kinds = _layer_kinds(config)
    rotations = {kind: _rotation(config, kind, positions) for kind in _THETAS}
    windows = {_FULL: 0, _SLIDING: positive(config, "local_attention") // 2 if _SLIDING in kinds else 0}
    if _SLIDING in kinds and windows[_SLIDING] == 0:
        raise ConversionError("config.json has local_attention 1: a token would see nothing but itself")

    x = program.op("lookup", IDS, name="embeddings.word", table=weights.take(_WORDS, vocabulary, hidden))
    x = layers.norm(x, "embeddings.norm", "embeddings.norm")
    for number_, kind in enumerate(kinds):
        x = layers.layer(x, number_, rotations[kind], windows[kind])
    return Encoder(program, layers.norm(x, "final_norm", "norm"), hidden, weights)


def _layer_kinds(config: Mapping[str, Any]) -> list[str]:
    count = positive(config, "num_hidden_layers")
    kinds = config.get("layer_types")
    if kinds is None:
        every = positive(config, "global_attn_every_n_layers", 3)
        return [_SLIDING if layer % every else _FULL for layer in range(count)]
    if not isinstance(kinds, list) or len(kinds) != count or any(kind not in _THETAS for kind in kinds):
        raise ConversionError(f"config.json must have layer_types, {count} of {', '.join(_THETAS)}; it has {kinds!r}")
    return kinds


def _rotation(config: Mapping[str, Any], kind: str, positions: int) -> Rotation:
    stated = config.get("rope_parameters") or {}
    if unknown := [key for key in stated if key not in _THETAS]:
        raise ConversionError(f"config.json has rope_parameters for {unknown[0]!r}; known: {', '.join(_THETAS)}")
    key, default = _THETAS[kind]
    base = theta(
        {"rope_parameters": stated.get(kind), "rope_scaling": config.get("rope_scaling")}, number(config, key, default)
    )
    columns = head_columns(config)
    return rotation(frequencies(base, columns), positions, columns, f"rotation.{kind}")


def _head(encoder: Encoder, config: Mapping[str, Any], x: int) -> int:
    hidden = encoder.hidden
    weight = encoder.weights.take("head.dense.weight", hidden, hidden, outside=True)
    bias = encoder.weights.take("head.dense.bias", hidden, outside=True) if config.get("classifier_bias") else None
    act = activation(config, "classifier_activation")
    x = encoder.program.op("linear", x, name="head.dense", weight=weight, bias=bias, activation=act)
    return _Layers(encoder.program, encoder.weights, config).norm(x, "head.norm", "head.norm", outside=True)


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of ModernBertForSequenceClassification. Raises ConversionError."""
    kinds = {"cls": "first", "mean": "mean"}
    kind = config.get("classifier_pooling", "cls")
    if kind not in kinds:
        raise ConversionError(f"config.json has classifier_pooling {kind!r}; known: {', '.join(kinds)}")
    x = _head(encoder, config, encoder.program.op("pool", encoder.rows, kind=kinds[kind]))
    weight = encoder.weights.take("classifier.weight", labels, encoder.hidden, outside=True)
    bias = encoder.weights.take("classifier.bias", labels, outside=True)
    return encoder.program.op("linear", x, name="classifier", weight=weight, bias=bias)


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of ModernBertForMaskedLM. Raises ConversionError."""
    vocabulary, tied = positive(config, "vocab_size"), config.get("tie_word_embeddings", True)
    weight = encoder.weights.take(_WORDS if tied else "decoder.weight", vocabulary, encoder.hidden, outside=not tied)
    has_bias = config.get("decoder_bias", True)
    bias = encoder.weights.take("decoder.bias", vocabulary, outside=True) if has_bias else None
    x = _head(encoder, config, encoder.rows)
    return encoder.program.op("linear", x, name="decoder", weight=weight, bias=bias)
