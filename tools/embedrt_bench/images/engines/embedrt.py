"""embedrt itself: files through its public interface, pixels through its core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import embedrt
from embedrt import _core
from embedrt_bench.engines import Contestant
from embedrt_bench.images.steps import Steps

OUTPUT = "image_embedding"


def contestant(model: Path, quantisation: str, section: dict[str, Any]) -> Contestant:
    """`quantisation` is what the model's report calls it: int8, fp32."""
    # No batch size: the runtime cuts its own blocks.
    return Contestant("embedrt", f"embedrt {quantisation}", str(model), (0,), {"section": section}, {})


def load(contestant: Contestant, threads: int) -> RuntimeEncoder:
    return RuntimeEncoder(contestant, threads)


class RuntimeEncoder:
    """A loaded model."""

    def __init__(self, contestant: Contestant, threads: int) -> None:
        self._core = _core.Model(contestant.model, threads=threads)
        self._model = embedrt.load(contestant.model, threads=threads)
        self._steps = Steps(contestant.options["section"], threads)

    def prepare(self, files: Sequence[bytes]) -> NDArray[np.uint8]:
        """uint8 [n, height, width, 3]: normalising is in the model's first layer."""
        return self._steps.pixels(files)

    def encode(self, prepared: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
        return self._core.run_images(prepared, OUTPUT)

    def encode_files(self, files: Sequence[bytes], batch_size: int) -> NDArray[np.float32]:
        return self._model.encode_image(list(files))
