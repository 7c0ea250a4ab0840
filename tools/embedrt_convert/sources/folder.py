"""A model in a folder on disk."""

from __future__ import annotations

import mmap
import pathlib

from embedrt_convert.errors import ConversionError
from embedrt_convert.sources.files import Files


class Folder(Files):
    """A folder on disk. Files are mapped, not copied."""

    def __init__(self, root: pathlib.Path, *, label: str | None = None, name: str | None = None) -> None:
        if not root.is_dir():
            raise ConversionError(f"{root} is not a folder")
        # The folder's own name and not its path: the file must not depend on where it was made.
        own = root.resolve().name
        super().__init__(label or f"folder:{own}", name or own)
        self._root = root
        self._names = frozenset(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())

    def names(self) -> frozenset[str]:
        return self._names

    def _open(self, name: str) -> memoryview:
        with (self._root / name).open("rb") as file:
            if file.seek(0, 2) == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
