"""What the functions of `reference` take and give back, and the activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Inputs = Sequence[Values]
Tensors = Mapping[str, NDArray[Any]]
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Segments:
    """The items of a value: item i is rows offsets[i] to offsets[i + 1].

    An image has `prefix` rows and then `height` lines of `width`; `zero` is the byte that stands for 0 in a value of
    bytes. Of texts: the tokens' types (0 where None), how many tokens at the start of each rows see (all where
    None), the spans that are pooled instead of the items, and the kind of
    pooling that goes before the program's.
    """

    offsets: NDArray[np.int64]
    height: int = 0
    width: int = 0
    prefix: int = 0
    zero: int = 0
    types: NDArray[np.int32] | None = None
    attended: NDArray[np.int64] | None = None
    spans: NDArray[np.int64] | None = None
    pooling: str | None = None

    def slices(self) -> list[slice]:
        return [slice(begin, end) for begin, end in zip(self.offsets[:-1], self.offsets[1:], strict=True)]

    def pooled(self) -> list[slice]:
        """The rows that each row of a value of kind segments is made of."""
        return self.slices() if self.spans is None else [slice(begin, end) for begin, end in self.spans.tolist()]

    def positions(self) -> NDArray[np.int64]:
        """Each row's place in its segment."""
        lengths = np.diff(self.offsets)
        return np.arange(self.offsets[-1]) - np.repeat(self.offsets[:-1], lengths)


def _sigmoid(x: Values) -> Values:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _gelu_tanh(x: Values) -> Values:
    u: Values = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    result: Values = 0.5 * x * (1 + np.tanh(u))
    return result


# erf at multiples of 1/512 up to 6, and three further Taylor terms: exact to 1e-15.
_ERF_STEP = 1 / 512
_ERF_TABLE = np.array([math.erf(i * _ERF_STEP) for i in range(6 * 512 + 1)])


def erf(x: Values) -> Values:
    """The error function, which NumPy does not have."""
    size = np.minimum(np.abs(x), 6.0)
    nearest = np.rint(size / _ERF_STEP)
    at = nearest * _ERF_STEP
    h = size - at
    slope = 2 / math.sqrt(math.pi) * np.exp(-at * at)
    taylor = h * (1 + h * (-at + h * ((2 * at * at - 1) / 3 + h * (3 * at - 2 * at**3) / 6)))
    result: Values = np.copysign(_ERF_TABLE[nearest.astype(np.int64)] + slope * taylor, x)
    return result


ACTIVATIONS: dict[str, Callable[[Values], Values]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": _gelu_tanh,
    "silu": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
    "log1p_relu": lambda x: np.log1p(np.maximum(x, 0)),
}
