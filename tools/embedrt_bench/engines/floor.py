"""What any engine pays before its first vector: the interpreter, NumPy, tokenizers and parsing tokenizer.json.

Not an engine: measured beside them in a fresh process, so that a cold start can be judged by what the engine adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedrt_bench.engines import Contestant


def contestant(tokenizer: str) -> Contestant:
    """`tokenizer` is the path of the checkpoint's tokenizer.json."""
    return Contestant("floor", "floor: Python, NumPy, tokenizer", tokenizer, (0,), {}, {})


def load(contestant: Contestant, threads: int, max_tokens: int) -> TokenCounter:
    return TokenCounter(contestant.model, max_tokens)


class TokenCounter:
    """The shape of an encoder, whose vectors are token counts."""

    def __init__(self, tokenizer: str, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_file(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def encode(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        return np.array([[len(ids)] for ids in self.token_ids(texts)], np.float32)
