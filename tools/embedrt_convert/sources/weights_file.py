"""One file of weights on disk, and what says how pictures are prepared for it."""

from __future__ import annotations

import mmap
import pathlib

from embedrt_convert.errors import ConversionError
from embedrt_convert.sources.files import Files

PREPROCESSOR = "preprocessor_config.json"


class WeightsFile(Files):
    """A `.pth`, `.pt`, `.bin` or `.safetensors` file: `weights` is its name here.

    It has a preprocessor_config.json where one lies beside it, or where `preprocessor` names a file to use as such.
    """

    def __init__(self, path: pathlib.Path, preprocessor: pathlib.Path | None = None) -> None:
        for each in (path, preprocessor):
            if each is not None and not each.is_file():
                raise ConversionError(f"{each}: no such file")
        # The file's own name and not its path: the model file must not depend on where it was made.
        super().__init__(f"file:{path.name}", path.stem)
        self.weights = path.name
        self._paths = {path.name: path}
        beside = preprocessor or path.with_name(PREPROCESSOR)
        if beside.is_file():
            self._paths[PREPROCESSOR] = beside

    def names(self) -> frozenset[str]:
        return frozenset(self._paths)

    def _open(self, name: str) -> memoryview:
        with self._paths[name].open("rb") as file:
            if file.seek(0, 2) == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
