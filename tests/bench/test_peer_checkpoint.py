"""What peers are made from, and what they are not made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from embedrt_bench import checkpoint, sources
from embedrt_bench.engines.onnx_export import check_fusions
from embedrt_bench.errors import BenchError

CONFIG = {
    "model_type": "bert",
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "hidden_size": 384,
    "max_position_embeddings": 512,
}


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "config.json", CONFIG)
    write(tmp_path / "tokenizer.json", {})
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def modules(folder: Path, pooling: dict[str, Any], *kinds: str) -> None:
    paths = {"Transformer": "", "Pooling": "1_Pooling"}
    write(folder / "1_Pooling" / "config.json", pooling)
    types = [{"type": f"sentence_transformers.models.{kind}", "path": paths.get(kind, kind)} for kind in kinds]
    write(folder / "modules.json", types)


def test_a_plain_encoder(folder: Path) -> None:
    read = checkpoint.read(folder)
    assert (read.layers, read.heads, read.hidden_size, read.positions) == (6, 12, 384, 512)
    assert (read.pooling, read.normalize) == ("mean", False)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "word_embedding_dimension": 384}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
    ],
)
def test_sentence_transformers_modules(folder: Path, pooling: dict[str, Any], expected: str) -> None:
    modules(folder, pooling, "Transformer", "Pooling", "Normalize")
    read = checkpoint.read(folder)
    assert (read.pooling, read.normalize) == (expected, True)


def test_modules_that_no_peer_has_are_refused(folder: Path) -> None:
    modules(folder, {"pooling_mode_max_tokens": True}, "Transformer", "Pooling")
    with pytest.raises(BenchError, match="pooling_mode_max_tokens"):
        checkpoint.read(folder)
    modules(folder, {"pooling_mode_mean_tokens": True}, "Transformer", "Pooling", "Dense")
    with pytest.raises(BenchError, match="module Dense"):
        checkpoint.read(folder)


def test_the_digest_follows_whatever_decides_vectors(folder: Path) -> None:
    digests = [checkpoint.read(folder).digest]
    (folder / "model.safetensors").write_bytes(b"others")
    digests.append(checkpoint.read(folder).digest)
    modules(folder, {"pooling_mode_cls_token": True}, "Transformer", "Pooling")
    digests.append(checkpoint.read(folder).digest)
    assert len(set(digests)) == 3


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(BenchError, match=missing):
        checkpoint.read(folder)


def test_where_the_checkpoint_is() -> None:
    assert sources.source_of("there", "m.embedrt", "hf:a/b") == "there"
    assert sources.source_of(None, "hf:c/d", "hf:a/b") == "hf:c/d"
    assert sources.source_of(None, "m.embedrt", "hf:a/b") == "hf:a/b"
    assert sources.source_of(None, None, "pypi:a==1") == "pypi:a==1"
    with pytest.raises(BenchError, match="--checkpoint"):
        sources.source_of(None, "m.embedrt", "folder:all-MiniLM-L6-v2")


def test_a_layer_that_was_not_fused_is_refused() -> None:
    counts = {"EmbedLayerNormalization": 1, "Attention": 6, "BiasGelu": 6, "SkipLayerNormalization": 12}
    check_fusions(counts, layers=6)
    for name in counts:
        with pytest.raises(BenchError, match=f"fused 0 {name}"):
            check_fusions({**counts, name: 0}, layers=6)
