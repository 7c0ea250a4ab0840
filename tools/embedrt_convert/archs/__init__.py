"""Lowerings: one file for each family, found by the model_type of config.json.

Modules without a leading underscore are families. Each has MODEL_TYPES, the model types that it serves, and
`lower(checkpoint) -> (Program, int)`: the encoder's program and the value of its last layer, one row for each token.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType

from embedrt_convert.archs._config import positive
from embedrt_convert.archs._heads import lower_modules
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint


@functools.cache
def families() -> dict[str, ModuleType]:
    """model_type -> the module that lowers it. A new file in this folder is found by itself."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {model_type: module for module in modules for model_type in module.MODEL_TYPES}


def lower(checkpoint: Checkpoint) -> Program:
    """The float program of a checkpoint, with the outputs `token_embeddings` and `sentence_embedding`.

    Raises ConversionError when the family is unknown, or its config.json or weights are not what the family implies.
    """
    model_type = checkpoint.config.get("model_type")
    if model_type not in families():
        raise ConversionError(f"config.json has model_type {model_type!r}; known: {', '.join(families())}")
    program: Program
    program, rows = families()[model_type].lower(checkpoint)
    lower_modules(program, rows, checkpoint.modules, positive(checkpoint.config, "hidden_size"))
    return program
