"""What a family of texts lowers to, before pooling or a head follows."""

from __future__ import annotations

from dataclasses import dataclass

from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program


@dataclass(frozen=True)
class Encoder:
    """The encoder's program and `rows`, the value of its last layer, [tokens, hidden].

    `weights` are the checkpoint's: what neither the encoder nor a head takes must be known to be of no use.
    """

    program: Program
    rows: int
    hidden: int
    weights: Weights
