"""Checks of arguments that several methods of `Model` take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from embedrt import _core
from embedrt._errors import InputError

Item = TypeVar("Item")


def check_output(core: _core.Model, asked: str, among: tuple[str, ...]) -> None:
    known = [name for name in among if name in core.outputs()]
    if asked not in known:
        raise InputError(f"output_value is {asked!r}, this model has {', '.join(known)}")


def check_ignored(batch_size: int | None, convert_to_numpy: bool | None) -> None:
    """Of what is accepted without effect, refuse what cannot be meant or be met."""
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, not a positive number")
    if convert_to_numpy is False:
        raise InputError("convert_to_numpy=False asks for torch tensors; this model gives numpy arrays")


def columns(truncate_dim: int | None, dim: int) -> int:
    if truncate_dim is None:
        return dim
    if isinstance(truncate_dim, bool) or not isinstance(truncate_dim, int):
        raise TypeError(f"truncate_dim is a {type(truncate_dim).__name__}, not an int")
    if truncate_dim < 1:
        raise InputError(f"truncate_dim is {truncate_dim}, not a positive number")
    return min(truncate_dim, dim)


def listed(sentences: Iterable[Item]) -> list[Item]:
    if isinstance(sentences, list):
        return sentences
    try:
        return list(sentences)
    except TypeError:
        raise TypeError(f"expected a str or an iterable of str, not a {type(sentences).__name__}") from None
