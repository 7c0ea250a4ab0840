"""Terms to a program: each becomes one op, with the affine arithmetic around it folded into its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.builder import IDS, Program
from embedrt_convert.onnx_graph.forms import ABSENT, ONE, ZERO, Array, Form, Part, flat, is_scalar, scalar
from embedrt_convert.onnx_graph.graph import Node
from embedrt_convert.onnx_graph.recognise import identity, in_place
from embedrt_convert.onnx_graph.terms import Affine, Linear, Norm, Normalize, Pool, Term, Tokens

Vector = NDArray[np.float64]
_NEAR = 1e-6  # of factors that are computed in float32


class RefusedError(Exception):
    """A term that is understood, but that the program cannot hold where it stands."""

    def __init__(self, node: Node | None, reason: str) -> None:
        super().__init__(f"{node}: {reason}" if node else reason)
        self.node = node


# A layer: (lowering, term, factor [n], bias [n], columns [n], residual or none, activation) -> value of
# activation(factor · term[:, columns] + bias), with the residual added as the op does it.
Layer = Callable[["Lowering", Any, Vector, Vector, NDArray[np.int64], Form | None, str], int]
# Anything else: (lowering, term) -> value.
Op = Callable[["Lowering", Any], int]
LAYERS: dict[type[Term], Layer] = {}
OPS: dict[type[Term], Op] = {}
_F = TypeVar("_F")


def layer(kind: type[Term]) -> Callable[[_F], _F]:
    def register(function: _F) -> _F:
        LAYERS[kind] = function  # type: ignore[assignment]
        return function

    return register


def op(kind: type[Term]) -> Callable[[_F], _F]:
    def register(function: _F) -> _F:
        OPS[kind] = function  # type: ignore[assignment]
        return function

    return register


class Lowering:
    """A program while it grows. `values` has the program's value of each term, by the term's number."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.values: dict[int, int] = {}
        self._forms: dict[int, tuple[Form, int]] = {}
        self._tables: dict[bytes, int] = {}
        self._pooled: dict[tuple[int, str, int], int] = {}

    def term(self, term: Term) -> int:
        """The value of a term."""
        if term.number not in self.values:
            self.values[term.number] = self._term(term)
        return self.values[term.number]

    def _term(self, term: Term) -> int:
        if isinstance(term, Affine):
            return self.form(term.x)
        if type(term) in LAYERS:
            ones, zeros = np.ones(term.columns), np.zeros(term.columns)
            return LAYERS[type(term)](self, term, ones, zeros, np.arange(term.columns), None, "none")
        if type(term) not in OPS:
            what = getattr(term, "op", type(term).__name__.lower())
            raise RefusedError(term.node, f"{what} is not part of an operation that the core has")
        return OPS[type(term)](self, term)

    def form(self, form: Form) -> int:
        """The value of a canonical form [rows, columns]."""
        if id(form) not in self._forms:
            self._forms[id(form)] = form, self._form(form)
        return self._forms[id(form)][1]

    def activated(self, form: Form, activation: str) -> int | None:
        """The value of an activation of a form, where a layer can apply it."""
        form = expanded(form)
        parts = layers_of(form)
        bias = column(form.offset, form.shape)
        # A linear layer applies its activation before it adds its residual.
        if not parts or bias is None or (len(form.parts) > 1 and isinstance(parts[0].term, Linear)):
            return None
        return self._layer(form, parts[0], bias, activation)

    def _form(self, form: Form) -> int:
        term = identity(form)
        if term is not None:
            return self.term(term)
        if not form.parts:
            return self.table(form.offset, form.shape)
        if any(np.any(part.index == ABSENT) for part in form.parts):
            return self._joined(form)
        if (row := _single_row(form)) is not None:
            return self._row(form, row)
        bias = column(form.offset, form.shape)
        if parts := layers_of(form):
            if bias is not None:
                return self._layer(form, parts[0], bias, "none")
            rest = self._layer(Form(form.shape, form.parts, ZERO), parts[0], np.zeros(form.shape[1]), "none")
            return self._added(rest, form.offset, form.shape)
        return self._sum(form, bias)

    def _layer(self, form: Form, part: Part, bias: Vector, activation: str) -> int:
        others = tuple(other for other in form.parts if other is not part)
        residual = Form(form.shape, others, ZERO) if others else None
        factor = column(part.factor, form.shape)
        assert factor is not None
        columns = columns_of(part, form.shape)
        assert columns is not None
        return LAYERS[type(part.term)](self, part.term, factor, bias, columns, residual, activation)

    def residual(self, form: Form | None) -> tuple[int, ...]:
        """The second input of a layer: what it is added to."""
        return () if form is None else (self.form(form),)

    def _sum(self, form: Form, bias: Vector | None) -> int:
        """Parts that are no layers, one by one."""
        values = []
        for part in sorted(form.parts, key=lambda part: part.term.number):
            if not in_place(part, form):
                raise RefusedError(part.term.node, "columns or rows of its result are taken apart")
            factor = column(part.factor, form.shape)
            if isinstance(part.term, Norm) and factor is not None:
                values.append(self._norm(part.term, factor, np.zeros(form.shape[1]) if bias is None else bias))
                bias = None if bias is None else np.zeros_like(bias)
            elif isinstance(part.term, Tokens) and factor is not None:
                values.append(self._tokens(part.term, factor))
            elif isinstance(part.term, Pool) and (kind := _mean(part)) is not None:
                values.append(self._pool(part.term, kind))
            elif is_scalar(part.factor, 1):
                values.append(self.term(part.term))
            else:
                raise RefusedError(part.term.node, "multiples of its result have no op of their own")
        if bias is None or np.any(bias != 0):
            values.append(self.table(form.offset if bias is None else bias[None], form.shape))
        total = values[0]
        for value in values[1:]:
            total = self.program.op("add", total, value)
        return total

    def _added(self, value: int, numbers: Array, shape: tuple[int, ...]) -> int:
        """A value plus numbers of each position, which are the same for all items."""
        return self.program.op("add", value, self.table(numbers, shape))

    def table(self, values: Array, shape: tuple[int, ...]) -> int:
        """The value of numbers that the data do not decide: a row for each position, or one for all."""
        full = np.ascontiguousarray(np.broadcast_to(values, shape), np.float32)
        if self.program.max_tokens != shape[0]:
            raise RefusedError(None, "numbers are added to every item that the core has no op for")
        constant = bool(np.all(full == full[:1]))
        full = full[:1] if constant else full
        key = full.tobytes()
        if key not in self._tables:
            name, index = ("constant", "constant") if constant else ("positions", "position")
            self._tables[key] = self.program.op("lookup", IDS, name=self.name(name), table=full, index=index)
        return self._tables[key]

    def name(self, what: str, term: Term | None = None) -> str:
        """A tensor's prefix: where it was found in the graph, or its number."""
        node = term.node if term else None
        where = (node.scope or node.name.strip("/").replace("/", ".")) if node else ""
        used = f"{where}.{what}" if where else f"{what}.{len(self.program.instructions)}"
        return used.encode("ascii", "replace").decode()[-160:]

    def _norm(self, term: Norm, factor: Vector, bias: Vector) -> int:
        x = self.form(term.x)
        plain = term.kind == "rms" and not np.any(bias)
        return self.program.op(
            "norm",
            x,
            name=self.name("norm", term),
            weight=factor.astype(np.float32),
            bias=None if plain else bias.astype(np.float32),
            kind=term.kind,
            epsilon=term.epsilon,
        )

    def _tokens(self, term: Tokens, factor: Vector) -> int:
        table = term.table if np.all(factor == 1) else (term.table * factor).astype(np.float32)
        return self.program.op("lookup", IDS, name=self.name("tokens", term), table=table, offset=term.offset)

    def _pool(self, term: Pool, kind: str) -> int:
        return self.pooled(self.form(term.x), kind, term.skip)

    def pooled(self, value: int, kind: str, skip: int = 0) -> int:
        """One row of all rows of an item after the first `skip`."""
        key = value, kind, skip
        if key not in self._pooled:
            self._pooled[key] = self.program.op("pool", value, kind=kind, skip=skip)
        return self._pooled[key]

    def _row(self, form: Form, row: int) -> int:
        """One row of every item: the first or the last one."""
        rows = form.parts[0].term.rows
        # Nothing but the columns may depend on the row, which then can be taken last.
        parts = tuple(Part(p.term, flat((rows, form.shape[1])), _spread(p.factor)) for p in form.parts)
        x = self.form(Form((rows, form.shape[1]), parts, _spread(form.offset)))
        if row == 0 or self.program.image_size != (0, 0):
            return self.pooled(x, "first", row)
        if row != rows - 1:
            raise RefusedError(
                form.parts[0].term.node, f"row {row} of every item is taken, which is neither the first nor last"
            )
        return self.pooled(x, "last")

    def _joined(self, form: Form) -> int:
        """Rows or columns of several values, or of numbers and a value."""
        raise RefusedError(form.parts[0].term.node, "its result is joined with others, which the core has no op for")


