"""What spelled-out arithmetic means: activations, norms and normalisation, whatever their spelling.

A function of one number is recognised by its values, up to a factor: so every spelling of GELU is found, and none has
to be listed. Norms are recognised by what is divided by what.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.onnx_graph.forms import ONE, ZERO, Form, Part, add, flat, is_scalar, scalar, scaled, view
from embedrt_convert.onnx_graph.graph import Node
from embedrt_convert.onnx_graph.terms import Activation, Affine, Elementwise, Norm, Normalize, RowReduce, Softmax, Term
from embedrt_convert.reference_types import ACTIVATIONS, erf

Floats = NDArray[np.float64]

# Where functions are compared; none of the points is a corner of one. Far from 0 a bound would show.
_NEAR_ZERO = np.concatenate([np.linspace(-9.03, 9.01, 181), np.linspace(-0.43, 0.41, 41)])
_POINTS = np.concatenate([_NEAR_ZERO, np.outer([-1, 1], np.geomspace(10.3, 2e4, 24)).reshape(-1)])
_LIKELY = 172  # of the points: a number of which no activation is 0
_DEEPEST = 12  # steps of the longest spelling of an activation
# Of the greatest value near 0, or of the value itself. Constants of an exported function may be float16; the two
# kinds of GELU differ by 5e-5.
_TOLERANCE = 1e-5

_FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {
    "erf": erf,
    "exp": np.exp,
    "abs": np.abs,
    "log": np.log,
    "softplus": lambda x: np.logaddexp(x, 0),
}


def identity(form: Form) -> Term | None:
    """The term, when a canonical form is it and nothing else."""
    part = form.plain
    return part.term if part is not None and in_place(part, form) else None


def in_place(part: Part, form: Form) -> bool:
    """Whether a part of a canonical form is the whole of its term, in order."""
    return (part.term.rows, part.term.columns) == form.shape and bool(np.array_equal(part.index, flat(form.shape)))


def activation(node: Node, made: Elementwise) -> Form | None:
    """The form of an activation times a number, when `made` is one."""
    for base in _bases(made):
        if (base.rows, base.columns) != (made.rows, made.columns):
            continue
        with np.errstate(all="ignore"):
            values = _Function(base, _POINTS).of(made)
        if values is None or not np.isfinite(values[: len(_NEAR_ZERO)]).all():
            continue
        for kind, function in ACTIVATIONS.items():
            if kind != "none" and (factor := _multiple(values, function(_POINTS))) is not None:
                return scaled(activated(node, kind, view(base, flat((base.rows, base.columns)))), np.array(factor))
    return None


def _multiple(values: Floats, expected: Floats) -> float | None:
    """By which number `expected` is multiplied in `values`."""
    factor = float(values[_LIKELY] / expected[_LIKELY])
    if factor == 0 or not np.isfinite(factor):
        return None
    expected = factor * expected
    near = slice(len(_NEAR_ZERO))
    error = np.abs(values - expected)
    # Where the graph's own arithmetic ends, there is nothing to compare.
    allowed = _TOLERANCE * np.maximum(np.abs(expected), np.abs(expected[near]).max())
    # A bound just above 0 is no relu: it guards a division.
    if np.any(error > allowed) or np.any(values[near][expected[near] == 0]):
        return None
    return 1.0 if abs(factor - 1) < _TOLERANCE / 10 else factor


def activated(node: Node, kind: str, x: Form) -> Form:
    """The form of an activation of a canonical form."""
    rows, columns = x.shape
    return view(Activation(rows=rows, columns=columns, node=node, kind=kind, x=x), flat(x.shape))


def _bases(made: Term) -> list[Term]:
    """What a term may be a function of: the deepest terms first."""
    found: dict[int, Term] = {}
    level: list[Term] = [made]
    for _ in range(_DEEPEST):
        inner = [term.operands() for term in level if isinstance(term, (Elementwise, Activation, Affine))]
        below = {part.term.number: part.term for forms in inner for form in forms for part in form.parts}
        level = [term for number, term in below.items() if number not in found]
        found.update(below)
    return [found[number] for number in sorted(found)]


class _Function:
    """Terms as functions of the elements of `base`, at points."""

    def __init__(self, base: Term, points: Floats) -> None:
        self._points = points
        self._values: dict[int, Floats | None] = {base.number: points}

    def of(self, term: Term, depth: int = 0) -> Floats | None:
        """The term's values; None when it is no such function, or none of a few steps."""
        if term.number not in self._values:
            self._values[term.number] = self._of(term, depth + 1) if depth < 2 * _DEEPEST else None
        return self._values[term.number]

    def _of(self, term: Term, depth: int) -> Floats | None:
        if isinstance(term, Affine):
            return self._of_form(term.x, depth)
        if isinstance(term, Activation):
            x = self._of_form(term.x, depth)
            return None if x is None else ACTIVATIONS[term.kind](x)
        if not isinstance(term, Elementwise):
            return None
        x = self._of_form(term.x, depth)
        y = None if term.y is None or x is None else self._of_form(term.y, depth)
        if x is None or (term.y is not None and y is None):
            return None
        if term.op == "mul":
            assert y is not None
            return x * y
        if term.op == "pow":
            result: Floats = np.power(x, term.power)
            return result
        if term.op == "clip":
            return np.clip(x, term.low, term.high)
        return _FUNCTIONS[term.op](x) if term.op in _FUNCTIONS else None

    def _of_form(self, form: Form, depth: int) -> Floats | None:
        offset = scalar(form.offset)
        if offset is None:
            return None
        total = np.full_like(self._points, offset)
        for part in form.parts:
            factor = scalar(part.factor)
            value = self.of(part.term, depth) if factor is not None and in_place(part, form) else None
            if factor is None or value is None:
                return None
            total = total + factor * value
        return total


