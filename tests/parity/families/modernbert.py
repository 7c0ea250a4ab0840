"""ModernBERT: windows narrower than the longest text, both ways to write rotations, biases, and a head on top."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from transformers import ModernBertConfig, ModernBertForMaskedLM, ModernBertModel

from families.case import VOCABULARY, Case, of_transformers

LAYERS = 5


SETTINGS = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 72,
    "max_position_embeddings": 96,
    "local_attention": 16,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0),
}


def _case(name: str, kind: type = ModernBertModel, **changes: object) -> Case:
    settings = {**SETTINGS, **changes}
    return of_transformers(name, lambda: kind(ModernBertConfig(**settings)), ModernBertModel, longest=96)


def _older(case: Case) -> Case:
    """The same with the keys of the published checkpoints instead of those that transformers writes now."""

    def save(folder: Path) -> None:
        case.save(folder)
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        del config["layer_types"], config["rope_parameters"]
        config |= {"global_attn_every_n_layers": 2, "global_rope_theta": 3000.0, "local_rope_theta": 50.0}
        path.write_text(json.dumps(config), encoding="utf-8")

    return replace(case, save=save)


_ROTATIONS = {"full_attention": {"rope_theta": 700.0}, "sliding_attention": {"rope_theta": 20.0}}
_KINDS = ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"]

CASES = (
    _case("plain"),
    _older(_case("older keys")),
    _case(
        "with biases, under a masked language model",
        ModernBertForMaskedLM,
        norm_bias=True,
        attention_bias=True,
        mlp_bias=True,
        classifier_bias=True,
        hidden_activation="gelu_new",
        local_attention=9,
        layer_types=_KINDS,
        rope_parameters=_ROTATIONS,
    ),
    _case("every layer sees all", layer_types=["full_attention"] * LAYERS),
)
