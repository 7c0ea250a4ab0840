"""The peer is exported, fused and quantised, and computes what the checkpoint computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from embedrt_bench import checkpoint, engines
from embedrt_bench.engines import Encoder, onnxruntime

TEXTS = ["a", "b a b", "", "a b a b a b a b a b"]


@pytest.fixture
def folder(tmp_path: Path, tokenizer_file: Path) -> Path:
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
    root = tmp_path / "checkpoint"
    transformers.BertModel(config).save_pretrained(root)
    tokenizer_file.rename(root / "tokenizer.json")
    (root / "1_Pooling").mkdir()
    (root / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}), "utf-8")
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in kinds.items()]
    (root / "modules.json").write_text(json.dumps(modules), "utf-8")
    return root


def expected(folder: Path, encoder: Encoder) -> np.ndarray:
    """Each text alone through transformers: nothing is padded."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    vectors = []
    for ids in encoder.token_ids(TEXTS):
        with torch.no_grad():
            vector = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(dim=0).numpy()
        vectors.append(vector / np.linalg.norm(vector))
    return np.stack(vectors)


def test_the_peer_computes_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    read = checkpoint.read(folder)
    cache = tmp_path / "cache"
    int8, fp32 = onnxruntime.prepare(read, cache)
    plain = onnxruntime.reference(read, cache)
    assert len(list(cache.iterdir())) == 1  # one export serves all, and leaves nothing behind
    assert Path(int8.model).stat().st_size < Path(fp32.model).stat().st_size
    encoders = {c.name: engines.load(c, threads=1, max_tokens=64) for c in (int8, fp32, plain)}
    assert [len(ids) for ids in encoders[plain.name].token_ids(TEXTS)] == [3, 5, 2, 12]
    truth = expected(folder, encoders[plain.name])
    for batch_size in (1, 2, 8):
        # Two layers of 64 columns in float32, in whatever order: a few units in the last place of unit vectors.
        np.testing.assert_allclose(encoders[plain.name].encode(TEXTS, batch_size), truth, atol=1e-5)
        np.testing.assert_allclose(encoders[fp32.name].encode(TEXTS, batch_size), truth, atol=1e-5)
        cosines = np.sum(encoders[int8.name].encode(TEXTS, batch_size) * truth, axis=1)
        assert cosines.min() > 0.97
