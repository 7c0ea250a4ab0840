"""What an application does before a peer's session: decode, resize, crop, normalise; with Pillow and NumPy."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Steps:
    """From files to pixels as `section`, the model file's section `image`, says."""

    def __init__(self, section: dict[str, Any], threads: int) -> None:
        self._resize = section["resize"]
        self._crop = section["crop"]
        self._resample = Image.Resampling[section["resample"].upper()]
        # Pillow lets other threads run while it decodes and resizes.
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def pixels(self, files: Sequence[bytes]) -> NDArray[np.uint8]:
        """Encoded pictures → uint8 [n, height, width, 3]."""
        each = self._pool.map(self._one, files) if self._pool and len(files) > 1 else map(self._one, files)
        return np.stack(list(each))

    def _one(self, file: bytes) -> NDArray[np.uint8]:
        picture = Image.open(io.BytesIO(file)).convert("RGB")
        size = self._size(*picture.size)
        if size != picture.size:
            picture = picture.resize(size, self._resample)
        if self._crop is not None:
            left = (picture.width - self._crop["width"]) // 2
            top = (picture.height - self._crop["height"]) // 2
            picture = picture.crop((left, top, left + self._crop["width"], top + self._crop["height"]))
        return np.asarray(picture)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing."""
        if self._resize is None:
            return width, height
        if self._resize["mode"] == "fixed":
            return self._resize["width"], self._resize["height"]
        short, long = min(width, height), max(width, height)
        other = int(self._resize["size"] * long / short)
        return (self._resize["size"], other) if width < height else (other, self._resize["size"])


class Normalisation:
    """What becomes of a byte, for each of R, G, B: scale · byte + offset."""

    def __init__(self, scale: Sequence[float], offset: Sequence[float]) -> None:
        self._scale = np.array(scale, np.float32)[:, None, None]
        self._offset = np.array(offset, np.float32)[:, None, None]

    def of(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [n, height, width, 3] → float32 [n, 3, height, width]."""
        count, height, width, _ = pixels.shape
        out = np.empty((count, 3, height, width), np.float32)
        np.multiply(pixels.transpose(0, 3, 1, 2), self._scale, out=out)
        out += self._offset
        return out
