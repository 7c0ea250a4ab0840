"""OpenVINO as an application would use it at its best: quantised with calibration, length-sorted batches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
from numpy.typing import NDArray

from embedrt_bench.engines import Contestant
from embedrt_bench.engines.padded import Batch, Padded

if TYPE_CHECKING:
    from embedrt_bench.checkpoint import Checkpoint

# Tokens of a batch's longest text, at most, for the settings of short batches.
_SHORT = 32


def prepare(checkpoint: Checkpoint, cache: Path, calibration: Sequence[str]) -> list[Contestant]:
    """The int8 model, made once into `cache`."""
    from embedrt_bench.engines.openvino_quantize import quantize

    files = quantize(checkpoint, cache, calibration)
    options = {
        "tokenizer": str(files.tokenizer),
        "pooling": checkpoint.pooling,
        "normalize": checkpoint.normalize,
        "columns": checkpoint.hidden_size,
        "compiled": str(files.compiled),
    }
    session = "a stream for one batch, else one a thread; no kernel cache if short; the plugin's float precision"
    description = {**files.description(), "session": session}
    return [Contestant("openvino", "OpenVINO int8", str(files.int8), (8, 32), options, description)]


def load(contestant: Contestant, threads: int, max_tokens: int) -> OpenVinoEncoder:
    return OpenVinoEncoder(contestant, threads, max_tokens)


class OpenVinoEncoder:
    """Compiled models between a tokenizer and pooling.

    A batch on its own is run by all threads together, several batches by as many threads at once, each with its own;
    and short batches want another setting than long ones. A compiled model has one of each, so there may be four, each
    compiled when it is first needed.
    """

    def __init__(self, contestant: Contestant, threads: int, max_tokens: int) -> None:
        self._padded = Padded(contestant, max_tokens)
        self._threads = threads
        self._core = openvino.Core()
        self._model = Path(contestant.model, "model.xml")
        self._compiled = str(contestant.options["compiled"])
        self._columns = int(contestant.options["columns"])
        self._requests: dict[bool, Any] = {}
        self._queues: dict[bool, Any] = {}

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self._padded.token_ids(texts)

    def encode(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self._columns), np.float32)
        batches = self._padded.batches(texts, batch_size)
        # The longest batches come first, so there is one change from long to short at most.
        for short, group in itertools.groupby(batches, lambda batch: bool(batch.lengths[0] <= _SHORT)):
            if self._threads == 1 or len(texts) <= batch_size:
                request = self._together(short)
                for batch in group:
                    request.infer(batch.feeds, share_inputs=True)
                    self._store(request, (batch, vectors))
            else:
                queue = self._side_by_side(short)
                for batch in group:
                    queue.start_async(batch.feeds, (batch, vectors), share_inputs=True)
                queue.wait_all()
        return vectors

    def _together(self, short: bool) -> Any:
        """A request that all threads work on."""
        if short not in self._requests:
            self._requests[short] = self._compile(1, short).create_infer_request()
        return self._requests[short]

    def _side_by_side(self, short: bool) -> Any:
        """A queue of as many requests as threads."""
        if short not in self._queues:
            queue = openvino.AsyncInferQueue(self._compile(self._threads, short), self._threads)
            queue.set_callback(self._store)
            self._queues[short] = queue
        return self._queues[short]

    def _compile(self, streams: int, short: bool) -> Any:
        settings = {
            # The compiled model is kept there and read back at the next start: a quarter of the time.
            "CACHE_DIR": self._compiled,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": streams,
        }
        if short:
            # No kernels made for each shape: a fifth faster on short batches, a quarter slower on long ones.
            settings["CPU_RUNTIME_CACHE_CAPACITY"] = "0"
        return self._core.compile_model(self._model, "CPU", settings)

    def _store(self, request: Any, task: tuple[Batch, NDArray[np.float32]]) -> None:
        """Pools a finished request's hidden states into the call's vectors."""
        batch, vectors = task
        vectors[batch.rows] = self._padded.pool(request.get_output_tensor(0).data, batch)
