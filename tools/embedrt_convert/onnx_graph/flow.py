"""The walk over a graph: every value becomes a `Form`, node by node.

One item is walked through: a text by itself, whose mask is all ones, or a picture. Batch and padding thereby disappear,
which is what rows of ragged items mean. A value that the data do not decide is known: onnxruntime computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.onnx_graph.forms import (
    Form,
    NotUnderstoodError,
    canonical,
    check_size,
    flat,
    is_scalar,
    known,
    of_grid,
    view,
)
from embedrt_convert.onnx_graph.graph import Graph, Node
from embedrt_convert.onnx_graph.terms import Affine, Pixels, Tokens
from embedrt_convert.onnx_graph.trial import Probe

Inputs = Sequence[Form | None]
Handler = Callable[["Flow", Node, Inputs], Sequence[Form]]
HANDLERS: dict[str, Handler] = {}
_OF_IDS = (
    "its result depends on which ids a text has; only the padding id may count apart, where files beside it name one"
)
_KNOWN_OF_DATA = ("Shape", "Size", "IsNaN", "IsInf")
# What wrong shapes, numbers and attributes come to, which onnxruntime may not have looked at.
MALFORMED = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


def handles(*ops: str) -> Callable[[Handler], Handler]:
    """Registers a function that makes a node's outputs from the forms of its inputs, of which some are data."""

    def register(function: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(ops, function))
        return function

    return register


class FlowError(Exception):
    """The walk came to a node that is not understood. `values` are those that were."""

    def __init__(self, node: Node, reason: str, flow: Flow) -> None:
        super().__init__(f"{node}: {reason}")
        self.node = node
        self.flow = flow


