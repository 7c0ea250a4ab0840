"""embedrt itself, through its public interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import embedrt
from embedrt import _core
from embedrt_bench.engines import Contestant


def contestant(model: Path, quantisation: str) -> Contestant:
    """`quantisation` is what the model's report calls it: int8, fp32."""
    # No batch size: texts are not padded, and the runtime cuts its own blocks.
    return Contestant("embedrt", f"embedrt {quantisation}", str(model), (0,), {}, {})


def load(contestant: Contestant, threads: int, max_tokens: int) -> RuntimeEncoder:
    return RuntimeEncoder(contestant.model, threads, max_tokens)


def work_of(model: Path) -> Callable[[int], int]:
    """A function from a text's tokens to the multiply-adds of its sentence embedding, linear layers and attention."""
    core = _core.Model(str(model))
    return lambda tokens: core.work(tokens, "sentence_embedding")


class RuntimeEncoder:
    """A loaded model."""

    def __init__(self, path: str, threads: int, max_tokens: int) -> None:
        self._model = embedrt.load(path, threads=threads)
        self._model.max_tokens = max_tokens

    def encode(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        return self._model.encode(texts)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._model.token_ids(text) for text in texts]
