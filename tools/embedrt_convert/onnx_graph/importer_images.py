"""A standard graph of pictures to a program."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from embedrt._extras import extra
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Image
from embedrt_convert.onnx_graph.families import families, in_words
from embedrt_convert.onnx_graph.flow import Flow, FlowError
from embedrt_convert.onnx_graph.forms import Form, NotUnderstoodError, canonical, of_grid
from embedrt_convert.onnx_graph.graph import Graph, Input
from embedrt_convert.onnx_graph.grids import is_vector, prefix_of
from embedrt_convert.onnx_graph.image_lowering import ImageLowering
from embedrt_convert.onnx_graph.imported import Imported, sites
from embedrt_convert.onnx_graph.lower import Lowering, RefusedError, expanded, layers_of
from embedrt_convert.onnx_graph.lower_grids import vector
from embedrt_convert.onnx_graph.roles import PIXELS, roles
from embedrt_convert.onnx_graph.terms import Conv, Linear
from embedrt_convert.onnx_graph.trial import image_feeds

with extra("onnx"):
    import onnx

# Outputs by the names that exporters give them: one row for each picture, all rows of its grid, and classes.
_VECTORS = ("image_embedding", "image_embeds", "pooler_output", "embedding", "features")
_ROWS = ("last_hidden_state", "patch_embeddings")
_LOGITS = "logits"


def import_images(model: onnx.ModelProto, image: Image, *, output: str | None = None) -> Imported:
    """The program of a standard graph of pictures, whose input is what `image` makes of bytes.

    `output` names the graph's output to take. The program's outputs are image_embedding; patch_embeddings, class_token
    and patch_mean where the graph gives all rows of its grid; and logits where a linear layer makes them. Raises
    ConversionError naming the node that is not understood.
    """
    graph = Graph(model)
    known = roles(graph)
    pixels = next((each for each in graph.inputs if known[each.name] == PIXELS), None)
    if pixels is None:
        raise ConversionError("the graph takes texts, not pictures")
    _check_size(pixels, image)
    chosen = _chosen(graph, output)
    others = tuple(name for name in (*_ROWS, _LOGITS) if name in graph.outputs and name != chosen)
    try:
        return _imported(graph, known, pixels.name, image, (chosen, *others))
    except ConversionError as error:
        if not others:
            raise
        left = f"the output{'s' * (len(others) > 1)} {', '.join(others)}: {error}"
    return _imported(graph, known, pixels.name, image, (chosen,), left=(left,))


def _check_size(pixels: Input, image: Image) -> None:
    expected = (3, image.height, image.width)
    if len(pixels.shape) != 4 or any(
        isinstance(each, int) and each != size for each, size in zip(pixels.shape[1:], expected, strict=True)
    ):
        shape = ", ".join("?" if each is None else str(each) for each in pixels.shape)
        raise ConversionError(
            f"the graph's input {pixels.name} is [{shape}], and pictures are [batch, 3, {image.height}, {image.width}]"
        )


def _chosen(graph: Graph, output: str | None) -> str:
    if output is not None:
        if output not in graph.outputs:
            raise ConversionError(f"the graph has no output {output}; it has {', '.join(graph.outputs)}")
        return output
    for name in (*_VECTORS, *_ROWS, _LOGITS):
        if name in graph.outputs:
            return name
    if len(graph.outputs) > 1:
        raise ConversionError(f"the graph has several outputs, {', '.join(graph.outputs)}: name one (--output-name)")
    (only,) = graph.outputs
    return str(only)


def _imported(
    graph: Graph,
    known: Mapping[str, str],
    pixels: str,
    image: Image,
    outputs: tuple[str, ...],
    left: tuple[str, ...] = (),
) -> Imported:
    flow = Flow(graph, outputs)
    try:
        flow.image(image_feeds(graph, known, image.height, image.width), pixels)
    except FlowError as stop:
        understood = in_words(families(stop.flow.values.values()))
        raise ConversionError(f"{stop}; understood up to there: {understood}") from None
    lowering = ImageLowering(Program(0, 0, (image.height, image.width)), image)
    ends = _Ends(flow, lowering, image.labels is not None and _LOGITS not in outputs)
    for name in sorted(outputs, key=lambda name: len(flow.values[name].shape), reverse=True):
        ends.take(name)
    lowering.program.outputs = ends.outputs
    unneeded = len(graph.nodes) - len(flow.nodes)
    if unneeded:
        left = (*left, f"{unneeded} nodes that {', '.join(outputs)} do not need")
    notes = (*ends.notes, *_slower(flow))
    found = families([flow.values[name] for name in outputs])
    return Imported(lowering.program, sites(flow, lowering), found, outputs[0], left, notes, ends.taken)


class _Ends:
    """What the outputs of a graph are in the program: those with rows first, one vector for each picture after them."""

    def __init__(self, flow: Flow, lowering: Lowering, classes: bool) -> None:
        self._flow = flow
        self._lowering = lowering
        self._program = lowering.program
        self._classes = classes
        self.outputs: dict[str, int] = {}
        self.taken: dict[str, str] = {}
        self.notes: list[str] = []

    def take(self, name: str) -> None:
        """Raises ConversionError."""
        form = self._flow.values[name]
        if form.known:
            raise ConversionError(f"the graph's output {name} does not depend on its input")
        try:
            self._take(name, form)
        except NotUnderstoodError as error:
            raise ConversionError(f"the graph's output {name}: {error}") from None
        except RefusedError as refused:
            raise ConversionError(f"{refused}; what {name} is made of: {in_words(families([form]))}") from None

    def _take(self, name: str, form: Form) -> None:
        (matrix,), layout = canonical(form)
        _, *extents = form.shape
        in_order = np.array_equal(layout.reshape(-1), np.arange(layout.size))
        if not in_order and not (len(extents) == 3 and np.array_equal(layout, of_grid(*extents[1:], extents[0]))):
            raise NotUnderstoodError("it is not in rows of vectors")
        if name == _LOGITS or (self._classes and name == self._flow.outputs[0]):
            self._logits(name, matrix)
            return
        value = self._lowering.form(matrix)
        if len(extents) == 1 or is_vector(self._program, value):
            self.outputs["image_embedding"] = vector(self._lowering, value)
            self.taken[name] = "image_embedding"
        else:
            self._rows(name, value)

    def _rows(self, name: str, value: int) -> None:
        prefix = prefix_of(self._program, value)
        if prefix:
            token = self._lowering.pooled(value, "first")
            mean = self._lowering.pooled(value, "mean", prefix)
            self.outputs = {"image_embedding": token, "class_token": token, "patch_mean": mean}
            what = "its first row, the class token"
        else:
            self.outputs = {"image_embedding": self._lowering.pooled(value, "mean")}
            what = "the mean of its rows"
        self.outputs["patch_embeddings"] = value
        self.taken[name] = "patch_embeddings"
        if len(self._flow.outputs) == 1:
            self.notes.append(f"the graph's output {name} has a vector for each place: image_embedding is {what}")

    def _logits(self, name: str, form: Form) -> None:
        layers = layers_of(expanded(form))
        if form.shape[0] != 1 or not layers or not isinstance(layers[0].term, (Linear, Conv)):
            raise NotUnderstoodError("logits are what a linear layer makes of one vector, which these are not")
        value = self._lowering.form(form)
        features = self._lowering.form(layers[0].term.x)
        self.outputs = {"image_embedding": vector(self._lowering, features), **self.outputs, "logits": value}
        self.taken[name] = "logits"


def _slower(flow: Flow) -> tuple[str, ...]:
    """Convolutions that the core runs as larger ones, with zeros in their weights."""
    names = []
    for node in flow.nodes:
        groups = node.attributes.get("group", 1)
        if node.op == "Conv" and flow.graph.is_constant(node.inputs[1]):
            shape = flow.graph.constant(node.inputs[1]).shape
            depthwise = groups == shape[0] and shape[1] == 1
            plain = set(node.attributes.get("dilations", [1])) == {1} and len(set(shape[2:])) == 1
            if not plain or (groups > 1 and not depthwise):
                names.append(str(node))
    if not names:
        return ()
    return (f"{len(names)} convolutions with groups, gaps or oblong windows run as full square ones: {names[0]} …",)


__all__ = ["import_images"]
