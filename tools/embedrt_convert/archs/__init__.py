"""Lowerings: one file for each family, found by the model_type of config.json.

Modules without a leading underscore are families. Each has MODEL_TYPES, the model types that it serves. A family of
texts has `lower(checkpoint) -> Encoder`, and may have `serves(config) -> bool`, which is asked first and claims configs
that go by another family's model type; `classifier(encoder, config, labels)`, the value of the logits that its
...ForSequenceClassification makes; `vocabulary_logits(encoder, config)`, the value [rows, vocabulary] of its masked
language model; `tasks(config)`, the names of what its adapters are for; and `notes(config)`, what to tell who converts.
A family of images has `lower_images(checkpoint) -> Program`, with its outputs.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._heads import lower_head
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint


@functools.cache
def modules() -> tuple[ModuleType, ...]:
    """Every family's. A new file in this folder is found by itself."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in names)


@functools.cache
def families() -> dict[str, ModuleType]:
    """model_type -> the module that lowers it."""
    return {model_type: module for module in modules() for model_type in module.MODEL_TYPES}


def takes_images(model_type: object) -> bool:
    """Whether a family of images serves this model_type of a config.json."""
    return isinstance(model_type, str) and hasattr(families().get(model_type), "lower_images")


def lower(checkpoint: Checkpoint) -> Program:
    """The float program of a checkpoint, with its outputs.

    Raises ConversionError when the family is unknown, or its config.json or weights are not what the family implies.
    """
    family = _family(checkpoint.config)
    if hasattr(family, "lower_images"):
        program: Program = family.lower_images(checkpoint)
        return program
    known = tasks(checkpoint.config)
    if checkpoint.task not in (None, *known):
        raise ConversionError(
            f"the task {checkpoint.task!r} is not among the model's: {', '.join(known) or 'it has none'}"
        )
    encoder: Encoder = family.lower(checkpoint)
    lower_head(family, encoder, checkpoint)
    encoder.weights.finish()
    return encoder.program


def notes(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Remarks for the user, of a checkpoint that can be lowered."""
    family = _family(checkpoint.config)
    made: tuple[str, ...] = family.notes(checkpoint.config) if hasattr(family, "notes") else ()
    if checkpoint.task is None and (known := tasks(checkpoint.config)):
        made += (f"the weights as they are without an adapter; --task merges that of one task: {', '.join(known)}",)
    return made


def tasks(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the adapters of a checkpoint with this config.json are for; () where it has none. Raises ConversionError."""
    family = _family(config)
    made: tuple[str, ...] = family.tasks(config) if hasattr(family, "tasks") else ()
    return made


def _family(config: Mapping[str, Any]) -> ModuleType:
    model_type = config.get("model_type")
    for family in modules():
        if hasattr(family, "serves") and family.serves(config):
            return family
    if model_type not in families():
        raise ConversionError(f"config.json has model_type {model_type!r}; known: {', '.join(families())}")
    return families()[model_type]
