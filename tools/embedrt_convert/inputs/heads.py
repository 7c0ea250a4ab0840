"""What a folder of a text model makes of an encoder's rows: a vector, logits, sparse weights, a vector a token."""

from __future__ import annotations

import dataclasses
from typing import Any

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import classification, late_interaction, sentence_transformers, sparse_encoder, token_heads
from embedrt_convert.inputs.checkpoint import Checkpoint, Head, MultiVector, Splade, TokenHeads
from embedrt_convert.inputs.sentence_transformers import Layout
from embedrt_convert.sources.files import Files

# Heads that a user may ask for where the files do not say it.
HEADS = ("splade",)


def read_layout(files: Files, head: str | None) -> Layout:
    """The encoder's folder, the modules after it, and the head. Raises ConversionError."""
    if head is not None and head not in HEADS:
        raise ConversionError(f"the head {head!r} is not known; known: {', '.join(HEADS)}")
    if late_interaction.is_late_interaction(files):
        if head is not None:
            raise ConversionError(f"{files.label} is a late-interaction model: it has no head {head}")
        return late_interaction.read_layout(files)
    if head == "splade" or sparse_encoder.is_sparse(files):
        return sparse_encoder.read_layout(files)
    if classification.is_classifier(files):
        return Layout("", (), head=classification.read(files))
    layout = sentence_transformers.read_layout(files)
    return dataclasses.replace(layout, head=token_heads.read(files))


def read_prompts(files: Files, head: Head | None) -> dict[str, Any]:
    """Fields of `Text` that config_sentence_transformers.json says. Raises ConversionError."""
    prompts = sentence_transformers.read_prompts(files)
    if isinstance(head, MultiVector):  # whose similarities are sums of products, by whatever name
        return {**prompts, "similarity": "dot"}
    default = "dot" if isinstance(head, Splade) else "cosine"
    return {**prompts, "similarity": sentence_transformers.read_similarity(files, default)}


def finished(files: Files, encoder: str, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with what its head adds to the text and to the modules. Raises ConversionError."""
    text, head = checkpoint.text, checkpoint.head
    assert text is not None
    if isinstance(head, Splade):
        text = dataclasses.replace(text, sparse=sparse_encoder.read_config(files))
    elif isinstance(head, MultiVector):
        text = late_interaction.read_text(files, encoder, text)
        tensors, modules = late_interaction.projected(checkpoint.tensors, checkpoint.modules)
        checkpoint = dataclasses.replace(checkpoint, tensors=tensors, modules=modules)
    elif isinstance(head, TokenHeads):
        text = token_heads.read_text(files, encoder, text)
    return dataclasses.replace(checkpoint, text=text)
