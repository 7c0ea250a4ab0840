"""Reads a Hugging Face or sentence-transformers folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from embedrt_convert import archs
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import heads, image_model, sentence_transformers, timm_folder
from embedrt_convert.inputs.checkpoint import Checkpoint, Text
from embedrt_convert.inputs.tokenizer import read_pad, read_tokenizer
from embedrt_convert.inputs.weights import read_weights
from embedrt_convert.sources.files import Files

_DEFAULT_TOKENS = 512
_ENDLESS = 10**9  # tokenizer_config.json has 10^30 where a tokenizer has no limit


def read(
    files: Files,
    image_size: tuple[int, int] | None = None,
    classifier: bool = False,
    max_tokens: int | None = None,
    task: str | None = None,
    head: str | None = None,
) -> Checkpoint:
    """The checkpoint in `files`. Raises ConversionError when something is missing, malformed or not supported.

    For a model of images, `image_size` is (height, width) of other pixels than its processor makes, and `classifier`
    keeps the classifier that the checkpoint has. For one of texts, `max_tokens` is the longest, instead of what the
    files say, `task` the one whose adapter is wanted, and `head` one of `heads.HEADS`, where they do not say it.
    """
    if files.has("config.json"):
        config = files.json("config.json")
        images = timm_folder.is_timm(config) or archs.takes_images(config.get("model_type"))
        if images and max_tokens is not None:
            raise ConversionError(f"{files.label} is a model of images: it has no limit of tokens to choose")
        if images and task is not None:
            raise ConversionError(f"{files.label} is a model of images: it has no tasks")
        if images and head is not None:
            raise ConversionError(f"{files.label} is a model of images: it has no head {head}")
        if timm_folder.is_timm(config):
            return timm_folder.read(files, config, read_licence(files), image_size, classifier)
        if images:
            return _read_images(files, image_model.resolved(config), image_size, classifier)
    if image_size is not None or classifier:
        raise ConversionError(f"{files.label} is not a model of images: it has no image size and no classifier")
    return _read_texts(files, max_tokens, task, head)


def _read_texts(files: Files, max_tokens: int | None, task: str | None, head: str | None) -> Checkpoint:
    layout = heads.read_layout(files, head)
    config = files.json(layout.encoder + "config.json")
    if layout.own_code is not None and not archs.tasks(config):
        raise ConversionError(
            f"modules.json in {files.label} has the module {layout.own_code}, code beside the weights: what it does is "
            "known only of models with adapters for tasks"
        )
    prompts = heads.read_prompts(files, layout.head)
    if task is not None:
        prompts |= _prompts_of_task(config, prompts["prompts"], task)
    text, notes = _text(files, layout.encoder, config, asked=max_tokens, **prompts)
    checkpoint = Checkpoint(
        config=config,
        tensors=read_weights(files, layout.encoder.rstrip("/")),
        text=text,
        modules=layout.modules,
        licence=read_licence(files),
        notes=(*layout.notes, *notes),
        task=task,
        head=layout.head,
    )
    return heads.finished(files, layout.encoder, checkpoint)


def _prompts_of_task(config: Mapping[str, Any], stated: Mapping[str, str], task: str) -> dict[str, Any]:
    """The prompt of a task, for every text by default: as sentence-transformers has it, else as config.json has."""
    instructions = config.get("task_instructions") or {}
    if not isinstance(instructions, Mapping) or not all(isinstance(each, str) for each in instructions.values()):
        raise ConversionError(f"config.json has task_instructions {instructions!r}, which are not texts by their names")
    mine = {name: prompt for name, prompt in {**instructions, **stated}.items() if name == task}
    return {"prompts": mine, "default_prompt_name": task if mine else None}


def _read_images(
    files: Files, config: Mapping[str, Any], image_size: tuple[int, int] | None, classifier: bool
) -> Checkpoint:
    if files.has("modules.json"):
        raise ConversionError(
            f"{files.label} has a modules.json: modules after a model of images are not supported; without that file "
            "the model itself is converted"
        )
    tensors = read_weights(files)
    image, notes = image_model.read(files, config, tensors, image_size, classifier)
    text = None
    if "text_config" in config:
        # SigLIP's texts are all of one length, and attend to what they are filled up with.
        text, more = _text(files, "", config["text_config"], padded=config["model_type"] == "siglip")
        notes += more
    return Checkpoint(
        config=config,
        tensors=tensors,
        text=text,
        modules=(),
        licence=read_licence(files),
        notes=notes,
        image=image,
        classifier=classifier,
    )


def _text(
    files: Files,
    encoder: str,
    config: Mapping[str, Any],
    *,
    padded: bool = False,
    asked: int | None = None,
    **prompts: Any,
) -> tuple[Text, tuple[str, ...]]:
    """How the encoder in that folder takes texts, and notes; `config` is that of the part which takes them.

    `padded` fills them up to the limit; `asked` is another limit than the files'. `prompts` are fields of `Text`.
    """
    settings_name = encoder + "tokenizer_config.json"
    settings = files.json(settings_name) if files.has(settings_name) else {}
    limit, lowercase = sentence_transformers.read_limits(files, encoder)

    notes: tuple[str, ...] = ()
    max_tokens = token_limit(limit if asked is None else asked, settings, config)
    if asked is not None and max_tokens < asked:
        raise ConversionError(f"{files.label} takes texts of at most {max_tokens} tokens, not {asked}")
    if max_tokens == 0:
        max_tokens = _DEFAULT_TOKENS
        notes = (f"nothing in {files.label} says how long a text may be: at most {max_tokens} tokens (--max-tokens)",)
    elif max_tokens < 0:
        raise ConversionError(f"{files.label} has a length limit below 0, {max_tokens}")
    vocabulary = config.get("vocab_size")
    if not isinstance(vocabulary, int):
        raise ConversionError(f"config.json of {files.label} must have vocab_size")
    tokenizer = read_tokenizer(files, encoder, settings, vocabulary, lowercase)
    pad = read_pad(tokenizer, settings, max_tokens) if padded else None
    return Text(tokenizer=tokenizer, max_tokens=max_tokens, pad=pad, **prompts), notes


def token_limit(stated: int | None, settings: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    """The longest text: `stated` by sentence-transformers, else by tokenizer_config.json; never more than positions.

    0 where none of them says anything.
    """
    limits = [stated if stated is not None else settings.get("model_max_length"), config.get("max_position_embeddings")]
    return int(min((each for each in limits if isinstance(each, (int, float)) and each < _ENDLESS), default=0))


def read_licence(files: Files) -> str:
    """What the model card's front matter says, else the package that carries the weights, else "unknown"."""
    if files.has("README.md"):
        card = bytes(files.read("README.md")).decode("utf-8", errors="replace")
        front = re.match(r"---\r?\n(.*?)\r?\n---", card, re.DOTALL)
        stated = front and re.search(r"^license:[ \t]*\n?[ \t]*(?:- )?[ \t]*['\"]?([^'\"\n]+)", front[1], re.MULTILINE)
        if stated:
            return stated[1].strip()
    return files.licence() or "unknown"
