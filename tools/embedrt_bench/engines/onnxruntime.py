"""ONNX Runtime as an application would use it at its best: fused, quantised, length-sorted batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedrt_bench.engines import Contestant

if TYPE_CHECKING:
    from embedrt_bench.checkpoint import Checkpoint


def prepare(checkpoint: Checkpoint, cache: Path) -> list[Contestant]:
    """The fused int8 and the fused float32 model, exported once into `cache`."""
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
    """A session, the checkpoint's tokenizer, and pooling in NumPy."""

    def __init__(self, contestant: Contestant, threads: int, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_file(contestant.options["tokenizer"])
        self._tokenizer.no_padding()  # tokenizer.json may ask for a fixed width: hundreds of padding tokens a text
        self._tokenizer.enable_truncation(max_tokens)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = onnxruntime.InferenceSession(contestant.model, options, providers=["CPUExecutionProvider"])
        self._mean = contestant.options["pooling"] == "mean"
        self._normalize = bool(contestant.options["normalize"])
        self._columns = int(self._session.get_outputs()[0].shape[2])

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def encode(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        ids = self.token_ids(texts)
        lengths = np.array([len(row) for row in ids])
        order = np.argsort(-lengths, kind="stable")
        vectors = np.empty((len(ids), self._columns), np.float32)
        for start in range(0, len(ids), batch_size):
            batch = order[start : start + batch_size]
            vectors[batch] = self._run([ids[i] for i in batch], lengths[batch])
        return vectors

    def _run(self, ids: list[list[int]], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """One batch, longest text first: padded to it, run, pooled."""
        padded = np.zeros((len(ids), lengths[0]), np.int64)
        for row, values in zip(padded, ids, strict=True):
            row[: len(values)] = values
        mask = np.arange(lengths[0]) < lengths[:, None]
        feeds = {
            "input_ids": padded,
            "attention_mask": mask.astype(np.int64),
            "token_type_ids": np.zeros_like(padded),
        }
        hidden = self._session.run(None, feeds)[0]
        if self._mean:
            # One small matrix product a text: no masked copy of the hidden states.
            weights = mask.astype(np.float32) / lengths[:, None].astype(np.float32)
            vectors: NDArray[np.float32] = (weights[:, None, :] @ hidden)[:, 0, :]
        else:
            vectors = hidden[:, 0, :]
        if self._normalize:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors
