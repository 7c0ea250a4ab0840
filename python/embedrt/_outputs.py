"""The outputs that a program of texts may have, and which of them is what its file is for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SENTENCE: Final = "sentence_embedding"
TOKENS: Final = "token_embeddings"
SPARSE: Final = "sparse_embedding"
LOGITS: Final = "logits"
WEIGHTS: Final = "token_weights"
MULTI: Final = "multi_vector_embedding"

# Outputs with a row for each token; the others have one for each text.
OF_TOKENS: Final = (TOKENS, WEIGHTS, MULTI)
MAIN: Final = (SENTENCE, SPARSE, LOGITS, MULTI)


def main_output(outputs: Iterable[str]) -> str | None:
    """The output of texts that a file is for: its golden inputs hold it, and its quality is measured on it."""
    known = set(outputs)
    return next((name for name in MAIN if name in known), None)
