"""Reads a file of weights alone, of an architecture that the user names."""

from __future__ import annotations

from embedrt_convert.inputs import architectures
from embedrt_convert.inputs.architectures import Architecture
from embedrt_convert.inputs.checkpoint import Checkpoint
from embedrt_convert.inputs.image_processor import read_image
from embedrt_convert.inputs.weights import read_file
from embedrt_convert.sources.weights_file import PREPROCESSOR, WeightsFile


def read(
    files: WeightsFile, arch: str, *, classifier: bool = False, image_size: tuple[int, int] | None = None
) -> Checkpoint:
    """The checkpoint of the architecture `arch`, "library:name" or a name that one library alone has.

    `classifier` keeps the layer that makes logits; `image_size` (height, width) asks for other pixels than those of the
    preprocessor_config.json, or of the architecture where there is none. Raises ConversionError when the name is not
    known or the file cannot be read.
    """
    made = architectures.find(arch)
    if files.has(PREPROCESSOR):
        image, notes = read_image(files, made.config["model_type"], image_size)
    else:
        image, notes = made.preset.image(image_size), (_note(made),)
    return Checkpoint(
        config=made.config,
        tensors=read_file(files, files.weights),
        text=None,
        modules=(),
        licence="unknown",
        notes=(*notes, architectures.EMBEDDING),
        image=image,
        classifier=classifier,
        arch=f"{made.config['library']}:{made.name}",
    )


def _note(made: Architecture) -> str:
    preset = made.preset
    return (
        f"pictures are prepared as the default weights of {made.config['library']}:{made.name} want them "
        f"({preset.resample}, shortest edge {preset.resize}, middle {preset.size}); other weights of that architecture "
        f"may want them otherwise, which a {PREPROCESSOR} beside the file says"
    )