def quotient(node: Node, x: Form, y: Form) -> Form | None:
    """The form of x · y, canonical, when y is one over the length, the deviation or the sum of the rows of x."""
    part = _column(y)
    if part is None or not isinstance(part.term, Elementwise):
        return None
    factor, term = scalar(part.factor), part.term
    if factor is None:
        return None
    if len(x.parts) == 1 and is_scalar(x.offset, 0) and not is_scalar(x.parts[0].factor, 1):
        # A weight of the columns may come before the division.
        weight = x.parts[0].factor
        found = quotient(node, Form(x.shape, (replace(x.parts[0], factor=ONE),), x.offset), y)
        if found is not None:
            return scaled(found, weight)
    if term.op == "pow" and term.power == -1 and (softmax := _softmax(node, x, term.x)) is not None:
        return scaled(softmax, np.array(factor))
    if term.op == "pow" and term.power == -1:
        bound = _column(term.x)
        if bound is not None and isinstance(bound.term, Elementwise) and bound.term.op == "clip":
            return _normalised(x, bound, factor, node)
    if term.op == "pow" and term.power == -0.5:
        return _normed(x, term.x, factor, node)
    return None


def _softmax(node: Node, x: Form, total: Form) -> Form | None:
    """Exponentials over their sum: the scores may have lost a number for each row before, their greatest."""
    exponential, part = identity(x), _column(total)
    if not isinstance(exponential, Elementwise) or exponential.op != "exp" or part is None:
        return None
    if not isinstance(part.term, RowReduce) or part.term.kind != "sum" or not is_scalar(part.factor, 1):
        return None
    if identity(part.term.x) is not exponential:
        return None
    scores = exponential.x
    kept = tuple(each for each in scores.parts if not _is_of_row(each, scores))
    rows, columns = x.shape
    term = Softmax(rows=rows, columns=columns, node=node, x=Form(scores.shape, kept, scores.offset))
    return view(term, flat(x.shape))


