"""Tiny random checkpoints of the families that text generators gave."""

from __future__ import annotations

from typing import Any

import numpy as np

from embedrt_convert.inputs.checkpoint import Checkpoint, Pooling

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD, INNER, WORDS = 2, 12, 4, 2, 6, 20, 30
QUERIES, KEYS = HEADS * HEAD, KV_HEADS * HEAD
NORMS = {
    "qwen3": ("input_layernorm", "post_attention_layernorm"),
    "gemma3_text": (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
}


def checkpoint(model_type: str, **changes: Any) -> Checkpoint:
    """Of two layers whose heads share keys and values; `model_type` is one of NORMS."""
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens": (WORDS, HIDDEN), "norm": (HIDDEN,)}
    for layer in range(LAYERS):
        at = f"layers.{layer}"
        shapes |= {f"{at}.{norm}": (HIDDEN,) for norm in NORMS[model_type]}
        shapes |= {f"{at}.self_attn.{part}_norm": (HEAD,) for part in "qk"}
        for part, shape in {
            "self_attn.q_proj": (QUERIES, HIDDEN),
            "self_attn.k_proj": (KEYS, HIDDEN),
            "self_attn.v_proj": (KEYS, HIDDEN),
            "self_attn.o_proj": (HIDDEN, QUERIES),
            "mlp.gate_proj": (INNER, HIDDEN),
            "mlp.up_proj": (INNER, HIDDEN),
            "mlp.down_proj": (HIDDEN, INNER),
        }.items():
            shapes[f"{at}.{part}"] = shape
    rng = np.random.default_rng(0)
    tensors = {f"{name}.weight": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    config = {
        "model_type": model_type,
        "vocab_size": WORDS,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "max_position_embeddings": 40,
        "sliding_window": 8,
        **changes,
    }
    return Checkpoint(config, tensors, None, (Pooling("last"),), "mit")
