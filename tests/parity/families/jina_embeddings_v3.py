"""Jina v3: as published, without an adapter and with one merged, and as transformers saves it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import JinaEmbeddingsV3Config, JinaEmbeddingsV3ForMaskedLM, JinaEmbeddingsV3Model

from families.case import VOCABULARY, Array, Case, of_transformers
from families.published import Tensors, published, token_vectors

TASKS = ("retrieval.query", "retrieval.passage", "separation", "classification", "text-matching")
_RANK, _ALPHA = 3, 6.0
_WEIGHTS = "model.safetensors"
SETTINGS = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 80,
    "max_position_embeddings": 66,
    "pad_token_id": 1,
}
_PUBLISHED = {
    **SETTINGS,
    "model_type": "xlm-roberta",
    "architectures": ["XLMRobertaModel"],
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "position_embedding_type": "rotary",
    "rotary_emb_base": 20000.0,
    "type_vocab_size": 1,
    "emb_pooler": "mean",
    "lora_adaptations": list(TASKS),
    "lora_rank": _RANK,
    "lora_alpha": _ALPHA,
    "lora_dropout_p": 0.0,
    "lora_main_params_trainable": False,
    "task_instructions": {task: f"{task}: " for task in TASKS},
}


def _made(kind: type = JinaEmbeddingsV3Model, **changes: Any) -> Callable[[], torch.nn.Module]:
    return lambda: kind(JinaEmbeddingsV3Config(**{**SETTINGS, **changes}))


def _adapted(name: str, task: str | None) -> Case:
    """Published with an adapter of every weight but norms' and biases, saved as torch saves parametrisations."""
    plain = published(name, _made(), _PUBLISHED)

    def save(folder: Path) -> None:
        plain.save(folder)
        rng = np.random.default_rng(0)
        made: Tensors = {}
        for weight, tensor in load_file(folder / _WEIGHTS).items():
            if tensor.ndim == 1:
                made[f"roberta.{weight}"] = tensor
                continue
            at = f"roberta.{weight.removesuffix('weight')}parametrizations.weight"
            n, k = tensor.shape
            # A table's rows are what a linear layer's columns are: inputs.
            sides = ((n, _RANK), (_RANK, k)) if "embeddings" in weight else ((_RANK, k), (n, _RANK))
            made[f"{at}.original"] = tensor
            for letter, side in zip("AB", sides, strict=True):
                made[f"{at}.0.lora_{letter}"] = rng.normal(0, 0.2, (len(TASKS), *side)).astype(np.float32)
        save_file(made, folder / _WEIGHTS)

    def reference(folder: Path, texts: Sequence[list[int]]) -> list[Array]:
        tensors = {each.removeprefix("roberta."): tensor for each, tensor in load_file(folder / _WEIGHTS).items()}
        merged = {each: tensor for each, tensor in tensors.items() if "parametrizations" not in each}
        for each, tensor in tensors.items():
            layer, is_original, _ = each.partition(".parametrizations.weight.original")
            if is_original and task is None:
                merged[f"{layer}.weight"] = tensor
            elif is_original:
                a, b = (tensors[f"{layer}.parametrizations.weight.0.lora_{letter}"] for letter in "AB")
                chosen = TASKS.index(task)
                product = a[chosen] @ b[chosen] if "embeddings" in layer else b[chosen] @ a[chosen]
                merged[f"{layer}.weight"] = tensor + product * np.float32(_ALPHA / _RANK)
        with tempfile.TemporaryDirectory() as made:
            save_file(merged, Path(made) / _WEIGHTS)
            JinaEmbeddingsV3Config(**SETTINGS).save_pretrained(made)
            model = JinaEmbeddingsV3Model.from_pretrained(made, attn_implementation="eager").eval()
        return token_vectors(model, texts)

    return Case(name, save, reference, "transformers JinaEmbeddingsV3Model", task=task, longest=66)


def _native_names() -> Case:
    case = of_transformers("transformers' names", _made(type_vocab_size=2), JinaEmbeddingsV3Model)

    def save(folder: Path) -> None:
        case.save(folder)
        JinaEmbeddingsV3Model.from_pretrained(folder).save_pretrained(folder, save_original_format=False)

    return replace(case, save=save)


CASES = (
    _adapted("published", None),
    _adapted("published, for queries", TASKS[0]),
    _adapted("published, for matching", TASKS[-1]),
    of_transformers("transformers' config", _made(rope_parameters={"rope_theta": 40.0}), JinaEmbeddingsV3Model),
    _native_names(),
    of_transformers(
        "under a masked language model",
        _made(JinaEmbeddingsV3ForMaskedLM, hidden_act="gelu_new"),
        JinaEmbeddingsV3Model,
    ),
)
