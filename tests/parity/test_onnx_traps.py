"""Graphs that differ from something known in one piece: the program is right, or there is none."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_traps import TRAPS, trap
from onnx_zoo import export

from embedrt_convert import reference
from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.importer import import_text
from embedrt_convert.onnx_graph.read import read
from embedrt_convert.onnx_graph.standard import standard


@pytest.mark.parametrize("name", TRAPS)
def test_right_or_refused(name, tmp_path):
    model, path = trap(name), tmp_path / "model.onnx"
    export(model, path, "torchscript", 17)
    graph = standard(read(path)).model
    try:
        program = import_text(graph, max_tokens=model.max_tokens).program
    except ConversionError:
        assert name != "none"
        return
    texts = model.inputs_to_compare()
    offsets = np.cumsum([0, *map(len, texts)])
    actual = reference.run(program, np.concatenate(texts).astype(np.int32), offsets)
    expected = np.stack([model.expected(ids)["sentence_embedding"] for ids in texts])
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