def _is_of_row(part: Part, form: Form) -> bool:
    """Whether a part of a form is one number for each row, which a softmax does not see."""
    factor = np.broadcast_to(part.factor, form.shape)
    column = _column(Form(form.shape, (part,), ZERO))
    return column is not None and bool(np.all(factor == factor[:, :1]))


def _column(form: Form) -> Part | None:
    """The only part, without anything added, of a form that is one number for each row."""
    if len(form.parts) != 1 or not is_scalar(form.offset, 0):
        return None
    part = form.parts[0]
    rows = np.broadcast_to(np.arange(form.shape[0])[:, None], form.shape)
    return part if part.term.columns == 1 and np.array_equal(part.index, rows) else None


def _normalised(x: Form, bound: Part, factor: float, node: Node) -> Form | None:
    clip = bound.term
    assert isinstance(clip, Elementwise)
    length = _column(clip.x)
    if length is None or not np.isinf(clip.high) or not is_scalar(bound.factor, 1) or not is_scalar(length.factor, 1):
        return None
    root = length.term
    if not (isinstance(root, Elementwise) and root.op == "pow" and root.power == 0.5):
        return None
    squares = _column(root.x)
    if squares is None or not is_scalar(squares.factor, 1) or not _is_square_of(squares.term, "sum", x):
        return None
    return scaled(_normalize(x, clip.low, node), np.array(factor))


def _normed(x: Form, y: Form, factor: float, node: Node) -> Form | None:
    """x / √(y), with y the mean or sum of squares of x, times a number, plus epsilon."""
    epsilon = scalar(y.offset)
    part = _column(Form(y.shape, y.parts, np.zeros(())))
    if part is None or epsilon is None:
        return None
    weight = scalar(part.factor)
    if weight is None or weight <= 0 or not isinstance(part.term, RowReduce) or part.term.kind not in ("mean", "sum"):
        return None
    if not _is_square_of(part.term, part.term.kind, x):
        return None
    columns = x.shape[1]
    if part.term.kind == "sum":
        if epsilon == 0 and weight == 1:
            return scaled(_normalize(x, 0.0, node), np.array(factor))
        weight *= columns  # of the mean
    scale = np.array(factor / np.sqrt(weight))
    source = _centred(x)
    kind, of = ("layer", source) if source is not None else ("rms", x)
    term = Norm(rows=x.shape[0], columns=columns, node=node, kind=kind, x=of, epsilon=epsilon / weight)
    return scaled(view(term, flat(x.shape)), scale)


def _normalize(x: Form, epsilon: float, node: Node) -> Form:
    return view(Normalize(rows=x.shape[0], columns=x.shape[1], node=node, x=x, epsilon=epsilon), flat(x.shape))


def _is_square_of(term: Term, kind: str, x: Form) -> bool:
    """Whether a term is the mean or sum of the squares of the rows of x."""
    if not isinstance(term, RowReduce) or term.kind != kind:
        return False
    square = identity(term.x)
    return isinstance(square, Elementwise) and square.op == "pow" and square.power == 2 and equal(square.x, x)


def _centred(x: Form) -> Form | None:
    """z, when x is z less the mean of its rows."""
    if len(x.parts) == 1 and isinstance(x.parts[0].term, Affine) and identity(x) is not None:
        x = x.parts[0].term.x
    for part in x.parts:
        is_mean = isinstance(part.term, RowReduce) and part.term.kind == "mean" and is_scalar(part.factor, -1)
        if is_mean and _column(Form(x.shape, (part,), ZERO)) is not None:
            assert isinstance(part.term, RowReduce)
            rest = add(x, scaled(Form(x.shape, (part,), np.zeros(())), np.array(-1.0)))
            if equal(rest, part.term.x):
                return part.term.x
    return None


def equal(a: Form, b: Form) -> bool:
    """Whether two forms are the same sum."""
    if a is b or a.shape != b.shape:
        return a is b
    left = add(a, scaled(b, np.array(-1.0)))
    return not left.parts and is_scalar(left.offset, 0)