@op(Norm)
def _norm(lowering: Lowering, term: Norm) -> int:
    return lowering._norm(term, np.ones(term.columns), np.zeros(term.columns))


@op(Tokens)
def _tokens(lowering: Lowering, term: Tokens) -> int:
    return lowering._tokens(term, np.ones(term.columns))


@op(Pool)
def _pool(lowering: Lowering, term: Pool) -> int:
    return lowering._pool(term, term.kind)


@op(Normalize)
def _normalize(lowering: Lowering, term: Normalize) -> int:
    return lowering.program.op("normalize", lowering.form(term.x), epsilon=max(term.epsilon, 1e-12))


@layer(Linear)
def linear(
    lowering: Lowering,
    term: Linear,
    factor: Vector,
    bias: Vector,
    columns: NDArray[np.int64],
    residual: Form | None,
    activation: str,
) -> int:
    added = lowering.residual(residual)
    x, weight, shift = operand(lowering, term)
    return lowering.program.op(
        "linear",
        x,
        *added,
        name=lowering.name("linear", term),
        weight=rows_of(weight, columns, factor),
        bias=(bias + factor * shift[columns]).astype(np.float32),
        activation=activation,
    )


def rows_of(weight: Array, columns: NDArray[np.int64], factor: Vector) -> NDArray[np.float32]:
    """Rows of a weight, each times a factor."""
    if len(columns) != len(weight) or not np.array_equal(columns, np.arange(len(weight))):
        weight = weight[columns]
    if np.all(factor == 1):
        return np.ascontiguousarray(weight, np.float32)
    return (weight * factor[:, None]).astype(np.float32)


