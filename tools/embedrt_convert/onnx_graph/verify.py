"""Whether a program computes what its graph computes: how far apart they are, and where they part.

The bar is 1e-3 of the greatest number in the graph's own answer. A program beyond it is not written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from embedrt_convert import quality
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Graph
from embedrt_convert.onnx_graph.importer import Imported
from embedrt_convert.onnx_graph.session import Session
from embedrt_convert.reference_types import Values

BAR = 1e-3
RUNTIME = f"onnxruntime {onnxruntime.__version__}"


@dataclass(frozen=True)
class Distance:
    """The greatest difference, and the greatest absolute value in what was expected."""

    difference: float
    scale: float

    @property
    def is_small(self) -> bool:
        """False for NaN and infinity."""
        return math.isfinite(self.difference) and self.difference <= BAR * self.scale

    def section(self) -> dict[str, float]:
        """For the report."""
        return {"max_abs_difference": float(f"{self.difference:.1e}"), "largest_value": float(f"{self.scale:.2g}")}

    def __str__(self) -> str:
        return f"{self.difference:.1e} where values reach {self.scale:.2g}"


def distance(got: Sequence[Values], expected: Sequence[Values]) -> Distance:
    """Over all items, each of one shape on both sides."""
    # NaN must stay: max() would drop it.
    difference = np.max([np.abs(a - b).max() for a, b in zip(got, expected, strict=True)])
    return Distance(float(difference), float(np.max([np.abs(each).max() for each in expected])))


def lost(own: Sequence[Values], expected: Sequence[Values]) -> dict[str, float]:
    """How far the vectors of a graph in fewer bits are from those in float32, for the report."""
    pairs = [(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])) for a, b in zip(own, expected, strict=True)]
    cosine = min(float(quality.cosine(a, b).min()) for a, b in pairs)
    return {"cosine_worst": round(cosine, 6), **distance(own, expected).section()}


def loss(found: Mapping[str, float]) -> str:
    """What `lost` found, in words."""
    return (
        "the graph computes in fewer bits than float32; its own vectors have a cosine of "
        f"{found['cosine_worst']:.5f} at worst to what is converted"
    )


def yardstick(graph: Graph, outputs: Sequence[str]) -> Session:
    """The file itself, or, where it computes in fewer bits, the same graph with its weights taken back to float32."""
    label = str(graph.path)
    if graph.lossy:
        return Session(graph.standard, graph.inputs, outputs, f"{label} in float32")
    return Session(graph.path, graph.inputs, outputs, label)


def described(graph: Graph) -> str:
    """What `yardstick` runs, for the report."""
    return "the graph with its weights taken back to float32" if graph.lossy else "the graph"


def parting(imported: Imported, graph: Graph, values: Sequence[Values], run: Callable[[Session], list[Values]]) -> str:
    """Where program and graph part, in words: the last node that is the same and the first that is not.

    `values` are the program's own, in order, for one item of the size that the importer looked at; `run` gives a
    session's outputs for the same item.
    """
    names = [site.name for site in imported.sites]
    session = Session(_with_outputs(graph.standard, names), graph.inputs, names, str(graph.path))
    agreed = "they agree at no node before"
    for site, expected in zip(imported.sites, run(session), strict=True):
        apart = distance([values[site.value].reshape(-1)[site.index]], [expected])
        if not apart.is_small:
            return f"{agreed}, and at {site.node} they differ by {apart}"
        agreed = f"they still agree at {site.node}"
    return f"{agreed}, and no node after it can be compared"


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy that gives its inner values `names`, too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {each.name for each in model.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in known)
    return copy


def check(apart: Distance, graph: Graph, worst: str, where: Callable[[], str]) -> None:
    """Raises ConversionError for a program that is too far from its graph; `worst` is the item that shows it most."""
    if not apart.is_small:
        raise ConversionError(
            f"the program made of {graph.path} does not compute what {RUNTIME} does: for {worst} they differ by "
            f"{apart}; {where()}. Nothing is written; this is a bug"
        )
