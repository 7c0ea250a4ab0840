"""Writes tiny model files that take images: a patch is a product of its pixels, an image the mean of its patches."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import tiny_tokenizers
from tiny_model import ABOUT, DIM, MAX_TOKENS, TEXT, table

from embedrt_convert import writer
from embedrt_convert.builder import IDS, PIXELS, Program

SIZE = (12, 16)
PATCH = 4
CLASSES = 3
SECTION: dict[str, Any] = {
    "resize": {"mode": "shortest_edge", "size": 18, "max": None},
    "resample": "bicubic",
    "crop": {"height": SIZE[0], "width": SIZE[1]},
    "height": SIZE[0],
    "width": SIZE[1],
    "labels": None,
    "similarity": "cosine",
    "logit_scale": None,
    "logit_bias": None,
}
LABELS = ["cat", "dog", "neither"]


def weights() -> dict[str, np.ndarray]:
    """float32: of the patches [DIM, PATCH * PATCH * 3], the class token's row, the positions, of the classes."""
    rng = np.random.default_rng(3)
    places = SIZE[0] * SIZE[1] // PATCH**2
    return {
        "patch": rng.normal(0, 0.01, (DIM, PATCH * PATCH * 3)).astype(np.float32),
        "prefix": rng.normal(0, 1, (1, DIM)).astype(np.float32),
        "position": rng.normal(0, 1, (places, DIM)).astype(np.float32),
        "head": rng.normal(0, 1, (CLASSES, DIM)).astype(np.float32),
    }


def patches(pixels: np.ndarray) -> np.ndarray:
    """What the tiny program makes of uint8 [n, *SIZE, 3]: float64 [n, height, width, DIM], before the positions."""
    height, width = SIZE[0] // PATCH, SIZE[1] // PATCH
    blocks = pixels.reshape(-1, height, PATCH, width, PATCH, 3).swapaxes(2, 3).reshape(-1, height, width, PATCH**2 * 3)
    return blocks.astype(np.float64) @ weights()["patch"].T.astype(np.float64)


def write_image_model(
    path: pathlib.Path,
    *,
    section: dict[str, Any] | None = None,
    texts: bool = False,
    golden: dict[str, Any] | None = None,
    outputs: tuple[str, ...] = ("image_embedding", "class_token", "patch_mean", "patch_embeddings", "logits"),
    text_columns: int = DIM,
) -> pathlib.Path:
    """Write a model of images; with `texts` also one of texts, as tiny_model's. `section` {} leaves it out."""
    definition = tiny_tokenizers.word_piece()
    vocabulary = tiny_tokenizers.vocabulary(definition)
    data = weights()
    program = Program(vocabulary if texts else 0, MAX_TOKENS if texts else 0, SIZE)
    bias = np.zeros((1, DIM), np.float32)
    grid = program.op("conv2d", PIXELS, name="patch", weight=data["patch"], bias=bias, kernel=PATCH, stride=PATCH)
    values = {"image_embedding": grid}
    if {"class_token", "patch_mean", "patch_embeddings"} & {*outputs}:
        placed = program.op("place", grid, name="place", prefix=data["prefix"], position=data["position"])
        values |= dict.fromkeys(("class_token", "patch_mean", "patch_embeddings"), placed)
    if "image_embedding" in outputs or "logits" in outputs:
        values["image_embedding"] = program.op("pool", grid, kind="mean")
    for name in outputs:
        if name == "class_token":
            values[name] = program.op("pool", values[name], kind="first")
        elif name == "patch_mean":
            values[name] = program.op("pool", values[name], kind="mean", skip=1)
        elif name == "logits":
            values[name] = program.op("linear", values["image_embedding"], name="head", weight=data["head"])
        program.outputs[name] = values[name]
    sections = [writer.json_section(writer.ABOUT, ABOUT)]
    if texts:
        words = program.op("lookup", IDS, name="words", table=table(vocabulary)[:, :text_columns], index="token")
        program.outputs["sentence_embedding"] = program.op("pool", words, kind="mean")
        sections.append(writer.json_section(writer.TEXT, TEXT))
        sections.append(writer.section(writer.TOKENIZER, tiny_tokenizers.as_bytes(definition)))
    if section != {}:
        sections.append(writer.json_section(writer.IMAGE, SECTION if section is None else section))
    if golden is not None:
        sections.append(writer.json_section(writer.GOLDEN, golden))
    writer.write(path, [*writer.program_sections(program), *sections])
    return path
