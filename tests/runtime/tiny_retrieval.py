"""Writes tiny model files with sparse weights and vectors of tokens: each token has its own, whatever stands beside."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import tiny_tokenizers
from tiny_model import TEXT

from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program

COLUMNS = 6
VOCABULARY = tiny_tokenizers.vocabulary(tiny_tokenizers.word_piece())
MULTI = {
    "query": {"max_tokens": 16, "skip": []},
    "document": {"max_tokens": 15, "skip": []},
    "expansion": None,
    "first": 0,
}


def table() -> np.ndarray:
    """The row of each id, float32 [VOCABULARY, COLUMNS]; its first column is its weight."""
    return np.random.default_rng(3).normal(0, 1, (VOCABULARY, COLUMNS)).astype(np.float32)


def logits() -> np.ndarray:
    """What a row says about each id: float32 [VOCABULARY, COLUMNS]."""
    return np.random.default_rng(4).normal(0, 1, (VOCABULARY, COLUMNS)).astype(np.float32)


def write_retrieval(path: pathlib.Path, outputs: tuple[str, ...], **text: Any) -> pathlib.Path:
    """A model with these outputs; `text` are keys of its text section."""
    program = Program(VOCABULARY, 48)
    rows = program.op("lookup", IDS, name="words", table=table())
    for output in outputs:
        if output == "sparse_embedding":
            greatest = program.op("pool", program.op("linear", rows, name="logits", weight=logits()), kind="max")
            value = program.op("activate", greatest, activation="log1p_relu")
        elif output == "token_weights":
            first = np.eye(1, COLUMNS, dtype=np.float32)
            value = program.op("linear", rows, name="weights", weight=first, activation="relu")
        elif output == "multi_vector_embedding":
            value = program.op("normalize", rows)
        else:
            value = program.op("pool", rows, kind="mean")
        program.outputs[output] = value
    definition = tiny_tokenizers.as_bytes(tiny_tokenizers.word_piece())
    sections = [
        *writer.program_sections(program),
        writer.json_section(writer.TEXT, {**TEXT, **text}),
        writer.section(writer.TOKENIZER, definition),
    ]
    writer.write(path, sections)
    return path
