"""Jina v2, which transformers has no class for: its BERT, with ALiBi as a mask and gates of torch's layers."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import torch
from transformers import BertConfig, BertModel
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from families.case import VOCABULARY, Array, Case
from families.published import Tensors, published, token_vectors


class _Gated(torch.nn.Module):
    """In the place of BERT's intermediate layer."""

    def __init__(self, columns: int, inner: int, activation: torch.nn.Module) -> None:
        super().__init__()
        self.gated_layers = torch.nn.Linear(columns, 2 * inner, bias=False)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, factor = self.gated_layers(x).chunk(2, dim=-1)
        return self.activation(gate) * factor


_GATES = {"geglu": torch.nn.GELU(), "reglu": torch.nn.ReLU()}


def _with_alibi(heads: int, model: torch.nn.Module, texts: Sequence[list[int]]) -> list[Array]:
    # BLOOM's biases grow along a text from 0 at its start; those of the second token are the slopes.
    slopes = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32).reshape(heads, 2)[:, 1]
    made = []
    for ids in texts:
        places = torch.arange(len(ids))
        mask = -slopes[:, None, None] * (places[:, None] - places).abs()
        made += token_vectors(model, [ids], attention_mask=mask[None])
    return made


def _case(name: str, kind: str, *, heads: int = 4, prefix: str = "", **changes: Any) -> Case:
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "intermediate_size": 80,
        "max_position_embeddings": 96,
        "type_vocab_size": 2,
        **changes,
    }

    def made() -> BertModel:
        model = BertModel(BertConfig(**settings), add_pooling_layer=False)
        for layer in model.encoder.layer if kind in _GATES else ():
            layer.intermediate = _Gated(48, 80, _GATES[kind])
        return model

    def prepare(model: torch.nn.Module) -> None:
        model.embeddings.position_embeddings.weight.data.zero_()

    def rename(weight: str) -> str:
        if kind in _GATES:
            weight = weight.replace("intermediate.gated_layers", "mlp.gated_layers")
            weight = re.sub(r"(layer\.\d)\.output\.dense", r"\1.mlp.wo", weight)
            weight = re.sub(r"(layer\.\d)\.output\.LayerNorm", r"\1.mlp.layernorm", weight)
        return prefix + weight

    def change(tensors: Tensors) -> Tensors:
        return {each: tensor for each, tensor in tensors.items() if "position_embeddings" not in each}

    return published(
        name,
        made,
        {**settings, "model_type": "bert", "position_embedding_type": "alibi", "feed_forward_type": kind},
        prepare=prepare,
        vectors=functools.partial(_with_alibi, heads),
        rename=rename,
        change=change,
        what=" with a mask and gates of torch's layers",
        longest=96,
    )


CASES = (
    _case("geglu", "geglu"),
    _case("reglu, heads that are no power of two", "reglu", heads=6, prefix="bert."),
    _case("plain, three heads", "original", heads=3, hidden_act="relu", type_vocab_size=1),
)
