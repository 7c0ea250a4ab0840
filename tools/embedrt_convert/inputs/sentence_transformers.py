"""The sentence-transformers files of a folder: modules.json, the modules' settings, limits and prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from embedrt._text_config import SIMILARITIES
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Dense, Head, Module, Normalize, Pooling
from embedrt_convert.inputs.weights import read_weights
from embedrt_convert.sources.files import Files

# pooling_mode -> kind of the op `pool`, and the older flags in 1_Pooling/config.json -> pooling_mode.
POOLINGS = {
    "mean": "mean",
    "cls": "first",
    "max": "max",
    "mean_sqrt_len_tokens": "mean_sqrt",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Class of torch.nn -> activation of the op `linear`.
_ACTIVATIONS = {
    "Identity": "none",
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
}
_OWN_CODE = "custom_st.Transformer"
# sentence-transformers pools no prompts of these, whose files do not say so.
_INSTRUCTORS = tuple(f"hf:hkunlp/instructor-{size}@" for size in ("base", "large", "xl"))
_SETTINGS = "config_sentence_transformers.json"
_LIMITS = [
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]


@dataclass(frozen=True)
class Layout:
    """What modules.json says: the encoder's folder ("" or "0_Transformer/"), and the modules after it.

    `own_code` is the name of the encoder's class where that lies beside the weights, and not in sentence-transformers.
    """

    encoder: str
    modules: tuple[Module, ...]
    notes: tuple[str, ...] = ()
    own_code: str | None = None
    head: Head | None = None


@dataclass(frozen=True)
class ModuleEntry:
    """A module that modules.json lists: its class without the package, its folder, and whether it is code beside it."""

    kind: str
    path: str
    own_code: str | None = None


def read_modules(files: Files) -> list[ModuleEntry]:
    """What modules.json lists. Raises ConversionError for classes of other packages."""
    entries = files.json_value("modules.json")
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries) or not entries:
        raise ConversionError(f"modules.json in {files.label} is not a list of modules")
    return [_module(files, str(each.get("type")), str(each.get("path", ""))) for each in entries]


def _module(files: Files, type_name: str, path: str) -> ModuleEntry:
    if type_name == _OWN_CODE:
        return ModuleEntry("Transformer", path, type_name)
    package, _, kind = type_name.rpartition(".")
    if package.partition(".")[0] not in ("sentence_transformers", "pylate"):
        raise ConversionError(
            f"modules.json in {files.label} has the module {type_name}; known: Transformer, {', '.join(_READERS)}"
        )
    return ModuleEntry(kind, path)


def read_settings(files: Files) -> dict[str, Any]:
    """config_sentence_transformers.json, empty where there is none."""
    return files.json(_SETTINGS) if files.has(_SETTINGS) else {}


def read_layout(files: Files) -> Layout:
    """The modules of a folder. One without modules.json gets mean pooling, as sentence-transformers does, and a note.

    Raises ConversionError for a module, pooling or activation that is not known, by name.
    """
    if not files.has("modules.json"):
        note = f"{files.label} has no modules.json: mean pooling without normalisation, as sentence-transformers has it"
        return Layout("", (Pooling("mean"),), (note,))
    modules = read_modules(files)
    kinds, paths = [each.kind for each in modules], [each.path for each in modules]
    if unknown := [kind for kind in kinds if kind not in ("Transformer", *_READERS)]:
        raise ConversionError(
            f"modules.json in {files.label} has the module {unknown[0]}; known: Transformer, {', '.join(_READERS)}"
        )
    if kinds[0] != "Transformer" or "Transformer" in kinds[1:]:
        raise ConversionError(
            f"modules.json in {files.label} must start with its one Transformer; it has {', '.join(kinds)}"
        )
    if len(kinds) < 2 or kinds[1] != "Pooling" or "Pooling" in kinds[2:]:
        raise ConversionError(
            f"modules.json in {files.label} must have one Pooling, after the Transformer; it has {', '.join(kinds)}"
        )
    readers = [_READERS[kind] for kind in kinds[1:]]
    followers = tuple(read(files, path) for read, path in zip(readers, paths[1:], strict=True))
    return Layout(f"{paths[0]}/" if paths[0] else "", followers, own_code=modules[0].own_code)


def _settings(files: Files, path: str) -> dict[str, Any]:
    name = f"{path}/config.json"
    return files.json(name) if files.has(name) else {}


def _pooling(files: Files, path: str) -> Pooling:
    settings = files.json(f"{path}/config.json")
    flagged = [mode for flag, mode in _POOLING_FLAGS.items() if settings.get(flag)]
    modes = settings.get("pooling_mode", flagged or ["mean"])
    if isinstance(modes, str):
        modes = [modes]
    if unknown := [mode for mode in modes if mode not in POOLINGS]:
        raise ConversionError(
            f"{path}/config.json in {files.label} has the pooling mode {unknown[0]}; known: {', '.join(POOLINGS)}"
        )
    if len(modes) != 1:
        raise ConversionError(
            f"{path}/config.json in {files.label} concatenates the poolings {', '.join(modes)}; only one is supported"
        )
    include_prompt = bool(settings.get("include_prompt", True)) and not files.label.startswith(_INSTRUCTORS)
    if not include_prompt and modes[0] == "weightedmean":
        raise ConversionError(
            f"{path}/config.json in {files.label} excludes prompts from weightedmean pooling (include_prompt), whose "
            "weights would go on counting from the prompt's beginning: not supported"
        )
    return Pooling(POOLINGS[modes[0]], include_prompt)


def _check_names(files: Files, path: str, settings: Mapping[str, Any], of: str = "sentence_embedding") -> None:
    for key in ("module_input_name", "module_output_name"):
        if settings.get(key) not in (None, of):
            raise ConversionError(
                f"{path}/config.json in {files.label} has {key} {settings[key]}; only {of} is supported"
            )


def read_dense(files: Files, path: str, of: str = "sentence_embedding") -> Dense:
    """The module Dense in that folder, `of` sentence vectors or token vectors. Raises ConversionError."""
    settings = files.json(f"{path}/config.json")
    _check_names(files, path, settings, of)
    activation = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh"))
    package, _, kind = activation.rpartition(".")
    if package.partition(".")[0] != "torch" or kind not in _ACTIVATIONS:
        raise ConversionError(
            f"{path}/config.json in {files.label} has the activation {activation}; known: {', '.join(_ACTIVATIONS)}"
        )
    tensors = read_weights(files, path)
    weight, bias, projection = (tensors.pop(name, None) for name in ("linear.weight", "linear.bias", "residual.weight"))
    if weight is None or (bias is not None) != settings.get("bias", True) or tensors:
        found = ", ".join(sorted(tensors)) or "too few or too many"
        raise ConversionError(
            f"{path} in {files.label} must hold linear.weight and, as its config says, linear.bias; found {found}"
        )
    residual = (projection if projection is not None else "input") if settings.get("use_residual") else None
    return Dense(path, weight, bias, _ACTIVATIONS[kind], residual)


def _normalize(files: Files, path: str) -> Normalize:
    _check_names(files, path, _settings(files, path))
    return Normalize()


_READERS: dict[str, Callable[[Files, str], Module]] = {
    "Pooling": _pooling,
    "Dense": read_dense,
    "Normalize": _normalize,
}


def read_limits(files: Files, encoder: str) -> tuple[int | None, bool]:
    """(max_seq_length or None, do_lower_case) of the encoder's folder."""
    for name in _LIMITS:
        if files.has(encoder + name):
            settings = files.json(encoder + name)
            return settings.get("max_seq_length"), bool(settings.get("do_lower_case"))
    return None, False


def read_prompts(files: Files) -> dict[str, Any]:
    """`prompts` and `default_prompt_name`, as the `text` section has them. Raises ConversionError."""
    name, settings = _SETTINGS, read_settings(files)
    stated = settings.get("prompts") or {}
    if not isinstance(stated, dict):
        raise ConversionError(f"{name} in {files.label} has prompts that are not an object")
    prompts = {key: str(prompt or "") for key, prompt in stated.items()}
    default = settings.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise ConversionError(
            f"{name} in {files.label} has default_prompt_name {default}, which is not among its prompts"
        )
    return {"prompts": prompts, "default_prompt_name": default}


def read_similarity(files: Files, default: str = "cosine") -> str:
    """The measure that is stated, else `default`. Raises ConversionError for one that is not known."""
    similarity: str = read_settings(files).get("similarity_fn_name") or default
    if similarity not in SIMILARITIES:
        raise ConversionError(
            f"{_SETTINGS} in {files.label} has similarity_fn_name {similarity}; known: {', '.join(SIMILARITIES)}"
        )
    return similarity
