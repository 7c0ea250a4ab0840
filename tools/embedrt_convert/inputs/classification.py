"""A folder of ...ForSequenceClassification: a classifier of texts, or of pairs, as cross-encoders are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Classifier
from embedrt_convert.sources.files import Files

_SETTINGS = "config_sentence_transformers.json"
_TOKENIZER = "tokenizer_config.json"
_TASK = "sequence-classification"
_ACTIVATIONS = {"Sigmoid": "sigmoid", "Identity": "none"}
_OF_PROBLEMS = {"multi_label_classification": "sigmoid", "single_label_classification": "softmax", "regression": "none"}


def is_classifier(files: Files) -> bool:
    """Whether the folder's own files say so: its modules if there are any, else the class of the model."""
    if files.has("modules.json"):
        entries = files.json_value("modules.json")
        name = "sentence_bert_config.json"
        return (
            isinstance(entries, list)
            and len(entries) == 1
            and files.has(name)
            and files.json(name).get("transformer_task") == _TASK
        )
    names = files.json("config.json").get("architectures") if files.has("config.json") else None
    return isinstance(names, list) and any(str(name).endswith("ForSequenceClassification") for name in names)


def read(files: Files) -> Classifier:
    """The labels, and what sentence-transformers and, for several labels, transformers make of the logits.

    Raises ConversionError.
    """
    config = files.json("config.json")
    settings = files.json(_SETTINGS) if files.has(_SETTINGS) else {}
    if settings.get("default_prompt_name") is not None:
        raise ConversionError(f"{_SETTINGS} in {files.label} has a default prompt: not supported before a classifier")
    labels = _labels(config)
    own = config.get("sentence_transformers")
    stated = settings.get("activation_fn") or (own.get("activation_fn") if isinstance(own, Mapping) else None)
    stated = stated or config.get("sbert_ce_default_activation_function")
    if stated is not None:
        package, _, kind = str(stated).rpartition(".")
        if package.partition(".")[0] != "torch" or kind not in _ACTIVATIONS:
            raise ConversionError(f"{files.label} has the activation {stated}; known: {', '.join(_ACTIVATIONS)}")
        activation = _ACTIVATIONS[kind]
    elif len(labels) == 1:
        activation = "sigmoid"
    else:
        problem = config.get("problem_type")
        if problem is not None and problem not in _OF_PROBLEMS:
            raise ConversionError(f"config.json has problem_type {problem!r}; known: {', '.join(_OF_PROBLEMS)}")
        activation = "none" if problem is None else _OF_PROBLEMS[problem]
    named = not all(re.fullmatch(r"LABEL_\d+", label) for label in labels)
    tokenizer = files.json(_TOKENIZER) if files.has(_TOKENIZER) else {}
    typed = "token_type_ids" in tokenizer.get("model_input_names", ["token_type_ids"])
    return Classifier(len(labels), labels if named else None, activation, typed)


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What transformers calls the classes: LABEL_0 and so on where nothing else is said, two of them by default."""
    count = config.get("num_labels", 2)
    stated = config.get("id2label") or {str(number): f"LABEL_{number}" for number in range(int(count))}
    if not isinstance(stated, Mapping) or set(map(str, stated)) != {str(number) for number in range(len(stated))}:
        raise ConversionError("config.json must have id2label with a name for each class, from 0 on")
    named = {str(number): str(label) for number, label in stated.items()}
    return tuple(named[str(number)] for number in range(len(named)))
