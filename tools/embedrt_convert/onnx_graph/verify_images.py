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

_PICTURES = 3


@dataclass(frozen=True)
class ImageGraph:
    """A graph that has been found to compute what its program computes. An `original.Original`."""

    image: Image
    session: Session
    what: str
    found: Mapping[str, Any]

    def texts(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> Values:
        raise TypeError("a graph of images takes no texts")

    def picture(self, pixels: NDArray[np.uint8]) -> Values:
        return _vector(self.session, self.image, pixels)

    def section(self, model: _core.Model, quant: str) -> Mapping[str, Any]:
        return {"graph": self.found}


def verified(imported: Imported, graph: Graph, image: Image) -> tuple[ImageGraph, tuple[str, ...]]:
    """The graph as an original, and remarks for the user. Raises ConversionError where the program is another."""
    pictures = [pattern(number, image.height, image.width) for number in range(_PICTURES)]
    session = verify.yardstick(graph)
    expected = [_vector(session, image, picture) for picture in pictures]
    got = [reference.run_images(imported.program, picture[None], golden.IMAGE_OUTPUT)[0] for picture in pictures]
    apart = verify.distance(got, expected)
    verify.check(apart, graph, "a generated picture", lambda: _parting(imported, graph, image, pictures[0]))

    found: dict[str, Any] = {"inputs": f"{len(pictures)} generated pictures, one at a time", **apart.section()}
    what, notes = f"the graph, run by {verify.RUNTIME} one picture at a time", []
    if graph.lossy:
        what = f"the graph with its weights taken back to float32, run by {verify.RUNTIME} one picture at a time"
        own = Session(graph.path, graph.inputs, [graph.output], str(graph.path))
        lost = verify.lost([_vector(own, image, picture) for picture in pictures], expected)
        found["graph_as_it_is"] = lost
        notes.append(verify.loss(lost))
    return ImageGraph(image, session, what, found), tuple(notes)


def network_input(image: Image, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes [height, width, 3] -> what a graph takes, [1, 3, height, width]."""
    values = pixels * np.array(image.scale) + np.array(image.offset)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def _values(program: Program, picture: NDArray[np.uint8]) -> list[Values]:
    return reference.trace_images(program, picture[None])[0]


def _vector(session: Session, image: Image, picture: NDArray[np.uint8]) -> Values:
    return session.images(network_input(image, picture))[0].reshape(-1)


def _parting(imported: Imported, graph: Graph, image: Image, picture: NDArray[np.uint8]) -> str:
    given = network_input(image, picture)
    return verify.parting(imported, graph, _values(imported.program, picture), lambda session: session.images(given))
