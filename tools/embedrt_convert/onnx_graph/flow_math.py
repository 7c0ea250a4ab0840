"""Nodes that compute element by element: sums and multiples stay forms, everything else becomes a term."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedrt_convert.onnx_graph import recognise
from embedrt_convert.onnx_graph.flow import Flow, Inputs, handles
from embedrt_convert.onnx_graph.flow_move import data, numbers
from embedrt_convert.onnx_graph.forms import (
    Array,
    Form,
    NotUnderstoodError,
    add,
    broadcast,
    canonical,
    known,
    scaled,
    selected,
    spread,
    view,
)
from embedrt_convert.onnx_graph.graph import Node
from embedrt_convert.onnx_graph.terms import Affine, Elementwise, RowReduce

_ENDLESS = 6e4  # what bounds of float16 graphs keep within its range
_NARROW = 256.0  # bounds as close as that may be moved to 0 without loss


@handles("Add", "Sum")
def _add(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    total = data(inputs)
    for place in range(1, len(inputs)):
        total = add(total, data(inputs, place))
    return [total]


@handles("Sub")
def _sub(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    return [add(data(inputs), scaled(data(inputs, 1), np.array(-1.0)))]


@handles("Neg")
def _neg(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    return [scaled(data(inputs), np.array(-1.0))]


@handles("Mul")
def _mul(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    return [product(node, data(inputs), data(inputs, 1))]


@handles("Div")
def _div(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    x, y = data(inputs), data(inputs, 1)
    if y.known:
        return [scaled(x, 1 / y.numbers().astype(np.float64))]
    return [product(node, x, power(node, y, -1.0))]


def product(node: Node, x: Form, y: Form) -> Form:
    """x · y, elementwise."""
    if x.known:
        x, y = y, x
    if y.known:
        weights = y.numbers()
        # One weight for each row is what poolings multiply by: apart from the weights of a norm or a layer before.
        of_rows = weights.ndim > 1 and weights.size > 1 and weights.shape[-1] == 1 and x.shape[-1:] != (1,)
        return scaled(settled(node, x) if of_rows else x, weights)
    shape = np.broadcast_shapes(x.shape, y.shape)
    (a, b), layout = canonical(broadcast(x, shape), broadcast(y, shape))
    if recognise.equal(a, b):
        return power(node, x, 2.0)
    for first, second in ((a, b), (b, a)):
        if (found := recognise.quotient(node, first, second)) is not None:
            return spread(found, layout)
    return _elementwise(node, "mul", a, layout, y=b)


def settled(node: Node, x: Form) -> Form:
    """A form as a term of its own."""
    (matrix,), layout = canonical(x)
    return view(Affine(rows=matrix.shape[0], columns=matrix.shape[1], node=node, x=matrix), layout)


def power(node: Node, x: Form, exponent: float) -> Form:
    """x to a power; powers of powers are one."""
    (a,), layout = canonical(x)
    term = recognise.identity(a)
    # √x² is |x|: only roots and reciprocals, of what is not negative, come together.
    if isinstance(term, Elementwise) and term.op == "pow" and abs(term.power) < 1 and exponent == -1:
        return _elementwise(node, "pow", term.x, layout, power=-term.power)
    return _elementwise(node, "pow", a, layout, power=exponent)


def _elementwise(
    node: Node,
    op: str,
    x: Form,
    layout: Array,
    *,
    y: Form | None = None,
    power: float = 1.0,
    low: float = -np.inf,
    high: float = np.inf,
) -> Form:
    rows, columns = x.shape
    term = Elementwise(rows=rows, columns=columns, node=node, op=op, x=x, y=y, power=power, low=low, high=high)
    found = recognise.activation(node, term)
    if found is not None:
        return spread(found, layout)
    return view(term, layout)


@handles("Pow")
def _pow(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    exponent = numbers(inputs, 1)
    assert exponent is not None
    if exponent.size != 1:
        raise NotUnderstoodError("the exponent is not one number")
    return [power(node, data(inputs), float(exponent.reshape(-1)[0]))]


@handles("Sqrt")
def _sqrt(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    return [power(node, data(inputs), 0.5)]


@handles("Reciprocal")
def _reciprocal(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    return [power(node, data(inputs), -1.0)]


@handles("Erf", "Exp", "Abs", "Log", "Softplus")
def _function(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    (x,), layout = canonical(data(inputs))
    return [_elementwise(node, node.op.lower(), x, layout)]


@handles("Relu", "Tanh", "Sigmoid", "HardSwish", "Gelu", "Swish")
def _activation(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    kind = {"HardSwish": "hard_swish", "Swish": "silu"}.get(node.op, node.op.lower())
    if node.op == "Gelu" and node.attributes.get("approximate", b"none") == b"tanh":
        kind = "gelu_tanh"
    if node.op == "Swish" and node.attributes.get("alpha", 1.0) != 1.0:
        raise NotUnderstoodError("alpha is not 1")
    (x,), layout = canonical(data(inputs))
    return [spread(recognise.activated(node, kind, x), layout)]


@handles("HardSigmoid")
def _hard_sigmoid(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    # The op of the core has one slope: x + 3, in sixths.
    line = _line(data(inputs), 6 * alpha, 6 * beta - 3)
    (x,), layout = canonical(line)
    return [spread(recognise.activated(node, "hard_sigmoid", x), layout)]


def _line(x: Form, slope: float, offset: float) -> Form:
    """slope · x + offset, for constants of float32."""
    near = abs(slope - 1) < 1e-6 and abs(offset) < 1e-6
    return x if near else add(scaled(x, np.array(slope)), known(np.array(offset)))


@handles("Clip")
def _clip(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    low, high = (_bound(node, inputs, place, name) for place, name in ((1, "min"), (2, "max")))
    return [clipped(node, data(inputs), -np.inf if low is None else low, np.inf if high is None else high)]


def clipped(node: Node, x: Form, low: float, high: float) -> Form:
    """x within bounds: relu, or relu6 of a multiple, where the core's values can be."""
    if not low < high:
        raise NotUnderstoodError(f"bounds of {low} and {high}")
    low, high = low if low > -_ENDLESS else -np.inf, high if high < _ENDLESS else np.inf
    if low == 0 and high == np.inf:
        (matrix,), layout = canonical(x)
        return spread(recognise.activated(node, "relu", matrix), layout)
    if low == 0 or high - low < _NARROW:
        span = (high - low) / 6
        (matrix,), layout = canonical(_line(x, 1 / span, -low / span))
        made = spread(recognise.activated(node, "relu6", matrix), layout)
        return _line(made, span, low)
    (matrix,), layout = canonical(x)
    return _elementwise(node, "clip", matrix, layout, low=low, high=high)


