"""Graphs of texts beside onnxruntime: one text at a time, and a batch filled up and masked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt_convert import golden, quality, reference
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Graph
from embedrt_convert.onnx_graph import verify
from embedrt_convert.onnx_graph.importer import Imported
from embedrt_convert.onnx_graph.session import Ids, Session
from embedrt_convert.reference_types import Values

_LENGTHS = (1, 2, 3, 5, 9, 20, 47, 110, 256, 512)
_SHORT = 64  # tokens: what a batch is made of


@dataclass(frozen=True)
class Frame:
    """The ids around every text, and those with a meaning of their own, which graphs may look for inside of one."""

    prefix: Sequence[int]
    suffix: Sequence[int]
    special: AbstractSet[int]


@dataclass(frozen=True)
class TextGraph:
    """A graph that has been found to compute what its program computes. An `original.Original`."""

    program: Program
    value: int  # of the program: the output that was taken
    session: Session
    what: str
    generated: Sequence[Ids]
    found: Mapping[str, Any] = field(default_factory=dict)

    def texts(
        self, ids: NDArray[np.int32], offsets: NDArray[np.int64], output: str, types: NDArray[np.int32] | None = None
    ) -> Values:
        if types is not None and types.any():
            raise TypeError("a graph of texts takes no token types: it has been given one type only")
        parts = [self._text(ids[begin:end]) for begin, end in itertools.pairwise(offsets)]
        return reference.run_after(self.program, self.value, np.concatenate(parts), offsets, output)

    def _text(self, ids: Ids) -> Values:
        """Those of the output for one text. Of no tokens at all, which graphs do not take, they are the program's."""
        if len(ids) == 0:
            return reference.run_all(self.program, ids, np.array([0, 0]))[self.value]
        return _rows(self.session, ids)

    def picture(self, pixels: NDArray[np.uint8]) -> Values:
        raise TypeError("a graph of texts takes no pictures")

    def section(self, model: _core.Model, quant: str) -> Mapping[str, Any]:
        ids = np.concatenate(self.generated)
        offsets = np.cumsum([0, *map(len, self.generated)], dtype=np.int64)
        expected, vectors = self.texts(ids, offsets, golden.OUTPUT), model.run(ids, offsets, golden.OUTPUT)
        apart = verify.distance([vectors.astype(np.float64)], [expected])
        if quant == "fp32" and not apart.is_small:
            raise ConversionError(f"the file's vectors are {apart} from those of {self.what}: this is a bug")
        cosine = quality.cosine(expected, vectors.astype(np.float64)).min()
        return {"graph": {**self.found, "file": {"cosine_worst": round(float(cosine), 6), **apart.section()}}}


def verified(imported: Imported, graph: Graph, value: int, frame: Frame) -> tuple[TextGraph, tuple[str, ...]]:
    """The graph as an original, and remarks for the user. Raises ConversionError where the program is another.

    `value` of the program is the output that was taken.
    """
    program = imported.program
    texts = generated_ids(program, frame)
    session = verify.yardstick(graph, [graph.output])
    expected = [_rows(session, ids) for ids in texts]
    got = [_values(program, ids)[value] for ids in texts]
    apart = verify.distance(got, expected)
    worst = int(np.argmax([np.abs(a - b).max() for a, b in zip(got, expected, strict=True)]))
    verify.check(apart, graph, f"a text of {len(texts[worst])} ids", lambda: _parting(imported, graph, texts[-1]))

    found: dict[str, Any] = {
        "inputs": f"{len(texts)} texts of {len(texts[0])} to {len(texts[-1])} generated ids, one at a time",
        **apart.section(),
    }
    notes = []
    padded = _padded(session, graph, texts, expected)
    if isinstance(padded, verify.Distance):
        found["padded_batch"] = padded.section()
    if not (isinstance(padded, verify.Distance) and padded.is_small):
        notes.append(
            f"in a batch filled up to its longest text the graph gives other vectors ({padded}); "
            "what is converted is what it gives for a text alone"
        )
    if graph.lossy:
        own = Session(graph.path, graph.inputs, [graph.output], str(graph.path))
        lost = verify.lost([_rows(own, ids) for ids in texts], expected)
        found["graph_as_it_is"] = lost
        notes.append(verify.loss(lost))
    what = f"{verify.described(graph)}, run by {verify.RUNTIME} one text at a time"
    return TextGraph(program, value, session, what, texts, found), tuple(notes)


def generated_ids(program: Program, frame: Frame) -> list[Ids]:
    """Texts of lengths from the shortest to the limit, or 512; always the same."""
    ends = len(frame.prefix) + len(frame.suffix)
    longest = min(program.max_tokens, _LENGTHS[-1])
    lengths = [*(length for length in _LENGTHS if ends <= length < longest), longest]
    choices = np.array([each for each in range(program.vocabulary) if each not in frame.special], np.int32)
    rng = np.random.default_rng(0)
    return [
        np.concatenate([frame.prefix, rng.choice(choices, max(length - ends, 0)), frame.suffix]).astype(np.int32)
        for length in lengths
    ]


def _values(program: Program, ids: Ids) -> list[Values]:
    return reference.run_all(program, ids, np.array([0, len(ids)]))


def _rows(session: Session, ids: Ids) -> Values:
    """Those of the output for one text: [tokens, columns] of [1, tokens, columns], or [1, columns]."""
    output = session.texts([ids])[0]
    return output.reshape(-1, output.shape[-1])


def _padded(session: Session, graph: Graph, texts: Sequence[Ids], expected: Sequence[Values]) -> verify.Distance | str:
    """How far the rows of a batch are from those of its texts alone, or why there is no batch."""
    few = [number for number, ids in enumerate(texts) if len(ids) <= _SHORT]
    try:
        output = session.texts([texts[number] for number in few], graph.pad or 0)[0]
    except ConversionError as error:
        return str(error)
    got = [output[row].reshape(-1, output.shape[-1])[: len(expected[number])] for row, number in enumerate(few)]
    return verify.distance(got, [expected[number] for number in few])


def _parting(imported: Imported, graph: Graph, ids: Ids) -> str:
    # The importer looked at one length: as many rows as the largest position needs.
    columns = [value.shape[1] for value in _values(imported.program, ids)]
    rows = max(int(site.index.max()) // columns[site.value] + 1 for site in imported.sites) if imported.sites else 1
    trial = np.resize(ids, rows)
    return verify.parting(imported, graph, _values(imported.program, trial), lambda session: session.texts([trial]))
