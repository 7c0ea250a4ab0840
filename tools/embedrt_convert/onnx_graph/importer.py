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
from embedrt_convert.builder import Program, Tensor
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Module
from embedrt_convert.onnx_graph import (  # noqa: F401  each file registers what it knows
    flow_image,
    flow_math,
    flow_move,
    flow_product,
    flow_reduce,
    lower_attention,
    lower_grids,
)
from embedrt_convert.onnx_graph.families import families, in_words, terms_of
from embedrt_convert.onnx_graph.flow import MALFORMED, Flow, FlowError
from embedrt_convert.onnx_graph.forms import NotUnderstoodError, canonical
from embedrt_convert.onnx_graph.graph import Graph
from embedrt_convert.onnx_graph.imported import Imported, Site, sites
from embedrt_convert.onnx_graph.importer_images import import_images
from embedrt_convert.onnx_graph.lower import Lowering, RefusedError
from embedrt_convert.onnx_graph.roles import IDS, POSITIONS, roles
from embedrt_convert.onnx_graph.terms import Attention, Tokens
from embedrt_convert.onnx_graph.trial import DoesNotRunError, Probe, text_feeds
from embedrt_convert.onnx_graph.trial_ids import TrialIds, table_rows, trial_ids

with extra("onnx"):
    import onnx

_TRIALS = (4, 11)  # tokens, beside the limit: what depends on the length shows in one of them
_LONGEST = 2048  # tokens of a walk: it holds a number for each pair of them in each head


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
    output: str | None = None,
    modules: tuple[Module, ...] = (),
    padding: int | None = None,
) -> Imported:
    """The program of a standard graph of texts of at most `max_tokens` tokens.

    `output` names the graph's output to take; `modules` follow it, where it has a row for each token. `padding` is the
    id that no text has and that the graph may therefore treat in a way of its own. Raises ConversionError naming the
    node that is not understood.
    """
    try:
        return _imported_text(Graph(model), max_tokens, output, modules, padding)
    except MALFORMED as error:
        raise ConversionError(f"the graph is malformed: {type(error).__name__}: {error}") from error


def _imported_text(
    graph: Graph, max_tokens: int, output: str | None, modules: tuple[Module, ...], padding: int | None
) -> Imported:
    known = roles(graph)
    ids = next((name for name, role in known.items() if role == IDS), None)
    if ids is None:
        raise ConversionError("the graph takes pictures, not texts")
    chosen = chosen_output(graph, output)
    if max_tokens > _LONGEST:
        raise ConversionError(
            f"texts of {max_tokens} tokens are more than a graph is followed for: at most {_LONGEST} (--max-tokens)"
        )
    shorter = {min(length, max(max_tokens - 1, 1)) for length in _TRIALS} - {max_tokens}
    trials = [_text_at(graph, known, ids, chosen, length, padding) for length in (*sorted(shorter), max_tokens)]
    for walked in trials:
        _check_numbers(walked.lowering.program)
    *others, full = trials
    for short, length in zip(others, sorted(shorter), strict=True):
        if (difference := _difference(short, full)) is not None:
            raise ConversionError(
                f"the graph does something else with {length} than with {max_tokens} tokens: {difference}"
            )
    program = full.lowering.program
    if full.rows == 1 and max_tokens > 1:
        if modules:
            raise ConversionError(f"the output {chosen} of the graph is pooled already: no pooling can follow it")
        program.outputs = {"sentence_embedding": full.output}
    elif modules:
        pooled = lower_modules(program, full.output, modules, full.columns)
        program.outputs = {"token_embeddings": full.output, "sentence_embedding": pooled}
    else:
        raise ConversionError(f"the output {chosen} of the graph has a vector for each token, which must be pooled")
    flow = full.flow
    unneeded = len(graph.nodes) - len(flow.nodes)
    left = (f"{unneeded} nodes that {chosen} does not need",) if unneeded else ()
    counted = [name for name, role in known.items() if role == POSITIONS]
    notes = tuple(f"the graph's input {name} is taken to be 0, 1, 2 … in every text" for name in counted)
    found = families([flow.values[chosen]])
    return Imported(program, sites(flow, full.lowering), found, chosen, left, notes)


def _text_at(graph: Graph, known: Mapping[str, str], ids: str, output: str, length: int, padding: int | None) -> Walked:
    for rows in (sizes := table_rows(graph, ids)):
        try:
            flow = _walked(graph, known, ids, output, trial_ids(graph, ids, rows, length, padding))
            break
        except DoesNotRunError:  # not the table of tokens: that has fewer rows
            if rows == sizes[-1]:
                raise
    lookups = [term for term in terms_of([flow.values[output]]) if isinstance(term, Tokens)]
    if not lookups:
        raise ConversionError(f"the graph's output {output} does not depend on token ids by a table of embeddings")
    for term in lookups:
        _check_lookup(graph, term, known, ids, length, padding)
    return lowered(flow, Lowering(Program(min(len(term.table) - term.offset for term in lookups), length)), output)


