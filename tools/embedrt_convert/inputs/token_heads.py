"""The two files beside BGE-M3's encoder: a weight, and a vector, for each token."""

from __future__ import annotations

import dataclasses

from embedrt._retrieval_config import MultiVectorConfig, Side, SparseConfig
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Dense, Text, TokenHeads
from embedrt_convert.inputs.token_ids import TokenIds
from embedrt_convert.inputs.weights import read_file
from embedrt_convert.sources.files import Files

_WEIGHTS, _VECTORS = "sparse_linear", "colbert_linear"
_SUFFIXES = (".safetensors", ".pt")
# Tokens whose weights do not count, as FlagEmbedding has it.
_UNUSED = ("cls_token", "eos_token", "pad_token", "unk_token")


def read(files: Files) -> TokenHeads | None:
    """The heads, None for a folder without them. Raises ConversionError where one of the two is missing."""
    found = {stem: _file(files, stem) for stem in (_WEIGHTS, _VECTORS)}
    if not any(found.values()):
        return None
    if missing := [stem for stem, name in found.items() if name is None]:
        raise ConversionError(f"{files.label} has no {missing[0]}.pt, though it has the other of BGE-M3's two heads")
    weights, vectors = (_dense(files, str(name), stem) for stem, name in found.items())
    return TokenHeads(
        dataclasses.replace(weights, activation="relu"),
        vectors,
    )


def read_text(files: Files, encoder: str, text: Text) -> Text:
    """The text with what becomes of weights and vectors of tokens."""
    ids = TokenIds(files, encoder, text.tokenizer)
    skip = {found for role in _UNUSED if (found := ids.special(role)) is not None}
    side = Side(text.max_tokens)
    return dataclasses.replace(
        text, sparse=SparseConfig(tuple(sorted(skip))), multi_vector=MultiVectorConfig(side, side, first=1)
    )


def _file(files: Files, stem: str) -> str | None:
    return next((stem + suffix for suffix in _SUFFIXES if files.has(stem + suffix)), None)


def _dense(files: Files, name: str, stem: str) -> Dense:
    tensors = read_file(files, name)
    if set(tensors) != {"weight", "bias"}:
        raise ConversionError(f"{name} in {files.label} must hold weight and bias; it has {', '.join(sorted(tensors))}")
    return Dense(stem, tensors["weight"], tensors["bias"], "none")
