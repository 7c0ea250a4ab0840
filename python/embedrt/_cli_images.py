"""Which inputs of `embedrt embed` are images, and the files of a folder."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from embedrt._errors import InputError
from embedrt._extras import extra

if TYPE_CHECKING:
    from embedrt._model import Model


def sorted_out(model: Model, inputs: Iterator[str | InputError]) -> Iterator[str | pathlib.Path | InputError]:
    """Each input as what it is to `model`: a text stays a str, an image is a Path; a folder becomes its images.

    os.path can be asked about any text, pathlib fails on long ones.
    """
    if model.image_size is None:
        yield from inputs
        return
    with extra("image"):
        from embedrt._image import is_image_name
    for value in inputs:
        if isinstance(value, InputError):
            yield value
        elif value and os.path.isdir(value):  # noqa: PTH112
            yield from _images_in(value, is_image_name)
        elif not model.max_tokens or (is_image_name(pathlib.Path(value).name) and os.path.isfile(value)):  # noqa: PTH113
            yield pathlib.Path(value)
        else:
            yield value


def _images_in(folder: str, is_image: Callable[[str], bool]) -> Iterator[pathlib.Path | InputError]:
    """The image files in `folder` and the folders in it, sorted by name; hidden ones are left out."""
    found = False
    for name, folders, files in os.walk(folder):
        folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
        for file in sorted(files):
            if is_image(file):
                found = True
                yield pathlib.Path(name, file)
    if not found:
        yield InputError(f"{folder}: no images in this folder")
