"""Checkpoints as their makers publish them, for code of their own, beside what transformers computes from the same."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from families.case import Array, Case, randomise, save_tokenizer

Tensors = dict[str, np.ndarray]


def token_vectors(model: torch.nn.Module, texts: Sequence[list[int]], **inputs: Any) -> list[Array]:
    """float32 [tokens, hidden] of each text, computed alone: padding has no part in it."""
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids]), **inputs).last_hidden_state[0].numpy() for ids in texts]


def published(
    name: str,
    made: Callable[[], torch.nn.Module],
    config: Mapping[str, Any],
    *,
    prepare: Callable[[torch.nn.Module], None] = lambda model: None,
    vectors: Callable[[torch.nn.Module, Sequence[list[int]]], list[Array]] = token_vectors,
    rename: Callable[[str], str] = lambda name: name,
    change: Callable[[Tensors], Tensors] = lambda tensors: tensors,
    what: str = "",
    **fields: Any,
) -> Case:
    """The case of a model of transformers under another `config` and, with `rename` and `change`, other weights' names.

    `prepare` changes the model that is compared with, `vectors` runs it; `what` says how.
    """

    def build() -> torch.nn.Module:
        torch.manual_seed(zlib.crc32(f"{config['model_type']} {name}".encode()))  # no two cases are the same
        model = made().eval()
        randomise(model)
        model.set_attn_implementation("eager")
        return model

    def save(folder: Path) -> None:
        build().save_pretrained(folder)
        tensors = load_file(folder / "model.safetensors")
        save_file(change({rename(name): tensor for name, tensor in tensors.items()}), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        save_tokenizer(folder)

    def reference(folder: Path, texts: Sequence[list[int]]) -> list[Array]:
        model = build()
        prepare(model)
        return vectors(model, texts)

    return Case(name, save, reference, f"transformers {type(made()).__name__}{what}", **fields)
