"""What `Model` gives back that is more than one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TokenEmbeddings(NamedTuple):
    """A text's tokens as `encode_tokens` gives them, special ones, the prompt's and what it is filled up with included.

    Attributes:
        embeddings: float32 [tokens, columns].
        offsets: int64 [tokens, 2]: a token is made of the text's characters from the first number up to the second.
            (0, 0) for tokens that are none of the text's. Tokens may share characters: the bytes of one do.
        ids: int32 [tokens].
    """

    embeddings: NDArray[np.float32]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]


class Segments(NamedTuple):
    """A text's segments as `encode_segments` gives them.

    Attributes:
        embeddings: float32 [segments, dim].
        spans: int64 [segments, 2]: a segment is the text's characters from the first number up to the second.
        cut: with on_long="truncate", the indices of the segments that do not lie wholly within the limit; their rows
            are NaN.
    """

    embeddings: NDArray[np.float32]
    spans: NDArray[np.int64]
    cut: tuple[int, ...] = ()
