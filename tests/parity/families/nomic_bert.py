"""Nomic BERT: as published, with every choice of its config that is supported, and as transformers saves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from transformers import (
    GlmConfig,
    JinaEmbeddingsV3Config,
    JinaEmbeddingsV3Model,
    NomicBertConfig,
    NomicBertForMaskedLM,
    NomicBertModel,
)
from transformers.models.glm import modeling_glm
from transformers.models.gpt_neox import modeling_gpt_neox
from transformers.models.nomic_bert import modeling_nomic_bert

from families.case import VOCABULARY, Array, Case, of_transformers
from families.published import published

SETTINGS = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 256,
    "max_position_embeddings": 64,
}
_PUBLISHED = {
    "model_type": "nomic_bert",
    "vocab_size": VOCABULARY,
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 3,
    "n_inner": 256,
    "n_positions": 64,
    "max_position_embeddings": 64,
    "layer_norm_epsilon": 1e-12,
    "activation_function": "swiglu",
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "max_trained_positions": 2048,
    "prenorm": False,
    "causal": False,
    "use_rms_norm": None,
    "qkv_proj_bias": False,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "type_vocab_size": 2,
    "pad_vocab_size_multiple": 1,
    "num_experts": 0,
    "moe_every_n_layers": -1,
}


def _made(**changes: Any) -> Callable[[], torch.nn.Module]:
    return lambda: NomicBertModel(NomicBertConfig(**{**SETTINGS, **changes}))


def _turning(name: str, turn: Any, fraction: float, interleaved: bool) -> Case:
    """With another rotation of transformers', in which the first `fraction` of each head's columns turn."""
    settings = {"rope_theta": 1000.0, "rope_type": "default", "partial_rotary_factor": fraction}

    def prepare(model: torch.nn.Module) -> None:
        config = GlmConfig(hidden_size=48, num_attention_heads=3, head_dim=16, rope_parameters=settings)
        model.rotary_emb = modeling_glm.GlmRotaryEmbedding(config)

    config = {**_PUBLISHED, "rotary_emb_fraction": fraction, "rotary_emb_interleaved": interleaved}
    peer = f" turning as {turn.__module__.rpartition('.')[2].removeprefix('modeling_')}"
    case = published(name, _made(), config, prepare=prepare, what=peer)

    def reference(folder: Path, texts: Sequence[list[int]]) -> list[Array]:
        with mock.patch.object(modeling_nomic_bert, "apply_rotary_pos_emb", turn):
            return case.reference(folder, texts)

    return replace(case, reference=reference)


def _native_names() -> Case:
    case = of_transformers("transformers' names", _made(), NomicBertModel)

    def save(folder: Path) -> None:
        case.save(folder)
        NomicBertModel.from_pretrained(folder).save_pretrained(folder, save_original_format=False)

    return replace(case, save=save)


def _with_biases() -> JinaEmbeddingsV3Model:
    # The same encoder with biases everywhere and a plain feed-forward layer.
    settings = {**SETTINGS, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0}
    config = JinaEmbeddingsV3Config(**settings, rope_parameters={"rope_theta": 1000.0})
    return JinaEmbeddingsV3Model(config, add_pooling_layer=False)


_BIASES = dict.fromkeys(("qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"), True)

CASES = (
    published("published", _made(), _PUBLISHED),
    published(
        "published, of limited length",
        _made(),
        {**_PUBLISHED, "n_positions": 8192, "max_trained_positions": 64, "rotary_scaling_factor": 2},
    ),
    published(
        "geglu, padded vocabulary",
        _made(hidden_act="gelu", vocab_size=192),
        {**_PUBLISHED, "activation_function": "geglu", "pad_vocab_size_multiple": 64},
    ),
    published("glu", _made(hidden_act="sigmoid"), {**_PUBLISHED, "activation_function": "glu"}),
    published(
        "plain, with biases",
        _with_biases,
        {**_PUBLISHED, "activation_function": "gelu", **_BIASES},
        rename=lambda name: name.replace("mixer", "attn"),
    ),
    _turning("neighbours turn", modeling_glm.apply_rotary_pos_emb, 1.0, True),
    _turning("neighbours in half of a head turn", modeling_glm.apply_rotary_pos_emb, 0.5, True),
    _turning("half of a head turns", modeling_gpt_neox.apply_rotary_pos_emb, 0.5, False),
    of_transformers("transformers' config", _made(rope_parameters={"rope_theta": 70.0}), NomicBertModel),
    _native_names(),
    of_transformers(
        "under a masked language model", lambda: NomicBertForMaskedLM(NomicBertConfig(**SETTINGS)), NomicBertModel
    ),
)
