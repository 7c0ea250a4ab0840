"""What a model file says about itself, and what a call to `encode` did: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embedrt._image_config import ImageConfig
from embedrt._text_config import TextConfig


@dataclass(frozen=True)
class ModelInfo:
    """`Model.info`: the file's own account of itself, and how it runs here."""

    about: Mapping[str, Any]
    report: Mapping[str, Any]
    text: TextConfig
    image: ImageConfig | None
    dim: int
    vocabulary: int
    fingerprint: str
    threads: int
    isa: str
    format_version: int
    numerics_revision: int


@dataclass(frozen=True)
class EncodeInfo:
    """What one call of `encode(..., return_info=True)` did.

    Attributes:
        texts: how many texts were encoded.
        tokens: how many tokens ran through the model, special tokens and those that texts were filled up with included.
        truncated_texts: the indices of the texts that were cut to the limit.
        truncated_tokens: how many tokens were cut off. Exact for texts of up to 65,536 characters; of a longer one only
            the beginning is tokenised, so it counts fewer than there were.
        windows: with on_long="window", how many windows each text over the limit was run in, by its index.
        late_texts: with on_long="late", the indices of the texts that ran whole though over `Model.max_tokens`.
    """

    texts: int
    tokens: int
    truncated_texts: tuple[int, ...]
    truncated_tokens: int
    windows: Mapping[int, int] = field(default_factory=dict)
    late_texts: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImageInfo:
    """What one call of `encode_image(..., return_info=True)` did.

    Attributes:
        images: how many images were encoded.
        failed: the index of each image that could not be used, and why.
    """

    images: int
    failed: Mapping[int, str]
