"""ONNX Runtime as an application would use it at its best: fused, quantised, length-sorted batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from embedrt_bench.engines import Contestant
from embedrt_bench.engines.padded import Padded

if TYPE_CHECKING:
    from embedrt_bench.checkpoint import Checkpoint


def prepare(checkpoint: Checkpoint, cache: Path, calibration: Sequence[str]) -> list[Contestant]:
    """The fused int8 and the fused float32 model, exported once into `cache`; their scales need no calibration."""
    from embedrt_bench.engines.onnx_export import export

    files = export(checkpoint, cache)
    return [
        _contestant(checkpoint, "ONNX Runtime int8", files.int8, files.description("fused", "int8")),
        _contestant(checkpoint, "ONNX Runtime fp32", files.fused, files.description("fused")),
    ]


def reference(checkpoint: Checkpoint, cache: Path) -> Contestant:
    """The float32 model as exported, before any fusion: what fidelity is measured against."""
    from embedrt_bench.engines.onnx_export import export

    files = export(checkpoint, cache)
    return _contestant(checkpoint, "reference (fp32 as exported)", files.plain, files.description())


def _contestant(checkpoint: Checkpoint, name: str, model: Path, description: dict[str, str]) -> Contestant:
    """A contestant for an exported model of this checkpoint."""
    options = {
        "tokenizer": str(model.parent / "tokenizer.json"),
        "pooling": checkpoint.pooling,
        "normalize": checkpoint.normalize,
    }
    sessions = "all graph optimisations, memory arena, spinning threads (the defaults)"
    return Contestant("onnxruntime", name, str(model), (8, 32), options, {**description, "session": sessions})


def load(contestant: Contestant, threads: int, max_tokens: int) -> OnnxEncoder:
    return OnnxEncoder(contestant, threads, max_tokens)


class OnnxEncoder:
    """A session between a tokenizer and pooling."""

    def __init__(self, contestant: Contestant, threads: int, max_tokens: int) -> None:
        self._padded = Padded(contestant, max_tokens)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = onnxruntime.InferenceSession(contestant.model, options, providers=["CPUExecutionProvider"])
        self._columns = int(self._session.get_outputs()[0].shape[2])

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self._padded.token_ids(texts)

    def encode(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self._columns), np.float32)
        for batch in self._padded.batches(texts, batch_size):
            vectors[batch.rows] = self._padded.pool(self._session.run(None, batch.feeds)[0], batch)
        return vectors