def _walked(graph: Graph, known: Mapping[str, str], ids: str, output: str, tokens: TrialIds) -> Flow:
    feeds, others = (text_feeds(graph, known, each) for each in (tokens.ordinary, tokens.any))
    flow = Flow(graph, (output,))
    walk(lambda: flow.text(feeds, others, ids, [_indices(graph, ids, each) for each in (feeds, others)]))
    return flow


def _check_lookup(
    graph: Graph, term: Tokens, known: Mapping[str, str], ids: str, length: int, padding: int | None
) -> None:
    """Every id must take its own row of the table: a graph may bound ids, or take several as one."""
    assert term.node is not None
    if term.offset < 0:
        raise ConversionError(f"{term.node}: the first {-term.offset} ids have no row of the table")
    index, every = term.node.inputs[1], np.arange(len(term.table) - term.offset)
    if index == ids:
        return
    probe = Probe(graph, (index,))
    for start in range(0, len(every), length):
        tokens = np.resize(every[start : start + length], length)
        if padding is not None:
            tokens = np.where(tokens == padding, every[-1] if padding == 0 else 0, tokens)
        rows = probe.run(text_feeds(graph, known, tokens))[index]
        if not np.array_equal(rows.reshape(-1), tokens + term.offset):
            raise ConversionError(f"{term.node}: some ids from {start} on take other rows than their own")


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
        if layout.size != matrix.shape[0] * matrix.shape[1] or np.any(layout.reshape(-1) != np.arange(layout.size)):
            raise NotUnderstoodError("it is not in rows of vectors")
        for term in terms_of([form]):
            if isinstance(term, Attention):
                lowering.term(term)  # from the first layer on: all layers at once would be too deep a recursion
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


def _check_numbers(program: Program) -> None:
    for instruction in program.instructions:
        for name, number in instruction.attributes.items():
            if isinstance(number, float) and (not np.isfinite(number) or (name == "epsilon" and number < 0)):
                raise ConversionError(f"{name} of {instruction.op} is {number}")
    for tensor in program.tensors():
        if not np.isfinite(tensor.data).all():
            raise ConversionError(f"{tensor.name} has numbers that are not finite")


def _difference(short: Walked, full: Walked) -> str | None:
    """How two programs of one graph differ, other than in what is stored for each position."""
    length = short.lowering.program.max_tokens
    for a, b in itertools.zip_longest(short.lowering.program.instructions, full.lowering.program.instructions):
        if a is None or b is None or (a.op, a.inputs) != (b.op, b.inputs):
            return f"{b.op if b else 'nothing'} in place of {a.op if a else 'nothing'}"
        # A window that is wider than the short text is none there.
        window = int(b.attributes.get("window", 0))
        if dict(a.attributes) != {**b.attributes, **({"window": 0} if window >= length - 1 else {})}:
            return f"{dict(b.attributes)} in place of {dict(a.attributes)} of {a.op}"
        for role in a.tensors.keys() | b.tensors.keys():
            if (why := _differs(role, a, b, length)) is not None:
                return f"{why} of {a.op}"
    for walked in (short, full):
        if walked.rows not in (1, walked.lowering.program.max_tokens):
            return f"{walked.rows} rows of {walked.lowering.program.max_tokens} tokens"
    if (short.output, short.columns, short.rows == 1) != (full.output, full.columns, full.rows == 1):
        return "another value is its result"
    return None


def _differs(role: str, a: Any, b: Any, length: int) -> str | None:
    left, right = a.tensors.get(role), b.tensors.get(role)
    if a.op == "attention":
        return _bias_differs(left, right, length)
    if left is None or right is None:
        return role
    x, y = left.data, right.data
    if a.op in ("lookup", "rope") and len(x) == length:
        y = y[:length]
    return None if x.shape == y.shape and _near(x, y) else role


def _near(x: NDArray[Any], y: NDArray[Any]) -> bool:
    return bool(np.allclose(x, y, rtol=1e-4, atol=1e-5 * np.abs(y).max(initial=0)))


def _bias_differs(short: Tensor | None, full: Tensor | None, length: int) -> str | None:
    """A bias is the same for the distances that a short text has; there it may be 0."""
    if full is None:
        return "bias" if short is not None else None
    middle = full.data.shape[1] // 2
    near = full.data[:, middle - length + 1 : middle + length]
    return None if _near(np.zeros_like(near) if short is None else short.data, near) else "bias"


__all__ = ["Imported", "Site", "import_images", "import_text"]
