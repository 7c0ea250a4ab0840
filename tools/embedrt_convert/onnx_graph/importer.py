"""A standard graph to a program: what `embedrt convert model.onnx` understands of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt._extras import extra
from embedrt_convert.archs._heads import lower_modules
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Module
from embedrt_convert.onnx_graph import (  # noqa: F401  each file registers what it knows
    flow_image,
    flow_math,
    flow_move,
    flow_product,
    flow_reduce,
    lower_attention,
    lower_image,
)
from embedrt_convert.onnx_graph.families import families, in_words
from embedrt_convert.onnx_graph.flow import Flow, FlowError
from embedrt_convert.onnx_graph.forms import NotUnderstoodError, canonical
from embedrt_convert.onnx_graph.graph import Graph
from embedrt_convert.onnx_graph.imported import Imported, Site, sites
from embedrt_convert.onnx_graph.importer_images import import_images
from embedrt_convert.onnx_graph.lower import Lowering, RefusedError
from embedrt_convert.onnx_graph.roles import IDS, roles
from embedrt_convert.onnx_graph.trial import Probe, text_feeds

with extra("onnx"):
    import onnx

_SHORT = 11  # tokens of the short trial: no extent of a model is likely to be the same
_LONGEST = 2048  # tokens of a walk: it holds a number for each pair of them in each head
# What is done with token ids to find padding or the end of a text.
_FOLLOWED = ("Equal", "Cast", "ArgMax", "Not", "Identity", "Reshape", "Flatten", "Unsqueeze", "Squeeze")


@dataclass(frozen=True)
class Walked:
    """A graph at one trial length: its output `name` is the program's value `output`, [rows, columns]."""

    flow: Flow
    lowering: Lowering
    name: str
    output: int
    rows: int
    columns: int


def import_text(
    model: onnx.ModelProto,
    *,
    max_tokens: int,
    vocabulary: int | None = None,
    output: str | None = None,
    modules: tuple[Module, ...] = (),
) -> Imported:
    """The program of a standard graph of texts of at most `max_tokens` tokens.

    `output` names the graph's output to take; `modules` follow it, where it has a row for each token. Raises
    ConversionError naming the node that is not understood.
    """
    graph = Graph(model)
    known = roles(graph)
    ids = next((name for name, role in known.items() if role == IDS), None)
    if ids is None:
        raise ConversionError("the graph takes pictures, not texts")
    chosen = chosen_output(graph, output)
    if max_tokens > _LONGEST:
        raise ConversionError(
            f"texts of {max_tokens} tokens are more than a graph is followed for: at most {_LONGEST} (--max-tokens)"
        )
    lengths = (min(_SHORT, max_tokens), max_tokens)
    short, full = (_text_at(graph, known, ids, chosen, length) for length in lengths)
    if (difference := _difference(short.lowering.program, full.lowering.program)) is not None:
        raise ConversionError(
            f"the graph does something else with {lengths[0]} than with {lengths[1]} tokens: {difference}"
        )
    program = full.lowering.program
    if full.rows == 1 and max_tokens > 1:
        if modules:
            raise ConversionError(f"the output {chosen} of the graph is pooled already: no pooling can follow it")
        program.outputs = {"sentence_embedding": full.output}
    elif modules:
        lower_modules(program, full.output, modules, full.columns)
    else:
        raise ConversionError(f"the output {chosen} of the graph has a vector for each token, which must be pooled")
    return imported(full)


def imported(walked: Walked) -> Imported:
    """What a walk found."""
    flow, output = walked.flow, walked.name
    unneeded = len(flow.graph.nodes) - len(flow.nodes)
    left = (f"{unneeded} nodes that {output} does not need",) if unneeded else ()
    return Imported(
        walked.lowering.program, sites(flow, walked.lowering), families([flow.values[output]]), output, left
    )


def _text_at(graph: Graph, known: Mapping[str, str], ids: str, output: str, length: int) -> Walked:
    tokens = _tokens(graph, known, ids, length)
    feeds = text_feeds(graph, known, tokens)
    flow = Flow(graph, (output,))
    walk(lambda: flow.text(feeds, ids, _indices(graph, ids, feeds)))
    rows = [len(term.table) - term.offset for term in flow.starts()]
    if not rows:
        raise ConversionError(f"the graph's output {output} does not depend on token ids by a table of embeddings")
    return lowered(flow, Lowering(Program(min(rows), length)), output)


def walk(steps: Callable[[], None]) -> None:
    """Runs `steps` of a flow. Raises ConversionError with what was understood up to where it stops."""
    try:
        steps()
    except FlowError as stop:
        understood = in_words(families(stop.flow.values.values()))
        raise ConversionError(f"{stop}; understood up to there: {understood}") from None


