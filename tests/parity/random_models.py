"""Tiny random BERT models, saved as transformers and sentence-transformers save them."""

from __future__ import annotations

import itertools
import json
import pathlib
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel

WORDS = ["the", "of", "and", "hello", "world", "password", "how", "do", "is", "my", "cat", "dog", "ran", "on", "mat"]


def vocabulary(size: int) -> list[str]:
    """`size` WordPiece tokens: the special ones, letters, words, and fillers."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    start = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{letter}" for letter in letters),
        *WORDS,
        ".",
        ",",
    ]
    return list(itertools.islice(itertools.chain(start, (f"filler{i}" for i in itertools.count())), size))


def save_bert(folder: pathlib.Path, *, seed: int = 0, vocab_size: int = 101, **config: Any) -> BertModel:
    """A BertModel with weights large enough that every part of it matters, and its tokenizer."""
    torch.manual_seed(seed)
    settings = {"max_position_embeddings": 64, "initializer_range": 0.15, **config}
    model = BertModel(BertConfig(vocab_size=vocab_size, **settings)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary(vocab_size)) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    return model


def write_json(path: pathlib.Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def ragged(vocab_size: int, longest: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of segments of 1 to `longest` tokens: int32 [n], int64 offsets."""
    rng = np.random.default_rng(seed)
    lengths = [1, 2, 3, longest, 7, 1, 17, 5, longest - 1]
    offsets = np.cumsum([0, *lengths])
    return rng.integers(0, vocab_size, offsets[-1], dtype=np.int32), offsets


def transformers_tokens(model: BertModel, ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The last hidden states, float32 [n, hidden], from one padded batch."""
    lengths = np.diff(offsets)
    padded = np.zeros((len(lengths), lengths.max()), np.int64)
    mask = np.arange(lengths.max()) < lengths[:, None]
    padded[mask] = ids
    with torch.no_grad():
        states = model(input_ids=torch.from_numpy(padded), attention_mask=torch.from_numpy(mask.astype(np.int64)))
    return states.last_hidden_state.numpy()[mask]
