"""Token ids to try a graph with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.graph import Graph

# What is done with token ids to find padding or the end of a text.
_FOLLOWED = ("Equal", "Cast", "ArgMax", "Not", "Identity", "Reshape", "Flatten", "Unsqueeze", "Squeeze")


@dataclass(frozen=True)
class TrialIds:
    """A text [n] of ids that no node of the graph asks for, and another one of any ids, those among them.

    What a graph makes of the one and the other without its tables of embeddings must be equal: then it depends on their
    number alone.
    """

    ordinary: NDArray[np.int64]
    any: NDArray[np.int64]


def trial_ids(graph: Graph, ids: str, rows: int, length: int, padding: int | None) -> TrialIds:
    """Texts of `length` ids below `rows` for the input `ids`; neither has `padding`. Raises ConversionError."""
    special, last = _asked_for(graph, ids, rows)
    rng = np.random.default_rng(length)
    left_out = special | {padding, last}
    # The first ids of a vocabulary are seldom words.
    ordinary = [token for token in range(rows // 8, rows) if token not in left_out]
    everything = [token for token in range(rows) if token not in (padding, last)]
    if not ordinary:
        raise ConversionError(f"the graph's table of {rows} tokens has none that the graph does not treat as special")
    first, second = (np.resize(rng.permutation(np.array(each, np.int64)), length) for each in (ordinary, everything))
    asked = sorted(special - {padding, last})[: max(length - 2, 0)]
    second[1 : 1 + len(asked)] = asked
    if last is not None:
        first[-1] = second[-1] = last
    return TrialIds(first, second)


def special_ids(graph: Graph, ids: str) -> set[int]:
    """Ids that the graph compares those of a text with, other than to find the end."""
    special, last = _asked_for(graph, ids, max(table_rows(graph, ids)))
    return special - {last}


def _asked_for(graph: Graph, ids: str, rows: int) -> tuple[set[int], int | None]:
    """Ids that the graph compares with, and the one that it looks for as the end of a text."""
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
        if node.op == "ArgMax":  # of where the end is, or of the greatest id
            last = rows - 1 if number is None else number
        compared.update(dict.fromkeys(node.outputs, number))
    return special, last


def _shift(graph: Graph, index: str) -> int:
    """What is added to ids before they index a table."""
    node = graph.producers.get(index)
    added = [name for name in node.inputs if graph.is_constant(name)] if node is not None and node.op == "Add" else []
    return int(graph.constant(added[0]).max(initial=0)) if added else 0


def table_rows(graph: Graph, ids: str) -> list[int]:
    """How many rows the tables have that are indexed by what is made of ids, the largest first.

    The table of tokens is among them, and of positions, where those are counted from the ids. Raises ConversionError.
    """
    sizes = {
        graph.constant(node.inputs[0]).shape[0] - _shift(graph, node.inputs[1])
        for node in graph.nodes
        if node.op == "Gather"
        and graph.is_constant(node.inputs[0])
        and graph.constant(node.inputs[0]).ndim == 2
        and ids in graph.ancestors((node.inputs[1],), through_sizes=False)
    }
    if not sizes:
        raise ConversionError("the graph has no table of token embeddings")
    return sorted(sizes, reverse=True)
