"""OpenVINO as an application would use it at its best: quantised with calibration, compiled for each batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from embedrt_bench.engines import Contestant
from embedrt_bench.images.checkpoint import ImageCheckpoint
from embedrt_bench.images.samples import Samples
from embedrt_bench.images.steps import Normalisation, Steps


def prepare(checkpoint: ImageCheckpoint, cache: Path, samples: Samples, section: dict[str, Any]) -> list[Contestant]:
    """The int8 model, and the one that is not quantised: where the CPU has bfloat16 it may be the faster one."""
    from embedrt_bench.images.onnx_export import export
    from embedrt_bench.images.openvino_quantize import quantize

    exported = export(checkpoint, cache)
    made = exported.made
    options = {"section": section, "normalisation": made["normalisation"]}
    int8 = quantize(exported, cache, samples.tensors(**options), samples.digest())
    session = (
        "compiled for each batch size; one batch on one stream, several on one a thread; the plugin's float precision"
    )
    description = {"export": made["export"], "session": session}
    return [
        Contestant(
            "openvino",
            "OpenVINO int8",
            str(int8.model),
            (1, 4, 8),
            {**options, "compiled": str(int8.compiled)},
            {**description, "int8": int8.description},
        ),
        Contestant(
            "openvino",
            "OpenVINO float",
            str(exported.prepared),
            (1, 4, 8),
            {**options, "compiled": str(int8.compiled)},
            description,
        ),
    ]


def load(contestant: Contestant, threads: int) -> OpenVinoEncoder:
    return OpenVinoEncoder(contestant, threads)


class OpenVinoEncoder:
    """Compiled models behind decoding and normalising.

    A batch on its own is run by all threads together, several batches by as many threads at once. Each batch size and
    each of the two ways has a compiled model, made when it is first needed.
    """

    def __init__(self, contestant: Contestant, threads: int) -> None:
        self._steps = Steps(contestant.options["section"], threads)
        self._normalisation = Normalisation(**contestant.options["normalisation"])
        self._threads = threads
        self._core = openvino.Core()
        self._model = contestant.model
        self._compiled = contestant.options["compiled"]
        self._queues: dict[tuple[int, int], Any] = {}

    def prepare(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """float32 [n, 3, height, width]."""
        return self._normalisation.of(self._steps.pixels(files))

    def encode(self, prepared: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
        parts = [prepared[start : start + batch_size] for start in range(0, len(prepared), batch_size)]
        streams = 1 if len(parts) == 1 else self._threads
        vectors: list[Any] = [None] * len(parts)
        # The last part may be smaller than the others.
        for size in {len(part) for part in parts}:
            queue = self._queue(size, streams)
            for number, part in enumerate(parts):
                if len(part) == size:
                    queue.start_async([part], (number, vectors), share_inputs=True)
            queue.wait_all()
        return np.concatenate(vectors)

    def encode_files(self, files: Sequence[bytes], batch_size: int) -> NDArray[np.float32]:
        return self.encode(self.prepare(files), batch_size)

    def _queue(self, size: int, streams: int) -> Any:
        """A queue of as many requests as streams, each of `size` images."""
        if (size, streams) not in self._queues:
            model = self._core.read_model(self._model)
            model.reshape([size, *list(model.inputs[0].partial_shape)[1:]])
            settings = {
                "CACHE_DIR": self._compiled,
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": streams,
            }
            queue = openvino.AsyncInferQueue(self._core.compile_model(model, "CPU", settings), streams)
            queue.set_callback(_store)
            self._queues[size, streams] = queue
        return self._queues[size, streams]


def _store(request: Any, task: tuple[int, list[Any]]) -> None:
    number, vectors = task
    vectors[number] = request.get_output_tensor(0).data.copy()