def lowered(flow: Flow, lowering: Lowering, output: str) -> Walked:
    """The program of a flow's output. Raises ConversionError."""
    form = flow.values[output]
    if form.known:
        raise ConversionError(f"the graph's output {output} does not depend on its input")
    try:
        (matrix,), layout = canonical(form)
        if not np.array_equal(layout.reshape(-1), np.arange(layout.size)):
            raise NotUnderstoodError("it is not in rows of vectors")
        return Walked(flow, lowering, output, lowering.form(matrix), *matrix.shape)
    except NotUnderstoodError as error:
        raise ConversionError(f"the graph's output {output}: {error}") from None
    except RefusedError as refused:
        understood = in_words(families([form]))
        raise ConversionError(f"{refused}; what {output} is made of: {understood}") from None


def chosen_output(graph: Graph, output: str | None) -> str:
    """The output that is asked for, or the only one. Raises ConversionError."""
    if output is None and len(graph.outputs) == 1:
        return str(graph.outputs[0])
    if output is None or output not in graph.outputs:
        asked = "several outputs, of which one must be named" if output is None else f"no output {output}"
        raise ConversionError(f"the graph has {asked}: {', '.join(graph.outputs)}")
    return output


def _tokens(graph: Graph, known: Mapping[str, str], ids: str, length: int) -> NDArray[np.int64]:
    """Token ids that are no special ones: the graph compares those with constants, to find padding or an end."""
    rows = _vocabulary(graph, ids)
    special: set[int] = set()
    last = None
    compared: dict[str, int | None] = {ids: None}  # values that are made of ids -> what they were compared with
    for node in graph.nodes:
        source = next((name for name in node.inputs if name in compared), None)
        if source is None or node.op not in _FOLLOWED:
            continue
        constants = [int(graph.constant(name).flat[0]) for name in node.inputs if graph.is_constant(name)]
        number = constants[0] if node.op == "Equal" and constants else compared[source]
        if number is not None:
            special.add(number)
        if node.op == "ArgMax":  # of the id that ends a text, or of the greatest one
            last = rows - 1 if number is None else number
        compared.update(dict.fromkeys(node.outputs, number))
    ordinary = [token for token in range(rows // 8, rows) if token not in special and token != last]
    values = np.resize(np.array(ordinary, np.int64)[np.random.default_rng(length).permutation(len(ordinary))], length)
    if last is not None:
        values[-1] = last
    return values


def _vocabulary(graph: Graph, ids: str) -> int:
    sizes = [
        graph.constant(node.inputs[0]).shape[0]
        for node in graph.nodes
        if node.op == "Gather" and graph.is_constant(node.inputs[0]) and ids in graph.ancestors((node.inputs[1],))
    ]
    if not sizes:
        raise ConversionError("the graph has no table of token embeddings")
    return int(max(sizes))


def _indices(graph: Graph, ids: str, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What tables are indexed with, where the ids decide it."""
    names = {
        node.inputs[1]
        for node in graph.nodes
        if node.op == "Gather"
        and graph.is_constant(node.inputs[0])
        and graph.constant(node.inputs[0]).dtype.kind == "f"
        and ids in graph.ancestors((node.inputs[1],))
    }
    given = {name: feeds[name] for name in names if name in feeds}
    return {**given, **Probe(graph, sorted(names - set(given))).run(feeds)}


def _difference(short: Program, full: Program) -> str | None:
    """How two programs of one graph differ, other than in what is stored for each position."""
    for a, b in itertools.zip_longest(short.instructions, full.instructions):
        if a is None or b is None or (a.op, a.inputs) != (b.op, b.inputs):
            return f"{b.op if b else 'nothing'} in place of {a.op if a else 'nothing'}"
        # A window that is wider than the short text is none there; a bias may be 0 for short distances.
        if {**a.attributes, "window": 0} != {**b.attributes, "window": 0}:
            return f"{dict(b.attributes)} in place of {dict(a.attributes)} of {a.op}"
        for role in a.tensors.keys() | b.tensors.keys():
            if (why := _differs(role, a, b, short.max_tokens)) is not None:
                return f"{why} of {a.op}"
    return None


def _differs(role: str, a: Any, b: Any, length: int) -> str | None:
    left, right = a.tensors.get(role), b.tensors.get(role)
    if a.op == "attention":
        return None  # verified at full length by running both
    if left is None or right is None:
        return role
    x, y = left.data, right.data
    if a.op in ("lookup", "rope") and len(x) == length:
        y = y[:length]
    return None if x.shape == y.shape and np.allclose(x, y, rtol=1e-4, atol=1e-5) else role


__all__ = ["Imported", "Site", "import_images", "import_text"]
