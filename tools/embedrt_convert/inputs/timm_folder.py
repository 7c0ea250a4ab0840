"""Reads a folder of timm's, as it is on the hub, or as transformers' TimmWrapper saves it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import architectures
from embedrt_convert.inputs.architectures import Preset
from embedrt_convert.inputs.checkpoint import Checkpoint
from embedrt_convert.inputs.weights import read_weights
from embedrt_convert.sources.files import Files


def is_timm(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == "timm_wrapper" or ("model_type" not in config and "architecture" in config)


def read(
    files: Files, config: Mapping[str, Any], licence: str, image_size: tuple[int, int] | None, classifier: bool
) -> Checkpoint:
    """The checkpoint of a folder with timm's config.json; `image_size` is (height, width) of other pixels than its own.

    Raises ConversionError when the architecture is not known, or the config changes it.
    """
    made = architectures.find(f"timm:{config.get('architecture')}")
    if config.get("model_args") or config.get("global_pool", "avg") not in ("avg", ""):
        raise ConversionError(
            f"config.json has model_args {config.get('model_args')!r} and global_pool {config.get('global_pool')!r}; "
            "only the architecture as timm has it, with global_pool 'avg', is supported"
        )
    image = read_preset(config).image(image_size)
    if classifier and config.get("label_names") is not None:
        image = dataclasses.replace(image, labels=tuple(map(str, config["label_names"])))
    return Checkpoint(
        config=made.config,
        tensors=read_weights(files),
        text=None,
        modules=(),
        licence=licence,
        notes=(architectures.EMBEDDING,),
        image=image,
        classifier=classifier,
    )


def read_preset(config: Mapping[str, Any]) -> Preset:
    """How the pictures of a timm config.json are prepared. Raises ConversionError."""
    stated = config.get("pretrained_cfg", config)
    try:
        channels, height, width = stated["input_size"]
        mean, deviation = (tuple(map(float, stated[key])) for key in ("mean", "std"))
        crop, resample = float(stated["crop_pct"]), stated["interpolation"]
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(
            f"config.json must have pretrained_cfg with input_size, mean, std, crop_pct and interpolation: {error!r}"
        ) from None
    mode = stated.get("crop_mode", "center")
    if (channels, height) != (3, width) or mode not in ("center", "squash") or resample not in ("bilinear", "bicubic"):
        raise ConversionError(
            f"config.json has input_size {stated['input_size']}, crop_mode {mode!r} and interpolation {resample!r}; "
            "squares of three channels, 'center' or 'squash', and 'bilinear' or 'bicubic' are supported"
        )
    if len(mean) != 3 or len(deviation) != 3 or not 0 < crop <= 1 or min(deviation) <= 0:
        raise ConversionError(
            f"config.json has mean {mean}, std {deviation} and crop_pct {crop}, which is not possible"
        )
    preset = architectures.timm_preset(height, crop, resample, (mean, deviation))
    return dataclasses.replace(preset, squash=mode == "squash")
