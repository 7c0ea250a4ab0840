"""Types of arguments of the methods of `Model`, for type checkers only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image

from embedrt._chunkers import Pooling
from embedrt._encode import OnLong
from embedrt._image_config import ImageOutput

OneImage: TypeAlias = "str | os.PathLike[str] | bytes | Image | NDArray[np.uint8]"
Images: TypeAlias = "OneImage | Iterable[OneImage | Any]"


class TextOptions(TypedDict, total=False):
    """Of all that take texts."""

    prompt_name: str | None
    prompt: str | None
    max_tokens: int | None
    show_progress_bar: bool | None


class EncodeOptions(TextOptions, total=False):
    """Of `encode`, those that do not change the type of its result."""

    normalize_embeddings: bool | None
    truncate_dim: int | None
    ranges: ArrayLike | None
    batch_size: int | None
    convert_to_numpy: bool | None
    on_long: OnLong


class TokenOptions(TextOptions, total=False):
    """Of `encode_tokens`."""

    on_long: Literal["truncate", "error", "late"]


class SegmentOptions(TextOptions, total=False):
    """Of `encode_segments`."""

    pooling: Pooling
    on_long: OnLong
    normalize_embeddings: bool | None
    truncate_dim: int | None


class ImageOptions(TypedDict, total=False):
    """Of `encode_image`, those that do not change the type of its result."""

    output_value: ImageOutput
    normalize_embeddings: bool | None
    truncate_dim: int | None
    show_progress_bar: bool | None
    batch_size: int | None
    convert_to_numpy: bool | None
    on_error: Literal["raise", "skip"]
