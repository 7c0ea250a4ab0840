"""What a model file says of pictures, and the pictures that its conversion looks at."""

from __future__ import annotations

import pathlib
from typing import Any

from embedrt._extras import extra
from embedrt._image_config import parse_image_config
from embedrt_convert.inputs.checkpoint import Image
from embedrt_convert.pictures import Pictures, from_folder, generated
from embedrt_convert.writer import encode_json


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
    with extra("image"):
        from embedrt._image import is_image_name, prepare
    config = parse_image_config(encode_json(section(image)), size, None if image.labels is None else len(image.labels))
    paths = sorted(str(path) for path in pathlib.Path(folder).rglob("*") if is_image_name(path.name))
    return from_folder(str(folder), paths, size, lambda path: prepare(path, config))
