"""A case: how to save a tiny random checkpoint of a family, and what somebody else's code computes from it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cpu_torchvision  # noqa: F401
import numpy as np
import torch
from numpy.typing import NDArray
from random_models import vocabulary, write_json

Array = NDArray[np.float32]

VOCABULARY = 163  # tokens of most cases
FIRST_ID = 5  # ids below it have a meaning of their own, such as padding, which a peer may look for


@dataclass(frozen=True)
class Case:
    """`save` writes the checkpoint with everything that a conversion reads; `reference` gives the token vectors.

    `reference(folder, texts)` is float32 [tokens, hidden] for each text, a list of ids, computed in float32 by
    `compared_with`. `task` is the one to convert for. `longest` is the longest text that is tried, at most the model's
    limit. `atol` is the largest difference that the fp32 file may have.
    """

    name: str
    save: Callable[[Path], None]
    reference: Callable[[Path, Sequence[list[int]]], list[Array]]
    compared_with: str
    task: str | None = None
    longest: int = 64
    atol: float = 2e-5
    int8_cosine: tuple[float, float] = (0.99, 0.95)  # mean, worst, of token vectors: at least

    def texts(self, size: int) -> list[list[int]]:
        """Random texts of 1 to `longest` tokens, of the ids below `size`."""
        rng = np.random.default_rng(0)
        lengths = (1, 2, 3, self.longest, 7, 1, 17, 5, self.longest - 1)
        return [rng.integers(FIRST_ID, size, min(length, self.longest)).tolist() for length in lengths]


def of_transformers(
    name: str, made: Callable[[], torch.nn.Module], read: Any, *, tokens: int = VOCABULARY, **fields: Any
) -> Case:
    """The case of a model of transformers: `made` with random weights, and the class which `read`s its encoder."""

    def save(folder: Path) -> None:
        torch.manual_seed(zlib.crc32(f"{read.__name__} {name}".encode()))  # no two cases are the same
        model = made().eval()
        randomise(model)
        model.save_pretrained(folder)
        save_tokenizer(folder, tokens)

    def reference(folder: Path, texts: Sequence[list[int]]) -> list[Array]:
        model = read.from_pretrained(folder, attn_implementation="eager").eval()
        with torch.no_grad():
            # One at a time: padding has no part in it.
            return [model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy() for ids in texts]

    return Case(name, save, reference, f"transformers {read.__name__}", **fields)


def randomise(model: torch.nn.Module) -> None:
    """Weights large enough that every part matters: biases and norms too, and buckets of distances most of all."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:
                parameter.normal_(0, 1)
            elif "SelfAttention.q." in name:
                parameter.normal_(0, 0.04)  # T5 does not divide its scores by the root of a head's columns
            elif parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            else:
                parameter.normal_(0, 0.15)


def save_tokenizer(folder: Path, tokens: int = VOCABULARY) -> None:
    """A WordPiece tokenizer of so many tokens; what a family's own makes of a text is tested elsewhere."""
    padding, unknown, *others = vocabulary(tokens)
    # Padding has the id that RoBERTa and MPNet skip when they count positions.
    (folder / "vocab.txt").write_text("\n".join([unknown, padding, *others]) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
