"""Graphs of images beside onnxruntime: generated pictures, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt._patterns import pattern
from embedrt_convert import golden, reference
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Graph, Image
from embedrt_convert.onnx_graph import verify
from embedrt_convert.onnx_graph.importer import Imported
from embedrt_convert.onnx_graph.session import Session
from embedrt_convert.reference_types import Values

Picture = NDArray[np.uint8]  # [height, width, 3]

_PICTURES = 3


@dataclass(frozen=True)
class ImageGraph:
    """A graph that has been found to compute what its program computes. An `original.Original`.

    `output` is the place of image_embedding among what the session gives, or None where the graph has it inside.
    """

    program: Program
    image: Image
    session: Session
    output: int | None
    what: str
    found: Mapping[str, Any]

    def texts(
        self, ids: NDArray[np.int32], offsets: NDArray[np.int64], output: str, types: NDArray[np.int32] | None = None
    ) -> Values:
        raise TypeError("a graph of images takes no texts")

    def picture(self, pixels: Picture) -> Values:
        if self.output is None:
            rows = reference.run_images(self.program, pixels[None], golden.IMAGE_OUTPUT)
        else:
            rows = _outputs(self.session, self.image, pixels)[self.output]
        vector: Values = rows[0]
        return vector

    def section(self, model: _core.Model, quant: str) -> Mapping[str, Any]:
        return {"graph": self.found}


def verified(imported: Imported, graph: Graph, image: Image) -> tuple[ImageGraph, tuple[str, ...]]:
    """The graph as an original, and remarks for the user. Raises ConversionError where the program is another.

    Every output of the graph that is one of the program's is compared.
    """
    names = list(imported.taken)
    pictures = [pattern(number, image.height, image.width) for number in range(_PICTURES)]
    session = verify.yardstick(graph, names)
    expected = [_outputs(session, image, picture) for picture in pictures]
    values = [imported.program.outputs[imported.taken[name]] for name in names]
    traces = [_trace(imported.program, picture) for picture in pictures]
    found: dict[str, Any] = {"inputs": f"{len(pictures)} generated pictures, one at a time"}
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        apart = verify.distance([trace[value] for trace in traces], [each[place] for each in expected])
        verify.check(apart, graph, f"{name} of a picture", lambda: _parting(imported, graph, image, pictures[0]))
        found[name] = apart.section()
    notes = []
    if graph.lossy:
        own = Session(graph.path, graph.inputs, names, str(graph.path))
        lost = verify.lost([_outputs(own, image, each)[0] for each in pictures], [each[0] for each in expected])
        found["graph_as_it_is"] = lost
        notes.append(verify.loss(lost))
    taken = [imported.taken[name] for name in names]
    output = taken.index(golden.IMAGE_OUTPUT) if golden.IMAGE_OUTPUT in taken else None
    what = f"{verify.described(graph)}, run by {verify.RUNTIME} one picture at a time"
    if output is None:
        what = f"{verify.described(graph)}, whose {names[0]} agrees with {verify.RUNTIME}, run by the NumPy reference"
    return ImageGraph(imported.program, image, session, output, what, found), tuple(notes)


def network_input(image: Image, picture: Picture) -> NDArray[np.float32]:
    """What a graph takes, [1, 3, height, width]."""
    values = picture * np.array(image.scale) + np.array(image.offset)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def _outputs(session: Session, image: Image, picture: Picture) -> list[Values]:
    """Each output as rows [rows, columns]."""
    return [_rows(output) for output in session.images(network_input(image, picture))]


def _rows(output: Values) -> Values:
    """Those of [1, columns], of [1, rows, columns], or of the places of [1, columns, height, width]."""
    last = output.transpose(0, 2, 3, 1) if output.ndim == 4 else output
    return last.reshape(-1, last.shape[-1])


def _trace(program: Program, picture: Picture) -> list[Values]:
    return reference.trace_images(program, picture[None])[0]


def _parting(imported: Imported, graph: Graph, image: Image, picture: Picture) -> str:
    given = network_input(image, picture)
    return verify.parting(imported, graph, _trace(imported.program, picture), lambda session: session.images(given))
