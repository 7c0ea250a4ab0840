"""What a model file says of pictures, and the pictures that its conversion looks at."""

from __future__ import annotations

import pathlib
from typing import Any

from embedrt_convert.inputs.checkpoint import Image
from embedrt_convert.pictures import Pictures, from_folder, generated


def section(image: Image) -> dict[str, Any]:
    """The `image` section (docs/format.md)."""
    return {
        "resize": None if image.resize is None else dict(image.resize),
        "resample": image.resample,
        "crop": None if image.crop is None else dict(image.crop),
        "height": image.height,
        "width": image.width,
        "labels": None if image.labels is None else list(image.labels),
        "similarity": image.similarity,
        "logit_scale": image.logit_scale,
        "logit_bias": image.logit_bias,
    }


def pictures(image: Image, folder: str | pathlib.Path | None) -> Pictures:
    """Those of a folder, prepared as the runtime will prepare them, or generated ones. Raises ConversionError."""
    size = (image.height, image.width)
    if folder is None:
        return generated(size)
    from embedrt._image import prepare
    from embedrt._image_config import parse_image_config

    from embedrt_convert.writer import encode_json

    config = parse_image_config(encode_json(section(image)), size, None if image.labels is None else len(image.labels))
    return from_folder(folder, size, lambda path: prepare(path, config))
