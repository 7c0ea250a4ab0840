"""A tiny checkpoint that peers are made from, and what it computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import transformers

from embedrt_bench.engines import Encoder

TEXTS = ["a", "b a b", "", "a b a b a b a b a b"]


def save(root: Path, tokenizer_file: Path) -> None:
    """A random BERT of two layers, with mean pooling and normalisation."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=32,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(root)
    tokenizer_file.rename(root / "tokenizer.json")
    (root / "1_Pooling").mkdir()
    (root / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}), "utf-8")
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in kinds.items()]
    (root / "modules.json").write_text(json.dumps(modules), "utf-8")


def expected(folder: Path, encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Each text alone through transformers: nothing is padded."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    vectors = []
    for ids in encoder.token_ids(texts):
        with torch.no_grad():
            vector = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(dim=0).numpy()
        vectors.append(vector / np.linalg.norm(vector))
    return np.stack(vectors)
