"""Random changes of ONNX graphs: other axes, orders, numbers and operators, and steps put in between.

A mutant may still be an encoder, may be nonsense, or may not run at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

_LENGTHS = (7, 9)
_FEEDS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Value:
    """A value of a graph; `grows` are the axes whose extent is that of the text."""

    name: str
    kind: str  # of NumPy's dtype
    shape: tuple[int, ...]
    grows: tuple[int, ...]


class Mutant:
    """A copy of a model to change. Methods that make nodes give the name of their result."""

    def __init__(self, model: onnx.ModelProto, rng: np.random.Generator) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.rng = rng
        self.values = _values(self.model)
        self._made: list[onnx.NodeProto] = []
        self._count = 0

    def pick(self, of: object) -> object:
        items = list(of)  # type: ignore[call-overload]
        return items[int(self.rng.integers(len(items)))] if items else None

    def constant(self, value: object, dtype: object = np.float32) -> str:
        name = f"mutant_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        self._count += 1
        names = [f"mutant_{kind.lower()}_{self._count}_{len(self.model.graph.node)}_{each}" for each in range(outputs)]
        self._made.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names[0]

    def length(self) -> str:
        return self.op("Gather", self.op("Shape", "input_ids"), self.constant(1, np.int64))

    def insert(self, value: Value, made: str) -> None:
        """`made` in the place of a value, for one of its readers or for all."""
        nodes = list(self.model.graph.node)
        readers = [node for node in nodes if value.name in node.input]
        if readers and self.rng.random() < 0.5:
            readers = [readers[int(self.rng.integers(len(readers)))]]
        for node in readers:
            for place, name in enumerate(node.input):
                if name == value.name:
                    node.input[place] = made
        produced = [number for number, node in enumerate(nodes) if value.name in node.output]
        at = produced[0] + 1 if produced else 0
        made_nodes, self._made = self._made, []
        del self.model.graph.node[:]
        self.model.graph.node.extend([*nodes[:at], *made_nodes, *nodes[at:]])


class DoesNotRunError(Exception):
    """onnxruntime does not take a graph, or does not run it: there is nothing left to change."""


def _found(model: onnx.ModelProto) -> list[list[np.ndarray]]:
    """All outputs at two lengths."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    found = []
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for length in _LENGTHS:
            ids = np.arange(2, 2 + length)[None]
            feeds = dict(zip(_FEEDS, (ids, np.ones_like(ids), np.zeros_like(ids)), strict=True))
            found.append(session.run(None, {each.name: feeds[each.name] for each in session.get_inputs()}))
    except Exception as error:  # its errors have no common class
        raise DoesNotRunError(str(error)) from error
    return found


