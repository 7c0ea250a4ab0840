"""Reads a file of weights alone, of an architecture that the user names."""

from __future__ import annotations

from embedrt_convert.inputs import architectures
from embedrt_convert.inputs.checkpoint import Checkpoint
from embedrt_convert.inputs.weights import read_file
from embedrt_convert.sources.weights_file import WeightsFile


def read(
    files: WeightsFile, arch: str, *, classifier: bool = False, image_size: tuple[int, int] | None = None
) -> Checkpoint:
    """The checkpoint of the architecture `arch`, "library:name" or a name that one library alone has.

    `classifier` keeps the layer that makes logits; `image_size` (height, width) asks for other pixels than the
    architecture's own. Raises ConversionError when the name is not known or the file cannot be read.
    """
    made = architectures.find(arch)
    image = made.preset.image(image_size)
    note = (
        f"pictures are prepared as the default weights of {made.config['library']}'s {made.name} want it "
        f"({image.resample}, {made.preset.resize} to {made.preset.size}); other weights may want it otherwise"
    )
    return Checkpoint(
        config=made.config,
        tensors=read_file(files, files.weights),
        text=None,
        modules=(),
        licence="unknown",
        notes=(note,),
        image=image,
        classifier=classifier,
    )
