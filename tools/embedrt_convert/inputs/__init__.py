"""Input formats: one file each. What a user names becomes a `Checkpoint`."""

from __future__ import annotations

from embedrt_convert.inputs import huggingface
from embedrt_convert.inputs.checkpoint import Checkpoint
from embedrt_convert.sources import Files, open_source


def open_checkpoint(source: str) -> tuple[Files, Checkpoint]:
    """The files and the checkpoint that `source` names. Raises ConversionError."""
    files = open_source(source)
    return files, huggingface.read(files)