def _values(model: onnx.ModelProto) -> list[Value]:
    """All values that nodes make, found by running two lengths."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = [name for node in copy.graph.node for name in node.output if name]
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    found = _found(copy)
    return [
        Value(name, a.dtype.kind, a.shape, tuple(i for i, (x, y) in enumerate(zip(a.shape, b.shape)) if x != y))  # noqa: B905
        for name, a, b in zip(names, *found, strict=True)
    ]


# Steps in between: (mutant, value, an axis of it) -> a value of the same shape.
Step = Callable[[Mutant, Value, int], str]


def _slice(m: Mutant, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
    return m.op("Slice", x, *(m.constant([each], np.int64) for each in (start, end, axis, step)))


def _reduced(kind: str) -> Step:
    def step(m: Mutant, v: Value, axis: int) -> str:
        # The text's extent is that of the mutants' opset: axes as an attribute.
        return m.op(kind, v.name, axes=[axis], keepdims=1)

    return step


def _by_places(m: Mutant, v: Value, axis: int) -> str:
    """0 … extent - 1 along an axis."""
    size = m.op("Gather", m.op("Shape", v.name), m.constant(axis, np.int64))
    places = m.op("Range", m.constant(0, np.int64), size, m.constant(1, np.int64))
    shape = [1] * len(v.shape)
    shape[axis] = -1
    return m.op("Cast", m.op("Reshape", places, m.constant(shape, np.int64)), to=TensorProto.FLOAT)


def _shuffled(m: Mutant, v: Value, axis: int) -> str:
    """Elements in the order of another layout."""
    turned = m.op("Transpose", v.name, perm=[int(each) for each in m.rng.permutation(len(v.shape))])
    return m.op("Reshape", turned, m.op("Shape", v.name))


def _transposed(m: Mutant, v: Value, axis: int) -> str:
    other = m.pick([each for each, extent in enumerate(v.shape) if extent == v.shape[axis]])
    order = list(range(len(v.shape)))
    order[axis], order[other] = order[other], order[axis]
    return m.op("Transpose", v.name, perm=order)


def _rolled(m: Mutant, v: Value, axis: int) -> str:
    return m.op("Concat", _slice(m, v.name, axis, 1, 2**62), _slice(m, v.name, axis, 0, 1), axis=axis)


def _padded(before: int) -> Step:
    def step(m: Mutant, v: Value, axis: int) -> str:
        pads = [0] * (2 * len(v.shape))
        pads[axis if before else axis + len(v.shape)] = 1
        kept = _slice(m, v.name, axis, 0, -1) if before else _slice(m, v.name, axis, 1, 2**62)
        return m.op("Pad", kept, m.constant(pads, np.int64))

    return step


def _sorted(m: Mutant, v: Value, axis: int) -> str:
    size = m.op("Slice", m.op("Shape", v.name), *(m.constant([each], np.int64) for each in (axis, axis + 1)))
    return m.op("TopK", v.name, size, outputs=2, axis=axis)


def _wrapped(kind: str, *numbers: float, **attributes: object) -> Step:
    return lambda m, v, axis: m.op(kind, v.name, *(m.constant(each) for each in numbers), **attributes)


def _cast(to: int) -> Step:
    return lambda m, v, axis: m.op("Cast", m.op("Cast", v.name, to=to), to=TensorProto.FLOAT)


def _with(kind: str, other: Step, swapped: bool = False) -> Step:
    def step(m: Mutant, v: Value, axis: int) -> str:
        made = other(m, v, axis)
        return m.op(kind, made, v.name) if swapped else m.op(kind, v.name, made)

    return step


def _where(m: Mutant, v: Value, axis: int) -> str:
    return m.op("Where", m.op("Greater", v.name, m.constant(0.1)), v.name, m.constant(-0.3))


def _length(m: Mutant, v: Value, axis: int) -> str:
    return m.op("Cast", m.length(), to=TensorProto.FLOAT)


def _softmax_rows(m: Mutant, v: Value, axis: int) -> str:
    return m.op("Softmax", v.name, axis=axis)


def _first(m: Mutant, v: Value, axis: int) -> str:
    return _slice(m, v.name, axis, 0, 1)


def _twice(m: Mutant, v: Value, axis: int) -> str:
    """Repeated along an axis, of which half is taken."""
    both = m.op("Concat", v.name, v.name, axis=axis)
    return _slice(m, both, axis, 0, 2**62, 2)


STEPS: Mapping[str, Step] = {
    **{each.lower(): _wrapped(each) for each in ("Abs", "Neg", "Relu", "Tanh", "Sigmoid", "Exp", "Sign", "Floor")},
    "square": _wrapped("Pow", 2.0),
    "clip": _wrapped("Clip", -0.5, 0.4),
    "clip far": _wrapped("Clip", -30.0, 30.0),
    "clip nothing": _wrapped("Clip", 2.0, -2.0),
    "scale": _wrapped("Mul", 1.7),
    "large": _wrapped("Mul", 300.0),
    "tiny": _wrapped("Mul", 1e-5),
    "zero": _wrapped("Mul", 0.0),
    "add": _wrapped("Add", 0.3),
    "softmax": _softmax_rows,
    "whole numbers": _cast(TensorProto.INT64),
    "truth": _cast(TensorProto.BOOL),
    "where": _where,
    "sorted": _sorted,
    "cumulated": lambda m, v, axis: m.op("CumSum", v.name, m.constant(axis, np.int64)),
    "reversed": lambda m, v, axis: _slice(m, v.name, axis, -1, -(2**62), -1),
    "rolled": _rolled,
    "padded before": _padded(1),
    "padded after": _padded(0),
    "repeated": _twice,
    "shuffled": _shuffled,
    "transposed": _transposed,
    "of places": _with("Mul", _by_places),
    "and places": _with("Add", _by_places),
    "of length": _with("Mul", _length),
    "by length": _with("Div", _length),
    "and first": _with("Add", _first),
    "of first": _with("Mul", _first),
    "and reversed": _with("Add", lambda m, v, axis: _slice(m, v.name, axis, -1, -(2**62), -1)),
    "less mean": _with("Sub", _reduced("ReduceMean")),
    "and mean": _with("Add", _reduced("ReduceMean")),
    "of greatest": _with("Mul", _reduced("ReduceMax")),
    "by norm": _with("Div", _reduced("ReduceL2")),
    "of itself": _with("Mul", lambda m, v, axis: v.name),
    "and itself": _with("Add", lambda m, v, axis: v.name),
}
# Of whole numbers: positions, masks, ids.
INTEGERS: Mapping[str, Step] = {
    "modulo": lambda m, v, axis: m.op("Mod", v.name, m.constant(5, np.int64)),
    "one more": lambda m, v, axis: m.op("Add", v.name, m.constant(1, np.int64)),
    "no more than": lambda m, v, axis: m.op("Min", v.name, m.constant(6, np.int64)),
    "reversed": STEPS["reversed"],
    "rolled": _rolled,
    "halved": lambda m, v, axis: m.op("Div", v.name, m.constant(2, np.int64)),
    "cumulated": STEPS["cumulated"],
    "less its greatest": _with("Sub", _reduced("ReduceMax"), swapped=True),
}
_OTHERS = (
    ("Add", "Sub", "Mul", "Div", "Max", "Min"),
    ("ReduceMean", "ReduceMax", "ReduceL2", "ReduceSumSquare", "ReduceMin"),
    ("Tanh", "Sigmoid", "Erf", "Relu", "Exp", "Sqrt", "Neg", "Abs", "Reciprocal"),
    ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal"),
)


def _inserted(m: Mutant) -> str | None:
    is_float = m.rng.random() < 0.85
    value = m.pick([each for each in m.values if each.kind == ("f" if is_float else "i") and each.shape])
    if not isinstance(value, Value):
        return None
    steps = STEPS if is_float else INTEGERS
    name = str(m.pick(steps))
    axis = int(m.rng.integers(len(value.shape)))
    m.insert(value, steps[name](m, value, axis))
    return f"{name} {value.name} on axis {axis}"


def _other_operator(m: Mutant) -> str | None:
    kinds = [(node, group) for node in m.model.graph.node for group in _OTHERS if node.op_type in group]
    if not kinds:
        return None
    node, group = kinds[int(m.rng.integers(len(kinds)))]
    before, node.op_type = node.op_type, str(m.pick(set(group) - {node.op_type}))
    return f"{node.op_type} for {before} of {node.output[0]}"


def _swapped(m: Mutant) -> str | None:
    node = m.pick([node for node in m.model.graph.node if len(node.input) == 2])
    if node is None:
        return None
    node.input[0], node.input[1] = node.input[1], node.input[0]
    return f"operands of {node.output[0]}"


def _rewired(m: Mutant) -> str | None:
    """An operand is another value of the same shape, made earlier."""
    by_name = {each.name: (number, each) for number, each in enumerate(m.values)}
    places = [(node, place) for node in m.model.graph.node for place, name in enumerate(node.input) if name in by_name]
    node, place = places[int(m.rng.integers(len(places)))]
    own = by_name[node.output[0]][0]
    _, now = by_name[node.input[place]]
    same = [
        each.name
        for each in m.values[:own]
        if (each.kind, each.shape, each.grows) == (now.kind, now.shape, now.grows) and each.name != now.name
    ]
    if not same:
        return None
    node.input[place] = str(m.pick(same))
    return f"{node.input[place]} for {now.name} in {node.output[0]}"


def _other_attribute(m: Mutant) -> str | None:
    pairs = [(node, each) for node in m.model.graph.node for each in node.attribute if each.name != "to"]
    if not pairs:
        return None
    node, attribute = pairs[int(m.rng.integers(len(pairs)))]
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i += int(m.rng.choice([-2, -1, 1, 2]))
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f *= float(m.rng.choice([-1, 0, 0.5, 30]))
    elif attribute.type == onnx.AttributeProto.INTS and len(attribute.ints) > 1:
        order = m.rng.permutation(np.array(attribute.ints))
        attribute.ints[:] = [int(each) for each in order]
    elif attribute.type == onnx.AttributeProto.INTS:
        attribute.ints[0] += int(m.rng.choice([-1, 1]))
    else:
        return None
    return f"{attribute.name} of {node.output[0]}"


def _other_constant(m: Mutant) -> str | None:
    tensor = m.pick(m.model.graph.initializer)
    value = numpy_helper.to_array(tensor).copy()  # type: ignore[arg-type]
    flat = value.reshape(-1)
    if not flat.size:
        return None
    place = int(m.rng.integers(flat.size))
    if value.dtype.kind == "i":
        flat[place] += int(m.rng.choice([-2, -1, 1, 2]))
    elif m.rng.random() < 0.5:
        flat[place] = m.rng.choice([-1.0, 0.0, 2.0, 1e4, -np.inf])
    else:
        flat[:] = m.rng.permutation(flat) * m.rng.choice([-1.0, 0.5, 3.0])
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))  # type: ignore[union-attr]
    return f"numbers of {tensor.name}"  # type: ignore[union-attr]


def _left_out(m: Mutant) -> str | None:
    """A node's reader reads what the node reads, where shapes allow."""
    by_name = {each.name: each for each in m.values}
    found = [
        (node.output[0], name)
        for node in m.model.graph.node
        for name in node.input
        if name in by_name
        and by_name[name].shape == by_name[node.output[0]].shape
        and by_name[name].kind == by_name[node.output[0]].kind
    ]
    if not found:
        return None
    gone, kept = found[int(m.rng.integers(len(found)))]
    for node in m.model.graph.node:
        for place, name in enumerate(node.input):
            if name == gone:
                node.input[place] = kept
    return f"without {gone}"


CHANGES = (
    *[_inserted] * 6,
    _other_operator,
    _swapped,
    _rewired,
    _rewired,
    _other_attribute,
    _other_constant,
    _left_out,
)


def mutated(model: onnx.ModelProto, rng: np.random.Generator) -> tuple[onnx.ModelProto, str]:
    """A model with one change, and what it is."""
    while True:
        mutant = Mutant(model, rng)
        change = CHANGES[int(rng.integers(len(CHANGES)))]
        said = change(mutant)
        if said is not None:
            return mutant.model, f"{change.__name__.strip('_')}: {said}"
