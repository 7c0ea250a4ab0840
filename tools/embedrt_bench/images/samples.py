"""The pictures that benchmarks run on: those of a folder, or made-up ones where there is none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_bench.engines import model_cache
from embedrt_bench.errors import BenchError
from embedrt_bench.images.steps import Normalisation, Steps

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
# Made-up ones: as many as that, of a size that photographs on the web often have.
_PATTERNS = 48
_HEIGHT, _WIDTH = 375, 500
# Far from the first ones, which the converter calibrates on unless it is given pictures.
_FIRST_PATTERN = 1000
_QUALITY = 90


@dataclass(frozen=True)
class Samples:
    label: str
    measured: list[Path]
    calibration: list[Path]  # for engines that calibrate: none of them among the measured ones

    def digest(self) -> str:
        """SHA-256, hexadecimal, of the pictures for calibration."""
        digest = hashlib.sha256()
        for file in self.calibration:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    def tensors(self, section: dict[str, Any], normalisation: dict[str, Any]) -> NDArray[np.float32]:
        """The pictures for calibration as a network takes them: float32 [n, 3, height, width]."""
        pixels = Steps(section, threads=1).pixels([file.read_bytes() for file in self.calibration])
        return Normalisation(**normalisation).of(pixels)


def find(data: Path | None, cache: Path) -> Samples:
    """The folder's pictures by name, or patterns kept in `cache`; every other one is for calibration.

    Raises BenchError when a named folder has fewer than 16.
    """
    if data is None:
        folder = model_cache.folder(cache, "pictures", [_PATTERNS, _FIRST_PATTERN, _HEIGHT, _WIDTH, _QUALITY], _draw)
        label = f"synthetic ones of {_WIDTH} x {_HEIGHT}"
    else:
        folder = data
        label = f"the folder {data.name}"
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
    if len(files) < 16:
        raise BenchError(
            f"{folder} has {len(files)} pictures ({', '.join(_SUFFIXES)}); 16 are needed: name a folder with --data or "
            "EMBEDRT_BENCH_DATA, or none for synthetic ones"
        )
    return Samples(label, files[0::2], files[1::2])


def _draw(folder: Path) -> None:
    from PIL import Image

    from embedrt._patterns import pattern

    for number in range(_PATTERNS):
        picture = Image.fromarray(pattern(_FIRST_PATTERN + number, _HEIGHT, _WIDTH))
        picture.save(folder / f"{number:03d}.jpg", quality=_QUALITY)
