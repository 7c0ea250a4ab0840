"""Images as rows: a patch each, after the rows of the tokens that stand for the whole image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.archs._config import refuse_unless, side
from embedrt_convert.archs._conv import conv
from embedrt_convert.archs._positions import resized
from embedrt_convert.builder import PIXELS, Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint, Image

Array = NDArray[np.float32]


def image_of(checkpoint: Checkpoint) -> Image:
    """What the checkpoint says about its pixels, which a family of images needs. Raises ConversionError."""
    if checkpoint.image is None:
        raise ConversionError(f"model_type {checkpoint.config['model_type']} takes images, and none are described")
    return checkpoint.image


def patch_grid(config: Mapping[str, Any], image: Image) -> tuple[int, int]:
    """(lines, columns) of patches; pixels that do not fill one are left out. Raises ConversionError."""
    refuse_unless(config, num_channels=3)
    patch = side(config, "patch_size")
    if min(image.height, image.width) < patch:
        raise ConversionError(f"an image of {image.height} x {image.width} has no patch of {patch} x {patch} pixels")
    return image.height // patch, image.width // patch


def patches(program: Program, image: Image, weight: Array, bias: Array | None, name: str = "patches") -> int:
    """A row for each patch: a linear layer of its pixels, [columns, 3, side, side]."""
    return conv(program, PIXELS, name=name, weight=weight, bias=bias, stride=weight.shape[2], image=image)


def placed(
    program: Program,
    x: int,
    grid: tuple[int, int],
    tokens: list[Array],
    positions: Array,
    *,
    registers: Array | None = None,
    antialias: bool = False,
    name: str = "embeddings",
) -> int:
    """The tokens' rows, then the patches', each with its position, [tokens + patches trained on, columns].

    The patches' positions are interpolated to the grid. `registers` [n, columns] follow the tokens, without positions.
    """
    count = len(tokens)
    patch_positions = resized(positions[count:], *grid, antialias=antialias)
    rows = [token.reshape(1, -1) + position for token, position in zip(tokens, positions[:count], strict=True)]
    if registers is not None:
        rows.append(registers)
    prefix = np.concatenate(rows) if rows else None
    return program.op("place", x, name=name, prefix=prefix, position=patch_positions)


def outputs(program: Program, rows: int, prefix: int) -> dict[str, int]:
    """The outputs that every grid of patches has: their mean, and all rows, of which the first `prefix` are tokens'."""
    return {"patch_mean": program.op("pool", rows, kind="mean", skip=prefix), "patch_embeddings": rows}
