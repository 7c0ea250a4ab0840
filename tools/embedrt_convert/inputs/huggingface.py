"""Reads a Hugging Face or sentence-transformers folder."""

from __future__ import annotations

import re

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import sentence_transformers
from embedrt_convert.inputs.checkpoint import Checkpoint, Text
from embedrt_convert.inputs.tokenizer import read_tokenizer
from embedrt_convert.inputs.weights import read_weights
from embedrt_convert.sources.files import Files


def read(files: Files) -> Checkpoint:
    """The checkpoint in `files`. Raises ConversionError when something is missing, malformed or not supported."""
    layout = sentence_transformers.read_layout(files)
    encoder = layout.encoder
    config = files.json(encoder + "config.json")
    settings_name = encoder + "tokenizer_config.json"
    settings = files.json(settings_name) if files.has(settings_name) else {}
    limit, lowercase = sentence_transformers.read_limits(files, encoder)

    # As sentence-transformers: its own limit, else the tokenizer's; never more than there are positions.
    limits = [limit if limit is not None else settings.get("model_max_length"), config.get("max_position_embeddings")]
    max_tokens = min((each for each in limits if isinstance(each, (int, float))), default=0)
    if max_tokens < 1:
        raise ConversionError(
            f"{files.label} has no length limit above 0: config.json must have max_position_embeddings"
        )
    vocabulary = config.get("vocab_size")
    if not isinstance(vocabulary, int):
        raise ConversionError(f"config.json of {files.label} must have vocab_size")
    return Checkpoint(
        config=config,
        tensors=read_weights(files, encoder.rstrip("/")),
        text=Text(
            tokenizer=read_tokenizer(files, encoder, settings, vocabulary, lowercase),
            max_tokens=int(max_tokens),
            **sentence_transformers.read_prompts(files),
        ),
        modules=layout.modules,
        licence=_licence(files),
        notes=layout.notes,
    )


def _licence(files: Files) -> str:
    """What the model card's front matter says, else the package that carries the weights, else "unknown"."""
    if files.has("README.md"):
        card = bytes(files.read("README.md")).decode("utf-8", errors="replace")
        front = re.match(r"---\r?\n(.*?)\r?\n---", card, re.DOTALL)
        stated = front and re.search(r"^license:[ \t]*\n?[ \t]*(?:- )?[ \t]*['\"]?([^'\"\n]+)", front[1], re.MULTILINE)
        if stated:
            return stated[1].strip()
    return files.licence() or "unknown"
