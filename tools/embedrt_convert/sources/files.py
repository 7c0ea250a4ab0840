"""The files of a model, wherever they are: what an input format reads from."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any

from embedrt_convert.errors import ConversionError


class Files(ABC):
    """Named files under one root. Names use "/" and are relative; every file read counts towards `digest`."""

    label: str  # what error messages and the file's `about` section call this source
    name: str  # what the model is called when nobody says otherwise

    def __init__(self, label: str, name: str) -> None:
        self.label = label
        self.name = name
        self._read: dict[str, bytes] = {}

    @abstractmethod
    def names(self) -> frozenset[str]:
        """Every file's name."""

    @abstractmethod
    def _open(self, name: str) -> memoryview:
        """The content of a file that is among `names`."""

    def has(self, name: str) -> bool:
        return name in self.names()

    def read(self, name: str) -> memoryview:
        """A file's content, read-only. Raises ConversionError when there is no such file."""
        if not self.has(name):
            raise ConversionError(f"{self.label} has no file {name}")
        content = self._open(name)
        self._read[name] = hashlib.sha256(content).digest()
        return content

    def json(self, name: str) -> dict[str, Any]:
        """A file that must hold a JSON object. Raises ConversionError."""
        value = self.json_value(name)
        if not isinstance(value, dict):
            raise ConversionError(f"{name} in {self.label} must hold a JSON object, not {type(value).__name__}")
        return value

    def json_value(self, name: str) -> Any:
        """A file's JSON value. Raises ConversionError."""
        try:
            return json.loads(bytes(self.read(name)).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConversionError(f"{name} in {self.label} is not JSON: {error}") from None

    def licence(self) -> str | None:
        """The licence that the source itself states, beside any model card."""
        return None

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the names and contents read so far."""
        digest = hashlib.sha256()
        for name, content in sorted(self._read.items()):
            digest.update(hashlib.sha256(name.encode("utf-8")).digest() + content)
        return digest.hexdigest()