def _bound(node: Node, inputs: Inputs, place: int, name: str) -> float | None:
    if name in node.attributes:
        return float(node.attributes[name])
    value = numbers(inputs, place)
    return None if value is None else float(value.reshape(-1)[0])


@handles("Max", "Min")
def _max(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    forms = [form for form in inputs if form is not None]
    bounds, rest = [form for form in forms if form.known], [form for form in forms if not form.known]
    if len(rest) != 1 or any(form.numbers().size != 1 for form in bounds):
        raise NotUnderstoodError("the greater or lesser of two values of the data")
    values = [float(form.numbers().reshape(-1)[0]) for form in bounds]
    if node.op == "Max":
        return [clipped(node, rest[0], max(values), np.inf)]
    return [clipped(node, rest[0], -np.inf, min(values))]


@handles("Where")
def _where(flow: Flow, node: Node, inputs: Inputs) -> Sequence[Form]:
    chosen = numbers(inputs, 0)
    assert chosen is not None
    return [selected(np.asarray(chosen, bool), data(inputs, 1), data(inputs, 2))]


def row_reduce(node: Node, kind: str, x: Form) -> RowReduce:
    """Mean or sum of the columns of a canonical form."""
    return RowReduce(rows=x.shape[0], columns=1, node=node, kind=kind, x=x)
