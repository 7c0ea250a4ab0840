"""GTE: as published ("new"), with every choice of its config that is supported, and as transformers saves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import GteConfig, GteForMaskedLM, GteModel

from families.case import VOCABULARY, of_transformers
from families.published import Tensors, published

SETTINGS = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
}
_PUBLISHED = {
    **SETTINGS,
    "model_type": "new",
    "architectures": ["NewModel"],
    "hidden_act": "gelu",
    "layer_norm_type": "layer_norm",
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "rope",
    "rope_theta": 500000,
    "rope_scaling": None,
    "pack_qkv": True,
    "logn_attention_scale": False,
    "logn_attention_clip1": False,
    "type_vocab_size": 1,
    "unpad_inputs": False,
}


def _made(kind: type = GteModel, theta: float = 500000.0, **changes: Any) -> Callable[[], torch.nn.Module]:
    settings = {**SETTINGS, "pad_token_id": 0, "rope_parameters": {"rope_theta": theta}, **changes}
    return lambda: kind(GteConfig(**settings))


def _slower(factor: float) -> Callable[[torch.nn.Module], None]:
    """Angles as if positions were digits in a base that is stretched to texts `factor` times as long."""

    def prepare(model: torch.nn.Module) -> None:
        pairs = len(model.rotary_emb.inv_freq)
        stretched = (500000.0 * factor) ** (-np.arange(pairs) / pairs) * factor ** (-1 / pairs)
        model.rotary_emb.inv_freq = torch.tensor(stretched, dtype=torch.float32)

    return prepare


def _unpacked(tensors: Tensors) -> Tensors:
    made = {}
    for name, tensor in tensors.items():
        parts = zip("qkv", np.split(tensor, 3), strict=True) if "qkv_proj" in name else [("qkv", tensor)]
        made |= {name.replace("qkv_proj", f"{letter}_proj"): part.copy() for letter, part in parts}
    return made


def _rms(model: torch.nn.Module) -> None:
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.LayerNorm):
                norm = torch.nn.RMSNorm(child.normalized_shape, eps=child.eps)
                norm.weight = child.weight
                setattr(module, name, norm)


def _without_norm_biases(tensors: Tensors) -> Tensors:
    return {name: each for name, each in tensors.items() if not name.endswith(("LayerNorm.bias", "_ln.bias"))}


def _with_token_weights(tensors: Tensors) -> Tensors:
    head = {"classifier.weight": np.ones((1, 48), np.float32), "classifier.bias": np.ones(1, np.float32)}
    return {**{f"new.{name}": tensor for name, tensor in tensors.items()}, **head}


CASES = (
    published("published", _made(), _PUBLISHED),
    published(
        "published, longer by a factor",
        _made(),
        {**_PUBLISHED, "rope_scaling": {"type": "ntk", "factor": 2.0}},
        prepare=_slower(2.0),
        what=" with frequencies in float64",
    ),
    published(
        "apart, without types",
        _made(type_vocab_size=0),
        {**_PUBLISHED, "pack_qkv": False, "type_vocab_size": 0},
        change=_unpacked,
    ),
    published(
        "rms norms",
        _made(),
        {**_PUBLISHED, "layer_norm_type": "rms_norm"},
        prepare=_rms,
        change=_without_norm_biases,
        what=" with RMSNorm of torch",
    ),
    published(
        "beside token weights",
        _made(),
        {**_PUBLISHED, "architectures": ["NewForTokenClassification"]},
        change=_with_token_weights,
    ),
    published(
        "published for another code",
        _made(theta=160000.0),
        {**_PUBLISHED, "model_type": "gte", "rope_theta": 160000},
    ),
    of_transformers("transformers' config", _made(theta=90.0, type_vocab_size=2, hidden_act="silu"), GteModel),
    of_transformers("under a masked language model", _made(GteForMaskedLM), GteModel),
)
