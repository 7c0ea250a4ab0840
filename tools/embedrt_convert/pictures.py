"""The pictures that a conversion looks at: a folder of the user's, or those that the runtime makes from integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedrt._errors import InputError
from embedrt._patterns import pattern
from embedrt_convert.errors import ConversionError

Picture = NDArray[np.uint8]  # [height, width, 3], of the program's size

# Golden pictures, which are also those that fidelity is measured on where the user gives none; and those that fix
# steps: 8 and 32 gave EfficientNet-Lite0 the same fidelity.
GOLDEN, CALIBRATION = 12, 16
# Of a folder's pictures one in so many is kept for measuring, and the others fix steps.
_KEPT = 4
_MOST = 256


@dataclass(frozen=True)
class Pictures:
    """`calibration` fix the steps of bytes; fidelity is measured on `measured`; `golden` are kept in the file."""

    calibration: list[Picture]
    measured: list[Picture]
    golden: list[Picture]
    origin: str


def generated(size: tuple[int, int]) -> Pictures:
    """Pictures made from integers; the golden ones are not among those that fix steps."""
    made = [pattern(index, *size) for index in range(GOLDEN + CALIBRATION)]
    return Pictures(made[GOLDEN:], made[:GOLDEN], made[:GOLDEN], "generated pictures")


def from_folder(
    folder: str, paths: Sequence[str], size: tuple[int, int], prepare: Callable[[str], Picture]
) -> Pictures:
    """The pictures `paths` of a folder, at most 256 of them, each through `prepare`: uint8 [height, width, 3].

    Raises ConversionError when there are fewer than four, or one cannot be read.
    """
    if len(paths) < _KEPT:
        raise ConversionError(f"{folder} has {len(paths)} pictures; calibration wants at least {_KEPT}")

    def read(path: str) -> Picture:
        try:
            return prepare(path)
        except InputError as error:
            raise ConversionError(f"{path}: {error}") from None

    pictures = [read(path) for path in paths[:_MOST]]
    golden = [pattern(index, *size) for index in range(GOLDEN)]
    kept = pictures[_KEPT - 1 :: _KEPT]
    rest = [picture for index, picture in enumerate(pictures) if index % _KEPT != _KEPT - 1]
    return Pictures(rest, kept, golden, "pictures of a folder")
