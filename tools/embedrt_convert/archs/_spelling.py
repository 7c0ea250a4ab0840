"""Whose names a checkpoint of a network's weights uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

Lowering = Callable[[Checkpoint], Program]


def lower_spelled(checkpoint: Checkpoint, spellings: Mapping[str, Lowering]) -> Program:
    """Lower by the library whose names the weights have: `library` of the config; transformers where it has none."""
    library = checkpoint.config.get("library", "transformers")
    if library not in spellings:
        raise ConversionError(
            f"{checkpoint.config['model_type']} is not known by the names of {library}; known: {', '.join(spellings)}"
        )
    return spellings[library](checkpoint)
