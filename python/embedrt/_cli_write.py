"""What `embedrt embed` writes: JSONL, a .npy file, or a table of similarities."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
from types import TracebackType
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from embedrt._errors import InputError

_NPY_HEADER = 128  # bytes; holds any shape, so that the number of rows can be filled in at the end


# A text, the path of an image, or why there is neither.
Item: TypeAlias = "str | pathlib.Path | InputError"


class VectorWriter(Protocol):
    """Takes texts and images with their vectors [columns], one at a time, in order."""

    def write(self, item: Item, vector: NDArray[Any]) -> None: ...
    def skip(self, item: Item, reason: str) -> None:
        """In the place of one that could not be used."""

    def __enter__(self) -> Any: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class JsonlWriter:
    """One JSON object a line, to a file or the standard output: {"text" or "image", "embedding"}, or an {"error"}."""

    def __init__(self, path: pathlib.Path | None) -> None:
        self._path = path

    def __enter__(self) -> JsonlWriter:
        self._file: IO[str] = self._path.open("w", encoding="utf-8", newline="\n") if self._path else sys.stdout
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path:
            self._file.close()
        else:
            self._file.flush()

    def write(self, item: Item, vector: NDArray[Any]) -> None:
        key = "image" if isinstance(item, pathlib.Path) else "text"
        # Nine digits are enough to read the same float32 back.
        numbers = ", ".join(map("{:.9g}".format, vector.tolist()))
        self._file.write(f'{{"{key}": {json.dumps(str(item))}, "embedding": [{numbers}]}}\n')

    def skip(self, item: Item, reason: str) -> None:
        image = {"image": str(item)} if isinstance(item, pathlib.Path) else {}
        self._file.write(json.dumps(image | {"error": reason}) + "\n")


class NpyWriter:
    """A .npy file with a row for each item, written one by one; a skipped one is a row of NaN.

    `like` has the columns and the type of the rows. Raises InputError for a skipped item where the type has no NaN.
    """

    def __init__(self, path: pathlib.Path, like: NDArray[Any]) -> None:
        self._path = path
        self._columns = like.shape[1]
        self._type = like.dtype.newbyteorder("<")
        self._rows = 0

    def __enter__(self) -> NpyWriter:
        self._file = self._path.open("wb")
        self._file.write(bytes(_NPY_HEADER))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._file.seek(0)
            self._file.write(_npy_header(self._rows, self._columns, self._type.str))

    def write(self, item: Item, vector: NDArray[Any]) -> None:
        self._file.write(vector.astype(self._type, copy=False).tobytes())
        self._rows += 1

    def skip(self, item: Item, reason: str) -> None:
        if self._type.kind != "f":
            raise InputError(f"{reason}; a .npy of {self._type.name} has no row that says so, a .jsonl has")
        self.write(item, np.full(self._columns, np.nan, np.float32))


def print_table(texts: list[str], similarities: NDArray[np.float32]) -> None:
    """Show each text with its similarity to every other, float32 [texts, texts]."""
    columns = 8 * len(texts)
    room = shutil.get_terminal_size().columns - columns - 5
    width = min(max(24, room), max((len(text) for text in texts), default=0))
    print(" " * (width + 5) + "".join(f"{index:>8}" for index in range(1, len(texts) + 1)))
    for index, (text, row) in enumerate(zip(texts, similarities, strict=True), 1):
        line = " ".join(text.split())
        shown = line if len(line) <= width else line[: width - 1] + "…"
        print(f"{index:>3}  {shown:<{width}}" + "".join(f"{value:8.3f}" for value in row))


def _npy_header(rows: int, columns: int, kind: str) -> bytes:
    """Version 1.0 of numpy's format, padded with spaces to `_NPY_HEADER` bytes."""
    magic = b"\x93NUMPY\x01\x00" + (_NPY_HEADER - 10).to_bytes(2, "little")
    described = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}".encode("ascii")
    return magic + described.ljust(_NPY_HEADER - 11) + b"\n"
