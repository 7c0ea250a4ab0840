"""What engines that pad need around a session, the same for all: token ids, batches of similar lengths, pooling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedrt_bench.engines import Contestant


class Batch(NamedTuple):
    """Some of a call's texts, the longest first, padded to it."""

    rows: NDArray[np.int64]  # [n]: which of the call's texts
    lengths: NDArray[np.int64]  # [n], in tokens
    mask: NDArray[np.bool_]  # [n, longest]: False where padded
    feeds: dict[str, NDArray[np.int64]]  # the session's inputs, each [n, longest]


class Padded:
    """The checkpoint's tokenizer and pooling."""

    def __init__(self, contestant: Contestant, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_file(contestant.options["tokenizer"])
        self._tokenizer.no_padding()  # tokenizer.json may ask for a fixed width: hundreds of padding tokens a text
        self._tokenizer.enable_truncation(max_tokens)
        self._mean = contestant.options["pooling"] == "mean"
        self._normalize = bool(contestant.options["normalize"])

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, special tokens included, cut to the length limit."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def batches(self, texts: Sequence[str], batch_size: int) -> Iterator[Batch]:
        """All texts, sorted by length, the longest first."""
        ids = self.token_ids(texts)
        lengths = np.array([len(row) for row in ids])
        order = np.argsort(-lengths, kind="stable")
        for start in range(0, len(ids), batch_size):
            rows = order[start : start + batch_size]
            yield _pad(rows, [ids[i] for i in rows], lengths[rows])

    def pool(self, hidden: NDArray[np.float32], batch: Batch) -> NDArray[np.float32]:
        """Vectors [n, d] from the batch's hidden states [n, longest, d]."""
        if self._mean:
            # One small matrix product a text: no masked copy of the hidden states.
            weights = batch.mask.astype(np.float32) / batch.lengths[:, None].astype(np.float32)
            vectors: NDArray[np.float32] = np.matmul(weights[:, None, :], hidden)[:, 0, :]
        else:
            vectors = hidden[:, 0, :]
        if self._normalize:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors


def _pad(rows: NDArray[np.int64], ids: list[list[int]], lengths: NDArray[np.int64]) -> Batch:
    padded = np.zeros((len(ids), lengths[0]), np.int64)
    for row, values in zip(padded, ids, strict=True):
        row[: len(values)] = values
    mask = np.arange(lengths[0]) < lengths[:, None]
    feeds = {"input_ids": padded, "attention_mask": mask.astype(np.int64), "token_type_ids": np.zeros_like(padded)}
    return Batch(rows, lengths, mask, feeds)
