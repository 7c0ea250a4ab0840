"""The peer is exported, fused and quantised, and computes what the checkpoint computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import peer_checkpoint
from peer_checkpoint import TEXTS, expected

from embedrt_bench import checkpoint, engines
from embedrt_bench.engines import onnxruntime


def test_the_peer_computes_the_checkpoint(tokenizer_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    peer_checkpoint.save(folder, tokenizer_file)
    read = checkpoint.read(folder)
    cache = tmp_path / "cache"
    int8, fp32 = onnxruntime.prepare(read, cache, [])
    plain = onnxruntime.reference(read, cache)
    assert len(list(cache.iterdir())) == 1  # one export serves all, and leaves nothing behind
    assert Path(int8.model).stat().st_size < Path(fp32.model).stat().st_size
    encoders = {c.name: engines.load(c, threads=1, max_tokens=64) for c in (int8, fp32, plain)}
    assert [len(ids) for ids in encoders[plain.name].token_ids(TEXTS)] == [3, 5, 2, 12]
    truth = expected(folder, encoders[plain.name], TEXTS)
    for batch_size in (1, 2, 8):
        # Two layers of 64 columns in float32, in whatever order: a few units in the last place of unit vectors.
        np.testing.assert_allclose(encoders[plain.name].encode(TEXTS, batch_size), truth, atol=1e-5)
        np.testing.assert_allclose(encoders[fp32.name].encode(TEXTS, batch_size), truth, atol=1e-5)
        cosines = np.sum(encoders[int8.name].encode(TEXTS, batch_size) * truth, axis=1)
        assert cosines.min() > 0.97
