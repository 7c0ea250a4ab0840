"""Tiny random models of images, saved as transformers saves them, and both ways to run what is made of them."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from embedrt import _core
from embedrt_convert import reference, writer
from embedrt_convert.builder import Program

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


def save(model: torch.nn.Module, folder: pathlib.Path, size: tuple[int, int], seed: int = 0) -> torch.nn.Module:
    """The model with weights large enough that every part of it matters, and a processor to `size`; in `folder`."""
    torch.manual_seed(seed)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    model.save_pretrained(folder)
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": size[0], "width": size[1]},
        "image_mean": MEAN,
        "image_std": STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return model


def save_tokenizer(folder: pathlib.Path, vocabulary: int, limit: int) -> None:
    """As many words as a table has rows. The padding is one of them."""
    words = {"<pad>": 0, **{f"w{number}": number for number in range(1, vocabulary)}}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w1"))
    tokenizer.add_special_tokens(["<pad>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"model_max_length": limit, "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def random_pixels(size: tuple[int, int], count: int = 2, seed: int = 0) -> np.ndarray:
    """Images [count, height, width, 3] of bytes, each with its own mean."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 60, (count, *size, 3)) + rng.uniform(40, 200, (count, 1, 1, 3))
    return np.clip(np.rint(noise), 0, 255).astype(np.uint8)


def normalised(pixels: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The same pixels as a model of transformers takes them: [count, 3, height, width]."""
    values = (pixels / 255 - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(values.transpose(0, 3, 1, 2).copy()).to(dtype)


def by_reference(program: Program, pixels: np.ndarray, output: str, folder: pathlib.Path) -> np.ndarray:
    """An output by the interpreter: [images, columns], or [images, rows, columns]."""
    values = reference.run_images(program, pixels, output)
    return values if len(values) == len(pixels) else values.reshape(len(pixels), -1, values.shape[1])


def by_core(program: Program, pixels: np.ndarray, output: str, folder: pathlib.Path) -> np.ndarray:
    """The same by the runtime, from a file of the program alone."""
    path = folder / "program.embedrt"
    writer.write(path, [*writer.program_sections(program)])
    return _core.Model(str(path), mmap=False).run_images(pixels, output)


RUNNERS = {"reference": by_reference, "core": by_core}


def assert_near(actual: Any, expected: torch.Tensor, tolerance: float) -> None:
    """Largest difference, relative to the largest value."""
    wanted = expected.detach().numpy().astype(np.float64)
    assert actual.shape == wanted.shape
    assert np.abs(actual - wanted).max() <= tolerance * np.abs(wanted).max()


def text_by_reference(program: Program, ids: np.ndarray, output: str, folder: pathlib.Path) -> np.ndarray:
    """An output for one text of token ids: [1, columns] or [tokens, columns]."""
    return reference.run(program, ids, np.array([0, len(ids)]), output)


def text_by_core(program: Program, ids: np.ndarray, output: str, folder: pathlib.Path) -> np.ndarray:
    path = folder / "program.embedrt"
    writer.write(path, [*writer.program_sections(program)])
    return _core.Model(str(path), mmap=False).run(ids, np.array([0, len(ids)]), output)


TEXT_RUNNERS = {"reference": text_by_reference, "core": text_by_core}
