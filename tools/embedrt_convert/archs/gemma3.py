"""Gemma3's text model, and EmbeddingGemma, whose rows see each other both ways."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from embedrt_convert.archs._config import activation, number, positive, refuse_unless
from embedrt_convert.archs._decoder import FULL, SLIDING, Decoder, layer_types, sliding_window
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._rotary import Rotation, frequencies, rotation, theta
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import IDS, Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("gemma3_text",)

_WORDS = "embed_tokens.weight"
_IGNORED = (r"lm_head\.weight",)


def lower(checkpoint: Checkpoint) -> Encoder:
    config = checkpoint.config
    refuse_unless(config, attn_logit_softcapping=None, rope_scaling=None)
    vocabulary, positions = positive(config, "vocab_size"), positive(config, "max_position_embeddings")
    weights = Weights(checkpoint.tensors, anchor=_WORDS, ignored=_IGNORED)
    program = Program(vocabulary, positions)
    layers = Decoder.of(program, weights, config, shift=1.0)
    both_ways = _both_ways(config)
    pattern = 6 if config.get("sliding_window_pattern") is None else positive(config, "sliding_window_pattern")
    types = layer_types(config, lambda layer: SLIDING if (layer + 1) % pattern else FULL)
    rotations = {kind: _rotation(config, kind, positions, layers.head_dim) for kind in sorted(set(types))}
    windows = {FULL: 0}
    if SLIDING in types:
        # Of a row that sees both ways it is the rows on both sides; of others the earlier ones and the row itself.
        windows[SLIDING] = sliding_window(config) // 2 if both_ways else sliding_window(config) - 1

    table = weights.take(_WORDS, vocabulary, layers.hidden) * np.float32(math.sqrt(layers.hidden))
    x = program.op("lookup", IDS, name="embeddings", table=table)
    for layer, kind in enumerate(types):
        at, name = f"layers.{layer}", f"layer.{layer}"
        y = layers.attention(
            layers.norm(x, f"{at}.input_layernorm", f"{name}.attention_norm"),
            source=f"{at}.self_attn",
            name=name,
            rotation=rotations[kind],
            scale=1 / math.sqrt(number(config, "query_pre_attn_scalar", 256)),
            mask="none" if both_ways else "causal",
            window=windows[kind],
        )
        x = program.op("add", x, layers.norm(y, f"{at}.post_attention_layernorm", f"{name}.attention_out_norm"))
        y = layers.norm(x, f"{at}.pre_feedforward_layernorm", f"{name}.ffn_norm")
        act = activation(config, "hidden_activation", "gelu_pytorch_tanh")
        y = layers.feed_forward(y, source=f"{at}.mlp", name=name, activation=act)
        x = program.op("add", x, layers.norm(y, f"{at}.post_feedforward_layernorm", f"{name}.ffn_out_norm"))
    return Encoder(program, layers.norm(x, "norm", "norm"), layers.hidden, weights)


def _both_ways(config: Mapping[str, Any]) -> bool:
    value = config.get("use_bidirectional_attention")
    if value not in (None, False, True):
        raise ConversionError(f"config.json has use_bidirectional_attention {value!r}; it must be true or false")
    return bool(value)


def _rotation(config: Mapping[str, Any], kind: str, positions: int, columns: int) -> Rotation:
    """Of the layers of that kind: rope_parameters has them by kind, older files have two keys."""
    key, default = {FULL: ("rope_theta", 1_000_000.0), SLIDING: ("rope_local_base_freq", 10_000.0)}[kind]
    stated = config.get("rope_parameters") or {}
    if not isinstance(stated, dict) or not stated.keys() <= {FULL, SLIDING}:
        raise ConversionError(f"config.json must have rope_parameters of {FULL} and {SLIDING}; it has {stated!r}")
    base = theta({"rope_parameters": stated.get(kind), "rope_theta": number(config, key, default)}, default)
    return rotation(frequencies(base, columns), positions, columns, f"rotation.{kind}")
