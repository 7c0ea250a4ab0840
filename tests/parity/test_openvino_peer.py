"""The peer is quantised with calibration, and computes what the checkpoint computes, on one thread and on two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import peer_checkpoint
import pytest
from peer_checkpoint import expected

from embedrt_bench import checkpoint, engines
from embedrt_bench.engines import Contestant, openvino

# The last is in a long batch, for which there are other settings than for short ones.
TEXTS = [*peer_checkpoint.TEXTS, "a b " * 20]
CALIBRATION = ["a b", "b", "a a a b", "b a"]


@pytest.fixture
def folder(tmp_path: Path, tokenizer_file: Path) -> Path:
    peer_checkpoint.save(tmp_path / "checkpoint", tokenizer_file)
    return tmp_path / "checkpoint"


def prepare(folder: Path, cache: Path, calibration: list[str]) -> Contestant:
    (int8,) = openvino.prepare(checkpoint.read(folder), cache, calibration)
    return int8


def test_the_peer_computes_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    int8 = prepare(folder, tmp_path / "cache", CALIBRATION)
    graph = Path(int8.model, "model.xml").read_text("utf-8")
    # Two layers of six products: those with weights, four in attention and two after it, take quantised activations.
    assert graph.count('type="FakeQuantize"') >= 2 * 4
    weights = Path(int8.model, "model.bin").stat().st_size
    original = (folder / "model.safetensors").stat().st_size
    assert weights < original / 2
    for threads in (1, 2):
        encoder = engines.load(int8, threads=threads, max_tokens=64)
        assert [len(ids) for ids in encoder.token_ids(TEXTS)] == [3, 5, 2, 12, 42]
        truth = expected(folder, encoder, TEXTS)
        # Batches side by side, one after another, and all texts at once; then again, with what is kept between calls.
        for batch_size in (1, 2, 8, 1):
            cosines = np.sum(encoder.encode(TEXTS, batch_size) * truth, axis=1)
            assert cosines.min() > 0.97


def test_models_are_made_once_for_each_calibration(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = prepare(folder, cache, CALIBRATION)
    made = Path(first.model, "model.xml").stat().st_mtime_ns
    assert prepare(folder, cache, CALIBRATION) == first
    assert Path(first.model, "model.xml").stat().st_mtime_ns == made
    assert prepare(folder, cache, CALIBRATION[:2]).model != first.model
    # The export that both are made from, and the two; nothing else is left behind.
    assert len(list(cache.iterdir())) == 3
