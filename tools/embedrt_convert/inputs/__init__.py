"""Input formats: one file each. What a user names becomes a `Checkpoint`."""

from __future__ import annotations

import dataclasses
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
    image_size: tuple[int, int] | None = None,
    classifier: bool = False,
    labels: str | pathlib.Path | None = None,
    preprocessor: str | pathlib.Path | None = None,
) -> tuple[Files, Checkpoint]:
    """The files and the checkpoint that `source` names. Raises ConversionError.

    With `arch`, "library:name" or a name that one library alone has, `source` is a file of weights, and `preprocessor`
    may name the preprocessor_config.json of its pictures. `image_size` (height, width) asks for other pixels than the
    checkpoint's; `classifier` keeps the layer that makes logits, and `labels` is a file that names them, one a line.
    """
    if labels is not None and not classifier:
        raise ConversionError("labels name the logits of a classifier, which is only kept on request (--classifier)")
    files: Files
    if arch is None:
        if preprocessor is not None:
            raise ConversionError(f"{preprocessor}: a folder has its own preprocessor_config.json; leave this one out")
        files = open_source(source)
        checkpoint = huggingface.read(files, image_size, classifier)
    else:
        given = None if preprocessor is None else pathlib.Path(preprocessor)
        weights = WeightsFile(pathlib.Path(source), given)
        files, checkpoint = weights, state_dict.read(weights, arch, classifier=classifier, image_size=image_size)
    if labels is not None and checkpoint.image is not None:
        image = dataclasses.replace(checkpoint.image, labels=_lines(pathlib.Path(labels)))
        checkpoint = dataclasses.replace(checkpoint, image=image)
    return files, checkpoint


def _lines(path: pathlib.Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path} cannot be read: {error}") from None
