"""Hands out a checkpoint's tensors to a lowering, each once, and accounts for the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.errors import ConversionError


class Weights:
    """The tensors of an encoder."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], *, anchor: str, ignored: tuple[str, ...]) -> None:
        """`anchor` is a tensor that every checkpoint of the family has; what stands before it is the prefix of all.

        `ignored` are patterns of names, without the prefix, that the vectors do not depend on.
        """
        prefixes = [name.removesuffix(anchor) for name in tensors if name == anchor or name.endswith("." + anchor)]
        if len(prefixes) != 1:
            found = "none" if not prefixes else ", ".join(prefix + anchor for prefix in prefixes)
            raise ConversionError(f"the checkpoint must have one {anchor}; it has {found}")
        self._tensors = tensors
        self._prefix = prefixes[0]
        self._ignored = re.compile("|".join(f"(?:{pattern})" for pattern in ignored))
        self._taken: set[str] = set()

    def take(self, name: str, *shape: int, older: str | None = None, outside: bool = False) -> NDArray[np.float32]:
        """The tensor as float32; `older` is another name that it may go by. `outside` is a head's: without the prefix.

        Raises ConversionError when it is missing, has another shape, or holds a value that is not finite.
        """
        prefix = "" if outside else self._prefix
        full = prefix + name
        if full not in self._tensors and older is not None:
            full = prefix + older
        if full not in self._tensors:
            raise ConversionError(f"the checkpoint has no weight {prefix}{name}")
        self._taken.add(full)
        tensor = self._tensors[full]
        if tensor.shape != shape:
            raise ConversionError(f"weight {full} has the shape {list(tensor.shape)}; the model implies {list(shape)}")
        floats = tensor.astype(np.float32, copy=False)
        if not np.isfinite(floats).all():
            raise ConversionError(f"weight {full} has values that are not finite")
        return floats

    def has(self, name: str, *, outside: bool = False) -> bool:
        """Whether the checkpoint has the tensor."""
        return ("" if outside else self._prefix) + name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, where the weights themselves say how wide a layer is. Raises ConversionError."""
        if not self.has(name):
            raise ConversionError(f"the checkpoint has no weight {self._prefix}{name}")
        shape: tuple[int, ...] = self._tensors[self._prefix + name].shape
        return shape

    def finish(self) -> None:
        """Raises ConversionError naming the weights that were not taken: the lowering does not understand the model."""
        left = [name for name in self._tensors if name not in self._taken and not self._is_ignored(name)]
        if left:
            more = f" and {len(left) - 5} more" if len(left) > 5 else ""
            raise ConversionError(
                f"weights of the checkpoint that the program would not use: {', '.join(left[:5])}{more}"
            )

    def _is_ignored(self, name: str) -> bool:
        return self._ignored.fullmatch(name.removeprefix(self._prefix)) is not None
