"""Writes tiny model files: a table of random vectors, the mean over a text's tokens, perhaps normalised.

With `placed`, what a token's vector is depends on where it stands in its input, too.
"""

from __future__ import annotations

import base64
import pathlib
from typing import Any

import numpy as np
import tiny_tokenizers

from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program

DIM = 20
MAX_TOKENS = 48
TEXT: dict[str, Any] = {
    "max_tokens": 16,
    "prompts": {"query": "the ", "passage": "world ", "shout": "!!! "},
    "default_prompt_name": None,
    "similarity": "cosine",
    "include_prompt": True,
}
ABOUT = {"name": "tiny", "architecture": "table", "source": "none", "licence": "CC0-1.0", "options": {"quant": "fp32"}}


def table(vocabulary: int) -> np.ndarray:
    """The vector of each id, float32 [vocabulary, DIM]."""
    return np.random.default_rng(7).normal(0.3, 1, (vocabulary, DIM)).astype(np.float32)


def places() -> np.ndarray:
    """What is added to the vector of the token at each place of an input, float32 [MAX_TOKENS, DIM]."""
    return np.random.default_rng(8).normal(0, 1, (MAX_TOKENS, DIM)).astype(np.float32)


def write_model(
    path: pathlib.Path,
    *,
    tokenizer: tiny_tokenizers.Definition | bytes | None = None,
    text: dict[str, Any] | None = None,
    normalize: bool = False,
    rows: bool = True,
    placed: bool = False,
    golden: dict[str, Any] | None = None,
    ids: int | None = None,
    image: dict[str, Any] | None = None,
) -> pathlib.Path:
    """Write a model; `tokenizer` None is the WordPiece one, b"" none at all; `rows` asks for token embeddings."""
    definition = tiny_tokenizers.word_piece() if tokenizer is None else tokenizer
    is_json = isinstance(definition, dict)
    vocabulary = ids or (tiny_tokenizers.vocabulary(definition) if is_json else 100)
    program = Program(vocabulary, MAX_TOKENS)
    tokens = program.op("lookup", IDS, name="words", table=table(vocabulary), index="token")
    if placed:
        where = program.op("lookup", IDS, name="places", table=places(), index="position")
        tokens = program.op("add", tokens, where)
    last = program.op("pool", tokens, kind="mean")
    if normalize:
        last = program.op("normalize", last)
    program.outputs["sentence_embedding"] = last
    if rows:
        program.outputs["token_embeddings"] = tokens
    sections = [
        *writer.program_sections(program),
        writer.json_section(writer.TEXT, TEXT if text is None else text),
        writer.json_section(writer.ABOUT, ABOUT),
        writer.json_section(writer.REPORT, {"cosine_mean": 1.0}),
    ]
    content = tiny_tokenizers.as_bytes(definition) if is_json else definition
    if content:
        sections.append(writer.section(writer.TOKENIZER, content))
    if image is not None:
        sections.append(writer.json_section(writer.IMAGE, image))
    if golden is not None:
        sections.append(writer.json_section(writer.GOLDEN, golden))
    writer.write(path, sections)
    return path


def golden_item(text: str, ids: list[int], vector: np.ndarray) -> dict[str, Any]:
    encoded = base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    return {"text": text, "ids": ids, "vector": encoded}
