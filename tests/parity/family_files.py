"""Model files of the families' cases, and what they are compared on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import families
import numpy as np
from families.case import Array, Case
from numpy.typing import NDArray

from embedrt import _core
from embedrt_convert import writer
from embedrt_convert.archs import lower
from embedrt_convert.inputs import huggingface
from embedrt_convert.quality import cosine
from embedrt_convert.quantize import PRECISIONS, quantize
from embedrt_convert.sources import Folder

OUTPUT = "token_embeddings"
ALL = {f"{family}: {case.name}": case for family in families.names() for case in families.cases(family)}


@dataclass(frozen=True)
class Made:
    """A case's checkpoint in `folder`, and a file of each precision, of the program alone."""

    case: Case
    folder: Path
    files: dict[str, Path]

    def model(self, precision: str) -> _core.Model:
        return _core.Model(str(self.files[precision]), threads=1)


def make(case: Case) -> Made:
    """In a temporary folder of its own, which stays."""
    folder = Path(tempfile.mkdtemp(prefix="family"))
    case.save(folder)
    program = lower(huggingface.read(Folder(folder), task=case.task))
    files = {precision: folder / f"{precision}.embedrt" for precision in PRECISIONS}
    for precision, path in files.items():
        writer.write(path, [*writer.program_sections(quantize(program, precision))])
    return Made(case, folder, files)


def ragged(texts: Sequence[list[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """ids [tokens] and offsets [texts + 1], as the core takes them."""
    return np.concatenate([np.array(ids, np.int32) for ids in texts]), np.cumsum([0, *map(len, texts)])


def largest_difference(expected: Array, actual: Array) -> float:
    return float(np.abs(expected - actual).max())


def cosines(expected: Array, actual: Array) -> NDArray[np.float64]:
    """Of the vectors of each token."""
    return cosine(expected.astype(np.float64), actual.astype(np.float64))
