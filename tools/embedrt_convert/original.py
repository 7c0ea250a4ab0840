"""What the vectors of a file are measured against, and the program that comes of a checkpoint together with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt_convert import golden, reference
from embedrt_convert.builder import Program
from embedrt_convert.reference_types import Values


class Original(Protocol):
    """The model in full precision."""

    @property
    def what(self) -> str:
        """What it is and what runs it, for the report."""

    def texts(
        self, ids: NDArray[np.int32], offsets: NDArray[np.int64], output: str, types: NDArray[np.int32] | None = None
    ) -> Values:
        """An output, float64 [m or n, columns], for token ids [n] of `types` [n] in segments offsets [m + 1]."""

    def picture(self, pixels: NDArray[np.uint8]) -> Values:
        """float64 [columns] for pixels [height, width, 3]."""

    def section(self, model: _core.Model, quant: str) -> Mapping[str, Any]:
        """What else the report says of a file in that precision, which `model` runs. Raises ConversionError."""


@dataclass(frozen=True)
class Lowered:
    """A float program, what its vectors are to be, and remarks for the user."""

    program: Program
    original: Original
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """The weights of a checkpoint in the NumPy reference."""

    program: Program
    what: str = "the checkpoint in fp32, run by the NumPy reference in float64"

    def texts(
        self, ids: NDArray[np.int32], offsets: NDArray[np.int64], output: str, types: NDArray[np.int32] | None = None
    ) -> Values:
        return reference.run(self.program, ids, offsets, output, types=types)

    def picture(self, pixels: NDArray[np.uint8]) -> Values:
        vector: Values = reference.run_images(self.program, pixels[None], golden.IMAGE_OUTPUT)[0]
        return vector

    def section(self, model: _core.Model, quant: str) -> Mapping[str, Any]:
        return {}
