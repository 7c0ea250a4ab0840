"""Types of arguments of `Model.encode` and `Model.encode_image`, for type checkers only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from embedrt._image_config import ImageOutput

OneImage: TypeAlias = "str | os.PathLike[str] | bytes | Image | NDArray[np.uint8]"
Images: TypeAlias = "OneImage | Iterable[OneImage | Any]"


class EncodeOptions(TypedDict, total=False):
    """Of `encode`, those that do not change the type of its result."""

    prompt_name: str | None
    prompt: str | None
    normalize_embeddings: bool | None
    truncate_dim: int | None
    max_tokens: int | None
    show_progress_bar: bool | None
    batch_size: int | None
    convert_to_numpy: bool | None
    on_long: Literal["truncate", "error"]


class ImageOptions(TypedDict, total=False):
    """Of `encode_image`, those that do not change the type of its result."""

    output_value: ImageOutput
    normalize_embeddings: bool | None
    truncate_dim: int | None
    show_progress_bar: bool | None
    batch_size: int | None
    convert_to_numpy: bool | None
    on_error: Literal["raise", "skip"]
