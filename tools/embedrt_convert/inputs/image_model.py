"""What a folder says about a model of images beside its weights: its towers, its processor, what its outputs mean."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Image
from embedrt_convert.inputs.image_processor import read_image
from embedrt_convert.inputs.weights import Tensors
from embedrt_convert.sources.files import Files

_CLIP = {"projection_dim": 512, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_CLIP_TEXT = {
    **_CLIP,
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
}
_BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_CLIP_VISION = {**_CLIP, **_BASE, "num_channels": 3, "image_size": 224, "patch_size": 32}
_SIGLIP = {**_BASE, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
_SIGLIP_TEXT = {**_SIGLIP, "vocab_size": 32000, "max_position_embeddings": 64}
_SIGLIP_VISION = {**_SIGLIP, "num_channels": 3, "image_size": 224, "patch_size": 16, "vision_use_head": True}
# A config.json of two towers leaves out what its library has as a default.
_TOWERS: dict[str, dict[str, Any]] = {
    "clip": {"projection_dim": 512, "text_config": _CLIP_TEXT, "vision_config": _CLIP_VISION},
    "clip_vision_model": _CLIP_VISION,
    "siglip": {"text_config": _SIGLIP_TEXT, "vision_config": _SIGLIP_VISION},
    "siglip_vision_model": _SIGLIP_VISION,
}


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with the defaults that it leaves out. Raises ConversionError for a tower that is not an object."""
    made = {**config}
    for key, default in _TOWERS.get(config["model_type"], {}).items():
        if not isinstance(default, dict):
            made.setdefault(key, default)
            continue
        tower = {**default, **_object(config, key)}
        # CLIP's oldest files have a second object, which goes before the first, its own defaults included.
        if config["model_type"] == "clip" and config.get(f"{key}_dict") is not None:
            tower |= {**default, **_object(config, f"{key}_dict")}
        made[key] = tower
    return made


def _object(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise ConversionError(f"config.json must have {key} as an object; it has {value!r}")
    return value


def read(
    files: Files, config: Mapping[str, Any], tensors: Tensors, image_size: tuple[int, int] | None, classifier: bool
) -> tuple[Image, tuple[str, ...]]:
    """The pixels that the model takes, what its outputs mean, and remarks for the user. Raises ConversionError."""
    image, notes = read_image(files, config["model_type"], image_size)
    if classifier:
        image = dataclasses.replace(image, labels=read_labels(config))
    if "text_config" in config:
        bias = _scalar(tensors, "logit_bias") if "logit_bias" in tensors else None
        image = dataclasses.replace(image, logit_scale=math.exp(_scalar(tensors, "logit_scale")), logit_bias=bias)
    if config["model_type"] in ("vit", "deit") and not any(name.endswith("pooler.dense.weight") for name in tensors):
        notes = (*notes, "the checkpoint has no pooler: image_embedding is the class token after the last norm")
    return image, notes


def read_labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes in their order; a config.json without them has as many as it says, else two."""
    count = config.get("num_labels", 2)
    stated = config.get("id2label") or {str(number): f"LABEL_{number}" for number in range(count)}
    names = [stated.get(str(number)) for number in range(len(stated))]
    if not all(isinstance(name, str) for name in names):
        raise ConversionError("config.json must have id2label with a name for each class, from 0 on")
    return tuple(map(str, names))


def _scalar(tensors: Tensors, name: str) -> float:
    if name not in tensors or tensors[name].size != 1:
        raise ConversionError(f"the checkpoint must have {name}, one number")
    return float(tensors[name].reshape(()))
