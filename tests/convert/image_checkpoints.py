"""Tiny random vision transformers: folders as transformers writes them, without PyTorch."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
from checkpoints import Tensors, write_json
from safetensors.numpy import save_file

HIDDEN, HEADS, INNER, LAYERS, IMAGE, PATCH = 24, 3, 37, 2, 40, 8
PROCESSOR = {"image_processor_type": "ViTImageProcessor", "size": {"height": IMAGE, "width": IMAGE}}


def vit_config(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "vit",
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INNER,
        "image_size": IMAGE,
        "patch_size": PATCH,
        "num_channels": 3,
        "hidden_act": "gelu",
        **changes,
    }


def vit_tensors(seed: int = 0, prefix: str = "", pooler: bool = True) -> Tensors:
    """Weights for `vit_config()`, by the names of transformers."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, HIDDEN),
        "embeddings.position_embeddings": (1, 1 + (IMAGE // PATCH) ** 2, HIDDEN),
        "embeddings.patch_embeddings.projection.weight": (HIDDEN, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.projection.bias": (HIDDEN,),
        **linear("layernorm", HIDDEN),
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            shapes |= linear(f"{at}attention.attention.{name}", HIDDEN, HIDDEN)
        shapes |= linear(f"{at}attention.output.dense", HIDDEN, HIDDEN)
        shapes |= linear(f"{at}intermediate.dense", INNER, HIDDEN)
        shapes |= linear(f"{at}output.dense", HIDDEN, INNER)
        shapes |= {**linear(f"{at}layernorm_before", HIDDEN), **linear(f"{at}layernorm_after", HIDDEN)}
    if pooler:
        shapes |= linear("pooler.dense", HIDDEN, HIDDEN)
    return {prefix + name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def linear(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a linear layer [n, k], or of a norm [n]."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def write_vit(
    folder: pathlib.Path, *, tensors: Tensors | None = None, processor: dict[str, Any] | None = None, **config: Any
) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", vit_config(**config))
    write_json(folder / "preprocessor_config.json", PROCESSOR if processor is None else processor)
    save_file(vit_tensors() if tensors is None else tensors, folder / "model.safetensors")
    return folder
