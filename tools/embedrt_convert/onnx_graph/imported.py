"""What an importer gives: a program, and where its values are in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from embedrt_convert.builder import Program
from embedrt_convert.onnx_graph.flow import Flow
from embedrt_convert.onnx_graph.forms import Index
from embedrt_convert.onnx_graph.lower import Lowering


@dataclass(frozen=True)
class Site:
    """Where a value of the program is in the graph: element i of the graph's value `name` is position index[i]."""

    value: int
    name: str
    node: str
    index: Index


@dataclass(frozen=True)
class Imported:
    """`families` counts what was found, `left` what was not needed.

    `output` is the graph's output that was taken; `taken` says which of the program's outputs each of
    the graph's is, of images.
    """

    program: Program
    sites: tuple[Site, ...]
    families: Mapping[str, int]
    output: str
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    taken: Mapping[str, str] = field(default_factory=dict)


def sites(flow: Flow, lowering: Lowering) -> tuple[Site, ...]:
    """Every value of the program that is one of the graph's, element by element."""
    found = []
    for name, form in flow.values.items():
        part = form.plain
        if part is not None and part.term.number in lowering.values and name in flow.graph.producers:
            value = lowering.values[part.term.number]
            found.append(Site(value, name, str(flow.graph.producers[name]), part.index))
    return tuple(found)