class Flow:
    """The forms of the values that `outputs` need, at one trial."""

    def __init__(self, graph: Graph, outputs: tuple[str, ...]) -> None:
        self.graph = graph
        self.outputs = outputs
        needed = graph.ancestors(outputs)
        self.nodes = [node for node in graph.nodes if any(name in needed for name in node.outputs)]
        self.values: dict[str, Form] = {}
        self._others: Mapping[str, NDArray[Any]] = {}
        self._largest = 1 << 28  # elements of a value of one item: its index takes four bytes for each

    def text(
        self,
        feeds: Mapping[str, NDArray[Any]],
        others: Mapping[str, NDArray[Any]],
        ids: str,
        indices: Sequence[Mapping[str, NDArray[Any]]],
    ) -> None:
        """Walk with token ids, of the input `ids`.

        `others` are inputs with other ids: all that is known must be the same for them. `indices` are the values that
        tables are indexed with, for the ones and for the others.
        """
        self._others = others
        length = feeds[ids].shape[1]
        self._largest = min(self._largest, (length << 17) + (length * length << 6))  # wide rows, and pairs of tokens
        starts = {}
        for node in self.nodes:
            if node.op == "Gather" and node.inputs[1] in indices[0] and self.graph.is_constant(node.inputs[0]):
                pairs = [
                    (each[node.inputs[1]], given[ids]) for each, given in zip(indices, (feeds, others), strict=True)
                ]
                if any(index.shape != given.shape for index, given in pairs):
                    continue
                difference = np.concatenate([index - given for index, given in pairs])
                table = self.graph.constant(node.inputs[0])
                if is_scalar(difference, difference.flat[0]):
                    if node.attributes.get("axis", 0) != 0 or table.ndim != 2:
                        raise FlowError(node, "the table of tokens is not [ids, columns]", self)
                    term = Tokens(
                        rows=feeds[ids].shape[1],
                        columns=table.shape[1],
                        node=node,
                        table=table,
                        offset=int(difference.flat[0]),
                    )
                    starts[node.outputs[0]] = view(term, flat((1, term.rows, term.columns)))
        self._walk(feeds, starts)

    def image(self, feeds: Mapping[str, NDArray[Any]], name: str) -> None:
        """Walk with the pixels [1, 3, height, width] of the input `name`."""
        _, channels, height, width = feeds[name].shape
        term = Pixels(rows=height * width, columns=channels, node=None, height=height, width=width)
        self._walk(feeds, {name: view(term, of_grid(height, width, channels))})

    def _walk(self, feeds: Mapping[str, NDArray[Any]], starts: dict[str, Form]) -> None:
        self.values.update(starts)
        data = set(starts)
        for node in self.nodes:
            if node.op not in _KNOWN_OF_DATA and any(name in data for name in node.inputs):
                data.update(name for name in node.outputs if name)
        todo = [node for node in self.nodes if data.intersection(node.outputs) and node.outputs[0] not in starts]
        self._learn(feeds, {name for node in todo for name in node.inputs if name} - data)
        self._learn(feeds, set(self.outputs) - data)
        last = {name: number for number, node in enumerate(todo) for name in node.inputs}
        for number, node in enumerate(todo):
            self._step(node)
            for name in node.inputs:
                # What is read no more may be large: a matrix of all pairs of tokens.
                if last.get(name) == number and name not in self.outputs and self._is_large(name):
                    del self.values[name]

    def _is_large(self, name: str) -> bool:
        form = self.values.get(name)
        return form is not None and int(np.prod(form.shape)) > 1 << 20

    def _learn(self, feeds: Mapping[str, NDArray[Any]], names: set[str]) -> None:
        """Values that do not depend on the data."""
        ask = []
        for name in sorted(names):
            if self.graph.is_constant(name):
                self.values[name] = known(self.graph.constant(name))
            elif name in feeds and np.array_equal(feeds[name], self._others.get(name, feeds[name])):
                self.values[name] = known(feeds[name])
            elif name in feeds:
                reader = next(node for node in self.nodes if name in node.inputs)
                raise FlowError(reader, f"the ids of a text, {name}, are used other than to take rows of a table", self)
            else:
                ask.append(name)
        probe = Probe(self.graph, ask)
        again = probe.run(self._others) if self._others else {}
        for name, value in probe.run(feeds).items():
            if name in again and not np.array_equal(value, again[name], equal_nan=value.dtype.kind == "f"):
                raise FlowError(self.graph.producers[name], _OF_IDS, self)
            self.values[name] = known(value)

    def _step(self, node: Node) -> None:
        handler = HANDLERS.get(node.op)
        if handler is None:
            raise FlowError(node, f"the op {node.op} is not supported", self)
        inputs = [self.values[name] if name else None for name in node.inputs]
        try:
            with np.errstate(all="ignore"):  # numbers that are not finite are looked for at the end
                forms = handler(self, node, inputs)
            for name, form in zip(node.outputs, forms, strict=False):
                check_size(form.shape, self._largest)
                if name:
                    self.values[name] = self._settled(node, name, form)
        except NotUnderstoodError as error:
            raise FlowError(node, str(error), self) from None
        except MALFORMED as error:
            # NumPy's own errors: shapes that the op's definition does not allow, or an attribute that it does not have.
            raise FlowError(node, f"{type(error).__name__}: {error}", self) from None
        for name in node.outputs[len(forms) :]:
            if self.graph.readers[name]:
                raise FlowError(node, f"its output {name} is not supported", self)

    def _settled(self, node: Node, name: str, form: Form) -> Form:
        """A sum, a multiple or a part of columns that several nodes read becomes one term."""
        if form.known or self.graph.readers[name] < 2 or not _is_matrix(form):
            return form
        (x,), layout = canonical(form)
        if (part := form.plain) is not None and x.shape == (part.term.rows, part.term.columns):
            return form
        return view(Affine(rows=x.shape[0], columns=x.shape[1], node=node, x=x), layout)


def _is_matrix(form: Form) -> bool:
    """Whether the form can be a term: padding, an expanded axis and rows of unequal treatment cannot."""
    try:
        canonical(form)
    except NotUnderstoodError:
        return False
    return True
