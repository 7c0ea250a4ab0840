"""What is compared before a graph's file is written, and what is said of it."""

import dataclasses
import json

import numpy as np
import onnxruntime
import pytest
from file_reader import read
from graphs import POSITIONS, VOCABULARY, save, text_graph
from onnxruntime.quantization import quantize_dynamic

from embedrt_convert import ConversionError, convert
from embedrt_convert.builder import Program
from embedrt_convert.onnx_graph import importer, verify_texts
from embedrt_convert.onnx_graph.verify import Distance, distance
from embedrt_convert.onnx_graph.verify_texts import Frame


@pytest.fixture
def graph(tmp_path, tokenizer_file):
    """A file beside a tokenizer.json, in a folder of its own."""
    folder = tmp_path / "source"
    path = save(text_graph(tokens=None, pooled="vector"), folder / "tiny.onnx")
    (folder / "tokenizer.json").write_bytes(tokenizer_file.read_bytes())
    return path


def converted(path, target, **options):
    """(the report section, what was said)."""
    said = []
    made = convert(path, target / "made.embedrt", max_tokens=POSITIONS, progress=said.append, **options)
    return json.loads(read(made.path.read_bytes()).sections["report"]), said


def test_what_the_report_says(graph, tmp_path):
    report, said = converted(graph, tmp_path)
    assert report["compared_with"] == f"the graph, run by onnxruntime {onnxruntime.__version__} one text at a time"
    found = report["graph"]
    assert found["inputs"] == "6 texts of 2 to 24 generated ids, one at a time"
    assert 0 < found["max_abs_difference"] < 1e-5 and found["padded_batch"]["max_abs_difference"] < 1e-5
    assert 0.99 < found["file"]["cosine_worst"] < 0.999999  # int8
    assert not any("note" in line for line in said)


def damaged(monkeypatch, op, role, change):
    """Let the importer give a program with another tensor in its first `op`."""
    right = importer.import_text

    def wrong(*args, **options):
        imported = right(*args, **options)
        instructions = imported.program.instructions
        at = next(i for i, each in enumerate(instructions) if each.op == op)
        tensor = instructions[at].tensors[role]
        tensors = {**instructions[at].tensors, role: dataclasses.replace(tensor, data=change(tensor.data))}
        instructions[at] = dataclasses.replace(instructions[at], tensors=tensors)
        return imported

    monkeypatch.setattr(importer, "import_text", wrong)


@pytest.mark.parametrize(
    ("op", "role", "change", "where"),
    [
        (
            "lookup",
            "table",
            lambda data: data + np.float32(0.01),
            "agree at no node before, and at node /embeddings/Add",
        ),
        (
            "linear",
            "bias",
            lambda data: data + np.float32(0.01),
            "agree at node /embeddings/Add .* and at node /mixed/",
        ),
        ("norm", "weight", lambda data: data * np.float32(1.01), "still agree at node /mixed/MatMul"),
        ("norm", "bias", lambda data: data * np.float32(np.nan), "still agree at node /mixed/MatMul"),
    ],
)
def test_a_wrong_program_is_not_written(graph, tmp_path, monkeypatch, op, role, change, where):
    damaged(monkeypatch, op, role, change)
    with pytest.raises(ConversionError, match=rf"does not compute what onnxruntime .*; .*{where}"):
        converted(graph, tmp_path)
    assert [path.name for path in tmp_path.iterdir()].count("made.embedrt") == 0


def test_a_position_that_one_length_alone_reaches(graph, tmp_path, monkeypatch):
    def change(data):
        data = data.copy()
        data[POSITIONS - 1] += np.float32(0.5)
        return data

    right = importer.import_text

    def wrong(*args, **options):
        imported = right(*args, **options)
        at = next(i for i, e in enumerate(imported.program.instructions) if e.attributes.get("index") == "position")
        each = imported.program.instructions[at]
        table = dataclasses.replace(each.tensors["table"], data=change(each.tensors["table"].data))
        imported.program.instructions[at] = dataclasses.replace(each, tensors={**each.tensors, "table": table})
        return imported

    monkeypatch.setattr(importer, "import_text", wrong)
    with pytest.raises(ConversionError, match=f"for a text of {POSITIONS} ids they differ"):
        converted(graph, tmp_path)


def test_a_graph_that_heeds_padding(graph, tmp_path):
    save(text_graph(tokens=None, pooled="vector", masked=False), graph)
    report, said = converted(graph, tmp_path)
    assert report["graph"]["max_abs_difference"] < 1e-5
    assert report["graph"]["padded_batch"]["max_abs_difference"] > 0.01
    assert any("in a batch filled up to its longest text the graph gives other vectors" in line for line in said)


def test_a_graph_of_one_text_at_a_time(graph, tmp_path):
    model = text_graph(tokens=None, pooled="vector")
    for each in model.graph.input:
        each.type.tensor_type.shape.dim[0].dim_value = 1
    save(model, graph)
    report, said = converted(graph, tmp_path)
    assert "padded_batch" not in report["graph"] and report["graph"]["max_abs_difference"] < 1e-5
    assert any("onnxruntime cannot run" in line for line in said)


def test_a_graph_in_fewer_bits(graph, tmp_path):
    lossy = graph.with_name("lossy.onnx")
    quantize_dynamic(str(graph), str(lossy))
    report, said = converted(lossy, tmp_path)
    assert report["compared_with"].startswith("the graph with its weights taken back to float32, run by onnxruntime")
    assert report["graph"]["max_abs_difference"] < 1e-5
    assert 0.9 < report["graph"]["graph_as_it_is"]["cosine_worst"] < 0.99999
    assert any("computes in fewer bits than float32" in line for line in said)


def test_generated_ids():
    texts = verify_texts.generated_ids(Program(VOCABULARY, 600), Frame([2], [3], {0, 1, 2, 3, 39}))
    assert [len(ids) for ids in texts][:3] == [2, 3, 5] and len(texts[-1]) == 512
    assert all((ids[0], ids[-1]) == (2, 3) for ids in texts)
    assert set(np.concatenate([ids[1:-1] for ids in texts]).tolist()) == set(range(4, 39))
    for limit, lengths in ((3, [1, 2, 3]), (1, [1])):
        texts = verify_texts.generated_ids(Program(VOCABULARY, limit), Frame([], [], set()))
        assert [len(ids) for ids in texts] == lengths


def test_distance():
    found = distance([np.array([1.0, 2.0]), np.array([5.0])], [np.array([1.0, 2.004]), np.array([5.0])])
    assert found.is_small and found.scale == 5
    assert not Distance(0.006, 5).is_small
    assert not distance([np.array([np.nan])], [np.array([1.0])]).is_small
    assert not distance([np.array([1.0])], [np.array([np.inf])]).is_small
    assert Distance(0.0, 0.0).is_small
