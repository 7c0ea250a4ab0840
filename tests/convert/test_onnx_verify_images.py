"""Graphs of images: whole conversions beside onnxruntime, and what is refused."""

import dataclasses
import json

import numpy as np
import onnxruntime
import pytest
from checkpoints import write_json
from file_reader import read
from graphs import SIZE, image_graph, save
from onnxruntime.quantization import QuantType, quantize_dynamic

import embedrt
from embedrt._patterns import pattern
from embedrt_convert import ConversionError, convert
from embedrt_convert.onnx_graph import importer

MEAN, STD = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.2])


@pytest.fixture
def graph(tmp_path):
    write_json(
        tmp_path / "preprocessor_config.json", {"size": SIZE, "image_mean": MEAN.tolist(), "image_std": STD.tolist()}
    )
    return save(image_graph(), tmp_path / "net.onnx")


def expected(path, pictures, output):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pixels = ((np.stack(pictures) / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    return session.run([output], {"pixel_values": pixels})[0]


@pytest.mark.parametrize(("quant", "atol"), [("fp32", 1e-5), ("int8", 0.1)])
def test_a_conversion(graph, tmp_path, quant, atol):
    report = convert(graph, tmp_path / "net.embedrt", quant=quant)
    pictures = [pattern(100 + i, SIZE, SIZE) for i in range(3)]
    vectors = embedrt.load(report.path).encode_image(pictures)
    np.testing.assert_allclose(vectors, expected(graph, pictures, "image_embedding"), atol=atol)
    sections = read(report.path.read_bytes()).sections
    found = json.loads(sections["report"])
    assert found["compared_with"] == f"the graph, run by onnxruntime {onnxruntime.__version__} one picture at a time"
    assert found["graph"]["image_embedding"]["max_abs_difference"] < 1e-5
    assert json.loads(sections["about"])["options"]["graph"]["exporter"] == "by hand"


def test_classes(graph, tmp_path):
    save(image_graph(output="classes"), graph)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"class {i}" for i in range(8)))
    made = convert(graph, tmp_path / "net.embedrt", quant="fp32", classifier=True, labels=labels)
    picture = pattern(100, SIZE, SIZE)
    logits = embedrt.load(made.path).encode_image(picture, output_value="logits")
    np.testing.assert_allclose(logits, expected(graph, [picture], "classes")[0], atol=1e-5)
    found = json.loads(read(made.path.read_bytes()).sections["report"])
    assert "whose classes agrees with onnxruntime" in found["compared_with"]
    assert found["graph"]["classes"]["max_abs_difference"] < 1e-5


def test_a_classifier_that_nothing_says_is_one(graph, tmp_path):
    with pytest.raises(ConversionError, match=r"the output image_embedding .* --labels says so"):
        convert(graph, tmp_path / "net.embedrt", classifier=True)


def test_a_wrong_program_is_not_written(graph, tmp_path, monkeypatch):
    right = importer.import_images

    def wrong(*args, **options):
        imported = right(*args, **options)
        at = next(i for i, each in enumerate(imported.program.instructions) if each.op == "linear")
        each = imported.program.instructions[at]
        weight = dataclasses.replace(each.tensors["weight"], data=each.tensors["weight"].data * np.float32(1.01))
        imported.program.instructions[at] = dataclasses.replace(each, tensors={**each.tensors, "weight": weight})
        return imported

    monkeypatch.setattr(importer, "import_images", wrong)
    with pytest.raises(ConversionError, match="for image_embedding of a picture they differ by"):
        convert(graph, tmp_path / "net.embedrt")
    assert not (tmp_path / "net.embedrt").exists()


def test_a_graph_in_fewer_bits(graph, tmp_path):
    lossy = tmp_path / "lossy.onnx"
    quantize_dynamic(str(graph), str(lossy), weight_type=QuantType.QUInt8)
    said = []
    made = convert(lossy, tmp_path / "net.embedrt", progress=said.append)
    found = json.loads(read(made.path.read_bytes()).sections["report"])
    assert found["compared_with"].startswith("the graph with its weights taken back to float32, run by onnxruntime")
    assert 0.9 < found["graph"]["graph_as_it_is"]["cosine_worst"] < 0.999999
    assert any("computes in fewer bits" in line for line in said)