def operand(lowering: Lowering, term: Linear) -> tuple[int, Array, Vector]:
    """The value of a layer's operand, and weight and bias [n] of the layer on it: an affine operand is folded in."""
    x, weight = term.x, term.weight
    nothing = np.zeros(len(weight))
    if len(x.parts) != 1 or type(x.parts[0].term) in LAYERS or isinstance(x.parts[0].term, (Norm, Tokens, Pool)):
        return lowering.form(x), weight, nothing
    part = x.parts[0]
    factor, offset = column(part.factor, x.shape), column(x.offset, x.shape)
    if factor is None or offset is None or (columns := columns_of(part, x.shape)) is None:
        return lowering.form(x), weight, nothing
    shift = weight.astype(np.float64) @ offset if np.any(offset) else nothing
    if np.array_equal(columns, np.arange(part.term.columns)):
        folded = weight if np.all(factor == 1) else (weight * factor).astype(np.float32)
    else:
        folded = np.zeros((len(weight), part.term.columns), np.float32)
        folded[:, columns] = weight * factor
    return lowering.term(part.term), folded, shift


def layers_of(form: Form) -> list[Part]:
    """The parts of a form that a layer makes with their factors, the one of the latest operand first."""
    found = [
        part
        for part in form.parts
        if type(part.term) in LAYERS
        and columns_of(part, form.shape) is not None
        and column(part.factor, form.shape) is not None
    ]

    def latest(part: Part) -> tuple[int, int]:
        operands = [each.term.number for x in part.term.operands() for each in x.parts]
        return -max(operands, default=0), -part.term.number

    return sorted(found, key=latest)


def columns_of(part: Part, shape: tuple[int, ...]) -> NDArray[np.int64] | None:
    """Which columns of its term a part of a form of this shape is, where it has all rows of it, each in its place."""
    columns = part.index[0].astype(np.int64)
    steps = np.arange(shape[0])[:, None] * part.term.columns
    in_rows = shape[0] == part.term.rows and np.array_equal(part.index, steps + columns)
    return columns if in_rows and columns.min() >= 0 and columns.max() < part.term.columns else None


def expanded(form: Form) -> Form:
    """A form that is elements of an affine term as what that term is a sum of, until it is none."""
    while len(form.parts) == 1 and isinstance(form.parts[0].term, Affine):
        (part,) = form.parts
        assert isinstance(part.term, Affine)
        inner = part.term.x
        index, absent = part.index.reshape(-1), part.index == ABSENT

        def of(
            values: Array, nothing: float, inner: Form = inner, index: Array = index, absent: Array = absent
        ) -> Array:
            if values.ndim:
                values = np.broadcast_to(values, inner.shape).reshape(-1)[index].reshape(absent.shape)
            return np.where(absent, nothing, values) if absent.any() else values

        parts = tuple(
            Part(each.term, of(each.index, ABSENT).astype(np.int32), of(each.factor, 0) * part.factor)
            for each in inner.parts
        )
        form = Form(form.shape, parts, form.offset + part.factor * of(inner.offset, 0))
    return form


def column(values: Array, shape: tuple[int, ...]) -> Vector | None:
    """The numbers of each column [columns], where all rows have the same."""
    full = np.broadcast_to(values, shape)
    return np.array(full[0], np.float64) if values.ndim == 0 or np.all(full == full[:1]) else None


def _single_row(form: Form) -> int | None:
    """Which row of its terms a form is."""
    if form.shape[0] != 1 or form.parts[0].term.rows == 1:
        return None
    first = form.parts[0]
    start = int(first.index[0, 0])
    extent = (first.term.rows, form.shape[1])
    same = all(
        (part.term.rows, part.term.columns) == extent and np.array_equal(part.index, start + flat(form.shape))
        for part in form.parts
    )
    return start // form.shape[1] if same and start % form.shape[1] == 0 else None


def _spread(values: Array) -> Array:
    return values if values.ndim == 0 else values.reshape(1, -1)


def _mean(part: Part) -> str | None:
    """The pooling that a part is with its factor."""
    factor = scalar(part.factor)
    term = part.term
    assert isinstance(term, Pool)
    if factor is None or abs(factor - 1) < _NEAR:
        return term.kind if factor is not None else None
    rows = term.x.shape[0] - term.skip
    if term.kind == "sum" and abs(factor * rows - 1) < _NEAR:
        return "mean"
    if term.kind == "sum" and abs(factor * np.sqrt(rows) - 1) < _NEAR:
        return "mean_sqrt"
    return None


__all__ = ["LAYERS", "ONE", "OPS", "Lowering", "RefusedError"]
