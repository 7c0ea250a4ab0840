"""The nonlinear operations that graphs are made of, each a matrix [rows, columns] at the trial length.

Their operands are canonical forms: matrices with the term's own rows and columns, unless said otherwise.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.onnx_graph.forms import Form, Index, Part
from embedrt_convert.onnx_graph.graph import Node

_count = itertools.count()


@dataclass(frozen=True, eq=False, kw_only=True)
class Term:
    """`node` is where it was found. Terms are numbered in the order in which the graph makes them."""

    rows: int
    columns: int
    node: Node | None
    number: int = field(default_factory=lambda: next(_count))

    def operands(self) -> tuple[Form, ...]:
        return tuple(value for value in vars(self).values() if isinstance(value, Form))

    def alias(self) -> Part | None:
        """Of which elements of another term the term consists, when it is no more than that."""
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Tokens(Term):
    """Rows of `table` [ids, columns] for the token ids plus `offset`."""

    table: NDArray[np.float32]
    offset: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Pixels(Term):
    """The picture as the graph takes it: a row for each pixel, line by line."""

    height: int
    width: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Term):
    """A form that several nodes read: it will be a value of the program."""

    x: Form

    def alias(self) -> Part | None:
        return self.x.plain


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Term):
    """x [rows, K] · weightᵀ; weight is [columns, K]."""

    x: Form
    weight: NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Term):
    """A convolution of a grid of height · width rows; `weight` as PyTorch has it, of a depthwise one [C, 1, k, k]."""

    x: Form
    weight: NDArray[np.float32]
    bias: NDArray[np.float64]
    stride: int
    pads: tuple[int, int, int, int]  # top, left, bottom, right
    depthwise: bool
    height: int
    width: int


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Term):
    """The greatest of each window of a grid of height · width rows."""

    x: Form
    kernel: int
    stride: int
    pads: tuple[int, int, int, int]
    height: int
    width: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Elementwise(Term):
    """An operation on each element: "erf", "exp", "mul" (of x and y), "pow", "clip" …; `low` and `high` are of clip."""

    op: str
    x: Form
    y: Form | None = None
    power: float = 1.0
    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation(Term):
    """An activation of the op `linear`, by its name."""

    kind: str
    x: Form


@dataclass(frozen=True, eq=False, kw_only=True)
class RowReduce(Term):
    """Mean, sum or greatest of the columns of each row of x [rows, n]; it has one column."""

    kind: str
    x: Form


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Term):
    """All rows of x, after the first `skip`, as one: `kind` is a choice of the op `pool`."""

    kind: str
    x: Form
    skip: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Norm(Term):
    """Layer or RMS norm without weight and bias."""

    kind: str
    x: Form
    epsilon: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Normalize(Term):
    """Rows of unit length."""

    x: Form
    epsilon: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Scores(Term):
    """q · kᵀ of each head: rows are (head, query), columns keys. `q_columns` [heads, d] are of q."""

    q: Form
    k: Form
    q_columns: Index
    k_columns: Index


@dataclass(frozen=True, eq=False, kw_only=True)
class Softmax(Term):
    """Of each row."""

    x: Form


@dataclass(frozen=True, eq=False, kw_only=True)
class Attention(Term):
    """softmax · v; columns are (head, column). `heads` says which head of the softmax each head is."""

    softmax: Softmax
    heads: NDArray[np.int64]
    v: Form
    v_columns: Index
