"""Input formats: one file each. What a user names becomes a `Checkpoint`."""

from __future__ import annotations

import pathlib

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import huggingface, state_dict
from embedrt_convert.inputs.checkpoint import Checkpoint
from embedrt_convert.sources import Files, open_source
from embedrt_convert.sources.weights_file import WeightsFile


def open_checkpoint(
    source: str,
    *,
    arch: str | None = None,
    preprocessor: str | pathlib.Path | None = None,
    classifier: bool = False,
    image_size: tuple[int, int] | None = None,
) -> tuple[Files, Checkpoint]:
    """The files and the checkpoint that `source` names.

    `arch` is the architecture of a file of weights alone, "library:name" or a name that one library alone has;
    `preprocessor` is a file to use as its preprocessor_config.json. Of a model of images, `classifier` keeps the
    classifier on top, and `image_size` (height, width) asks for other pixels than its own. Raises ConversionError.
    """
    if arch is not None:
        files = WeightsFile(pathlib.Path(source), None if preprocessor is None else pathlib.Path(preprocessor))
        return files, state_dict.read(files, arch, classifier=classifier, image_size=image_size)
    if preprocessor is not None:
        raise ConversionError(f"a preprocessor goes with a file of weights and its arch; {source} has its own")
    found = open_source(source)
    return found, huggingface.read(found, image_size, classifier)
