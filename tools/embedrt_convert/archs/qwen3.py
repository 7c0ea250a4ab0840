"""Qwen3 as an encoder (Qwen3-Embedding): rows see those before them, and the last one is usually the text's vector."""

from __future__ import annotations

import math

from embedrt_convert.archs._config import activation, positive, refuse_unless
from embedrt_convert.archs._decoder import FULL, SLIDING, Decoder, layer_types, sliding_window
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._rotary import frequencies, rotation, theta
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import IDS, Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("qwen3",)

_WORDS = "embed_tokens.weight"
_IGNORED = (r"lm_head\.weight", r"rotary_emb\.inv_freq")


def lower(checkpoint: Checkpoint) -> Encoder:
    config = checkpoint.config
    refuse_unless(config, is_causal=True, use_bidirectional_attention=False)
    vocabulary, positions = positive(config, "vocab_size"), positive(config, "max_position_embeddings")
    weights = Weights(checkpoint.tensors, anchor=_WORDS, ignored=_IGNORED)
    program = Program(vocabulary, positions)
    layers = Decoder.of(program, weights, config)
    turns = rotation(frequencies(theta(config, 10_000.0), layers.head_dim), positions, layers.head_dim)

    sliding, first = bool(config.get("use_sliding_window")), config.get("max_window_layers", 28)
    types = layer_types(config, lambda layer: SLIDING if sliding and layer >= first else FULL)
    if SLIDING in types and not sliding:
        raise ConversionError(f"config.json has layer_types with {SLIDING}, and use_sliding_window false")
    windows = {FULL: 0, SLIDING: sliding_window(config) - 1 if SLIDING in types else 0}  # itself counts

    x = program.op("lookup", IDS, name="embeddings", table=weights.take(_WORDS, vocabulary, layers.hidden))
    for layer, kind in enumerate(types):
        at, name = f"layers.{layer}", f"layer.{layer}"
        y = layers.norm(x, f"{at}.input_layernorm", f"{name}.attention_norm")
        x = layers.attention(
            y,
            x,
            source=f"{at}.self_attn",
            name=name,
            rotation=turns,
            scale=1 / math.sqrt(layers.head_dim),
            mask="causal",
            window=windows[kind],
        )
        y = layers.norm(x, f"{at}.post_attention_layernorm", f"{name}.ffn_norm")
        x = layers.feed_forward(y, x, source=f"{at}.mlp", name=name, activation=activation(config, default="silu"))
    return Encoder(program, layers.norm(x, "norm", "norm"), layers.hidden, weights)
