"""Exported graphs beside what they mean: the imported program, onnxruntime on the graph, and torch on the module.

The zoo's graphs are written once, when a test first wants them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import onnx
import onnx_zoo
import onnxruntime
import pytest
from image_models import MEAN, STD
from numpy.typing import NDArray
from onnx_pictures import ImageModel
from onnx_texts import TextModel

from embedrt_convert import reference
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Image, Pooling
from embedrt_convert.onnx_graph import importer
from embedrt_convert.onnx_graph.read import read
from embedrt_convert.onnx_graph.standard import standard

TOLERANCE = 1e-4
ROUNDED = 5e-4  # in float16 the constants of an activation are rounded as well: it is taken for what it was
# Largest distance of a vector from that of the module in float32, as a part of its length, by the graph's precision.
LOSS = {"float16": 5e-3, "tanh for erf": 1e-3, "8 bits": 0.05, "4 bits": 0.25}
ROWS = {"token_embeddings", "patch_embeddings"}

RIGHT = [name for name, graph in onnx_zoo.GRAPHS.items() if not graph.refused]
REFUSED = [name for name, graph in onnx_zoo.GRAPHS.items() if graph.refused]


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """Where a graph is, by its name."""
    return partial(onnx_zoo.make, folder=tmp_path_factory.mktemp("zoo"))


def imported(model: TextModel | ImageModel, graph: onnx.ModelProto, output: str) -> Program:
    asked = output if len(model.outputs) > 1 else None
    if isinstance(model, TextModel):
        rows = model.expected(model.text(2, 0))[output].ndim > 1
        modules = (Pooling("mean"),) if rows else ()
        return importer.import_text(
            graph, max_tokens=model.max_tokens, output=asked, modules=modules, padding=model.pad
        ).program
    scale, offset = tuple(1 / (255 * each) for each in STD), tuple(-m / s for m, s in zip(MEAN, STD, strict=True))
    image = Image(*model.size, resize=None, resample="bilinear", crop=None, scale=scale, offset=offset)
    return importer.import_images(graph, image, output=asked).program


def run(program: Program, model: TextModel | ImageModel, inputs: list[NDArray[Any]], like: NDArray[Any]) -> Any:
    """The program's value for each input: an output of rows where the graph's, which is `like` it, has rows."""
    if isinstance(model, ImageModel):
        name = "patch_embeddings" if like.ndim > 1 else "logits" if "logits" in program.outputs else "image_embedding"
        return np.split(reference.run_images(program, np.stack(inputs), name), len(inputs))
    (name,) = [name for name in program.outputs if (name in ROWS) == (like.ndim > 1)]
    offsets = np.cumsum([0, *map(len, inputs)])
    values = reference.run(program, np.concatenate(inputs).astype(np.int32), offsets, name)
    return np.split(values, offsets[1:-1] if name in ROWS else len(inputs))


def by_onnxruntime(graph: str | bytes, model: TextModel | ImageModel, inputs: list[NDArray[Any]]) -> list[Any]:
    """Each input alone: {output: value}."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return [
        {name: value[0] for name, value in zip(model.outputs, session.run(None, model.feeds(each)), strict=True)}
        for each in inputs
    ]


def as_rows(value: NDArray[Any]) -> NDArray[Any]:
    """A map [channels, height, width] as [height · width, channels], a vector as one row."""
    moved = np.moveaxis(value, 0, -1) if value.ndim == 3 else value
    return moved.reshape(-1, moved.shape[-1]).astype(np.float64)


@pytest.mark.parametrize("name", RIGHT)
def test_the_program_is_the_graph(zoo, name):
    path, about = zoo(name), onnx_zoo.GRAPHS[name]
    model = onnx_zoo.model(about.model)
    inputs = model.inputs_to_compare()
    graph = standard(read(path)).model
    whole = about.loss in ("", "tanh for erf")  # in the rest onnxruntime rounds what the standard graph does not
    by_graph = by_onnxruntime(str(path) if whole else graph.SerializeToString(), model, inputs)
    by_module = [model.expected(each) for each in inputs]
    for output in model.outputs:
        program = imported(model, graph, output)
        found = run(program, model, inputs, by_module[0][output])
        for actual, one_graph, one_module in zip(found, by_graph, by_module, strict=True):
            wanted = as_rows(one_module[output])
            assert actual.shape == wanted.shape
            np.testing.assert_allclose(actual, as_rows(one_graph[output]), rtol=0, atol=TOLERANCE)
            if about.loss:
                distance = np.linalg.norm(actual - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
                assert distance.max() <= LOSS[about.loss]
            else:
                np.testing.assert_allclose(actual, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(zoo, name):
    path, model = zoo(name), onnx_zoo.model(onnx_zoo.GRAPHS[name].model)
    with pytest.raises(ConversionError):
        imported(model, standard(read(path)).model, model.outputs[0])
