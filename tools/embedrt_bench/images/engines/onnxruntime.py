"""ONNX Runtime as an application would use it at its best: quantised, all graph optimisations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from embedrt_bench.engines import Contestant
from embedrt_bench.images.checkpoint import ImageCheckpoint
from embedrt_bench.images.samples import Samples
from embedrt_bench.images.steps import Normalisation, Steps


def prepare(checkpoint: ImageCheckpoint, cache: Path, samples: Samples, section: dict[str, Any]) -> list[Contestant]:
    """The int8 and the float32 model."""
    from embedrt_bench.images.onnx_export import export
    from embedrt_bench.images.onnx_quantize import quantize

    exported = export(checkpoint, cache)
    made = exported.made
    options = {"section": section, "normalisation": made["normalisation"]}
    int8 = quantize(exported, cache, samples.tensors(**options), samples.digest())
    return [
        _contestant("ONNX Runtime int8", int8.model, options, {"export": made["export"], "int8": int8.description}),
        _contestant("ONNX Runtime fp32", exported.prepared, options, {"export": made["export"]}),
    ]


def reference(checkpoint: ImageCheckpoint, cache: Path, section: dict[str, Any]) -> Contestant:
    """The float32 model as exported, nothing rearranged: what fidelity is measured against."""
    from embedrt_bench.images.onnx_export import export

    exported = export(checkpoint, cache)
    options = {"section": section, "normalisation": exported.made["normalisation"]}
    name = "reference (fp32 as exported)"
    return _contestant(name, exported.plain, options, {"export": exported.made["export"]})


def _contestant(name: str, model: Path, options: dict[str, Any], description: dict[str, str]) -> Contestant:
    sessions = "all graph optimisations, memory arena, spinning threads (the defaults)"
    return Contestant("onnxruntime", name, str(model), (1, 8), options, {**description, "session": sessions})


def load(contestant: Contestant, threads: int) -> OnnxEncoder:
    return OnnxEncoder(contestant, threads)


class OnnxEncoder:
    """A session behind decoding and normalising."""

    def __init__(self, contestant: Contestant, threads: int) -> None:
        self._steps = Steps(contestant.options["section"], threads)
        self._normalisation = Normalisation(**contestant.options["normalisation"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = onnxruntime.InferenceSession(contestant.model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def prepare(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """float32 [n, 3, height, width]."""
        return self._normalisation.of(self._steps.pixels(files))

    def encode(self, prepared: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
        parts = [
            self._session.run(None, {self._input: prepared[start : start + batch_size]})[0]
            for start in range(0, len(prepared), batch_size)
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def encode_files(self, files: Sequence[bytes], batch_size: int) -> NDArray[np.float32]:
        return self.encode(self.prepare(files), batch_size)
