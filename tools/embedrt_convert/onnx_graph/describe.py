"""What conversion would make of a graph, in words: `embedrt inspect model.onnx`."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Image, Module, Pooling
from embedrt_convert.onnx_graph import facts, importer
from embedrt_convert.onnx_graph.graph import Graph, Input
from embedrt_convert.onnx_graph.importer import Imported
from embedrt_convert.onnx_graph.read import Value, read, signature
from embedrt_convert.onnx_graph.roles import IDS, PIXELS, roles
from embedrt_convert.onnx_graph.standard import standard
from embedrt_convert.onnx_graph.trial_ids import special_ids

Lines = list[tuple[str, str]]

_TOKENS, _SIDE = 16, 224  # what a graph of any size is looked at with


def describe(path: pathlib.Path) -> dict[str, Lines]:
    """Title -> lines of a name and what is said of it. Raises ConversionError for a file that is not a sound graph."""
    model = read(path)
    about, outputs = facts.about(model), signature(model).outputs
    made = standard(model)
    graph = Graph(made.model)
    opsets = ", ".join(f"{domain} {version}" for domain, version in about["opsets"].items())
    file: Lines = [("size", f"{path.stat().st_size:,} bytes"), ("exporter", about["exporter"]), ("opsets", opsets)]
    found = {str(path): file + [("rewritten", note) for note in made.notes]}
    try:
        known = roles(graph)
        found["inputs"] = [
            (each.name, f"{known[each.name]}, {each.dtype} {_shape(each.shape)}") for each in graph.inputs
        ]
    except ConversionError as error:
        return {**found, "not understood": [("inputs", str(error))]}
    for output in outputs:
        found[f"output {output.name}, {_shape(output.shape)}"] = _output(graph, known, output)
    return found


def _output(graph: Graph, known: Mapping[str, str], output: Value) -> Lines:
    has_rows = PIXELS not in known.values() and output.shape is not None and len(output.shape) == 3
    try:
        imported = _imported(graph, known, output, (Pooling("mean"),) if has_rows else ())
    except ConversionError as error:
        return [("not understood", str(error))]
    rows = (
        [("gives", "a vector for each token; modules.json or --pooling says what makes one of them")]
        if has_rows
        else []
    )
    return [
        *rows,
        *((f"{count:,} ×", family) for family, count in imported.families.items()),
        *(("not needed", left) for left in imported.left),
        *(("note", note) for note in imported.notes),
    ]


def _imported(graph: Graph, known: Mapping[str, str], output: Value, modules: tuple[Module, ...]) -> Imported:
    if PIXELS in known.values():
        (pixels,) = (each for each in graph.inputs if known[each.name] == PIXELS)
        return importer.import_images(graph.model, _image(pixels), output=output.name)
    # Without its files nothing says which id is padding: the only one that the graph asks for may be.
    asked = special_ids(graph, next(name for name, role in known.items() if role == IDS))
    padding = asked.pop() if len(asked) == 1 else None
    return importer.import_text(graph.model, max_tokens=_TOKENS, output=output.name, modules=modules, padding=padding)


def _image(pixels: Input) -> Image:
    height, width = (side if isinstance(side, int) else _SIDE for side in pixels.shape[2:])
    unit: Any = {"resize": None, "resample": "bilinear", "crop": None, "scale": (1.0,) * 3, "offset": (0.0,) * 3}
    return Image(height=height, width=width, **unit)


def _shape(shape: tuple[int | str | None, ...] | None) -> str:
    return (
        "of unknown shape" if shape is None else f"[{', '.join('?' if each is None else str(each) for each in shape)}]"
    )
