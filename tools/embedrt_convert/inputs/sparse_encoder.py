"""The folder of a sparse encoder: a masked language model and SPLADE's pooling, as sentence-transformers saves them."""

from __future__ import annotations

from typing import Any

from embedrt._retrieval_config import SparseConfig
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Splade
from embedrt_convert.inputs.sentence_transformers import Layout, ModuleEntry, read_modules, read_settings
from embedrt_convert.sources.files import Files

_ENCODERS = ("MLMTransformer", "Transformer")


def is_sparse(files: Files) -> bool:
    """Whether modules.json has SPLADE's pooling, or sentence-transformers calls the model a sparse encoder."""
    stated = read_settings(files).get("model_type") == "SparseEncoder"
    return stated or (files.has("modules.json") and any(each.kind == "SpladePooling" for each in read_modules(files)))


def read_layout(files: Files) -> Layout:
    """Where the encoder is. A folder without modules.json is the masked language model itself.

    Raises ConversionError for modules other than these two, or another pooling than the maximum.
    """
    if not files.has("modules.json"):
        return Layout("", (), head=Splade())
    modules = read_modules(files)
    kinds = [each.kind for each in modules]
    if len(kinds) != 2 or kinds[0] not in _ENCODERS or kinds[1] != "SpladePooling":
        raise ConversionError(
            f"modules.json in {files.label} must have {' or '.join(_ENCODERS)} and then SpladePooling for a sparse "
            f"encoder; it has {', '.join(kinds)}"
        )
    encoder, pooling = modules
    _check_pooling(files, pooling)
    return Layout(f"{encoder.path}/" if encoder.path else "", (), head=Splade())


def read_config(files: Files) -> SparseConfig:
    """What the `text` section says of the weights. Raises ConversionError."""
    most = read_settings(files).get("max_active_dims")
    if most is not None and (type(most) is not int or most < 1):
        raise ConversionError(
            f"config_sentence_transformers.json in {files.label} has max_active_dims {most!r}; it must be a whole "
            "number above 0"
        )
    return SparseConfig(max_active_dims=most)


def _check_pooling(files: Files, pooling: ModuleEntry) -> None:
    settings: dict[str, Any] = files.json(f"{pooling.path}/config.json")
    for key, supported in (("pooling_strategy", "max"), ("activation_function", "relu")):
        if settings.get(key, supported) != supported:
            raise ConversionError(
                f"{pooling.path}/config.json in {files.label} has {key} {settings[key]!r}; only {supported!r} is "
                "supported"
            )
