"""Whole conversions: the file's sections, golden vectors, determinism, the quality gate, the command."""

import argparse
import base64
import json

import numpy as np
import pytest
from checkpoints import bert_tensors, write_bert, write_sentence_bert, write_wheel
from file_reader import read

from embedrt import _core
from embedrt_convert import ConversionError, cli, convert, golden, quality, reference


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sentence_bert(tmp_path_factory.mktemp("source") / "tiny")


@pytest.mark.parametrize(("quant", "least"), [("int8", 0.99), ("fp32", 0.9999999)])
def test_a_conversion(folder, tmp_path, quant, least):
    said = []
    report = convert(folder, tmp_path / "tiny.embedrt", quant=quant, progress=said.append)
    file = read(report.path.read_bytes())
    sections = {
        name: json.loads(content) for name, content in file.sections.items() if name not in ("program", "tensors")
    }
    assert list(sections) == ["text", "tokenizer", "about", "report", "golden"]
    assert sections["text"] == {
        "max_tokens": 24, "prompts": {}, "default_prompt_name": None, "similarity": "cosine", "include_prompt": True,
    }  # fmt: skip
    about = sections["about"]
    assert (about["name"], about["source"], about["options"]) == ("tiny", "folder:tiny", {"quant": quant})
    assert len(about["source_sha256"]) == 64 and about["architecture"] == "bert" and about["licence"] == "unknown"
    assert sections["report"]["inputs"] == len(golden.TEXTS)
    assert least <= report.quality.cosine_worst <= report.quality.cosine_mean <= 1
    assert report.size == report.path.stat().st_size
    assert any("mean" in line and "worst" in line for line in said)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.embedrt"]


def test_golden_vectors_are_the_runtimes_own(folder, tmp_path):
    path = convert(folder, tmp_path / "tiny.embedrt").path
    section = json.loads(read(path.read_bytes()).sections["golden"])
    assert section["numerics_revision"] == _core.NUMERICS_REVISION
    model = _core.Model(str(path))
    assert len(section["items"]) >= 16 and section["items"][0]["text"] == ""
    assert max(len(item["ids"]) for item in section["items"]) == 24
    for item in section["items"]:
        ids = np.array(item["ids"], np.int32)
        (vector,) = model.run(ids, np.array([0, len(ids)]), section["output"])
        assert vector.tobytes() == base64.b64decode(item["vector"])


def test_the_same_conversion_gives_the_same_bytes(folder, tmp_path):
    elsewhere = write_sentence_bert(tmp_path / "other" / "tiny")
    first = convert(folder, tmp_path / "a.embedrt").path.read_bytes()
    assert first == convert(elsewhere, tmp_path / "b.embedrt").path.read_bytes()


def test_a_wheel_gives_the_same_vectors(folder, tmp_path):
    wheel = write_wheel(tmp_path / "tiny_model-1.0-py3-none-any.whl", folder)
    first = read(convert(folder, tmp_path / "a.embedrt").path.read_bytes())
    second = read(convert(wheel, tmp_path / "b.embedrt").path.read_bytes())
    assert first.digest == second.digest
    assert json.loads(second.sections["about"])["licence"] == "MIT"


def test_notes_are_told(tmp_path):
    said = []
    convert(write_bert(tmp_path / "plain"), tmp_path / "plain.embedrt", progress=said.append)
    assert any("mean pooling" in line for line in said)


def test_an_unknown_precision(folder, tmp_path):
    with pytest.raises(ConversionError, match="int4"):
        convert(folder, tmp_path / "tiny.embedrt", quant="int4")


def test_an_output_folder_that_is_not_there(folder, tmp_path):
    with pytest.raises(ConversionError, match="absent is not a folder"):
        convert(folder, tmp_path / "absent" / "tiny.embedrt")


@pytest.mark.parametrize(("quant", "off", "message"), [("fp32", 0.01, "this is a bug"), ("int8", 1.0, "--quant fp32")])
def test_a_file_too_far_from_its_checkpoint_is_not_written(folder, tmp_path, monkeypatch, quant, off, message):
    rng = np.random.default_rng(0)
    exact = reference.run

    def wrong(*args, **options):
        vectors = exact(*args, **options)
        return vectors + off * rng.normal(size=vectors.shape)

    monkeypatch.setattr(reference, "run", wrong)
    with pytest.raises(ConversionError, match=message):
        convert(folder, tmp_path / "tiny.embedrt", quant=quant)
    assert not list(tmp_path.iterdir())


def test_a_doubtful_int8_file_is_written_with_a_warning():
    reference = np.eye(4)
    vectors = (reference + 0.15).astype(np.float32)
    measured = quality.measure("int8", ("a", "b", "c", "d"), reference, vectors)
    measured.check()
    assert "--quant fp32" in measured.warning()
    assert quality.measure("int8", ("a",), reference[:1], reference[:1].astype(np.float32)).warning() is None


def test_cosines():
    a = np.array([[1.0, 0], [0, 0], [0, 0], [2, 0]])
    b = np.array([[0.0, 3], [0, 0], [1, 0], [5, 0]])
    np.testing.assert_array_equal(quality.cosine(a, b), [0, 1, 0, 1])


def test_a_left_over_weight_stops_the_conversion(tmp_path):
    tensors = {**bert_tensors(), "extra.weight": np.ones(3, np.float32)}
    source = write_sentence_bert(tmp_path / "tiny", tensors=tensors)
    with pytest.raises(ConversionError, match=r"extra\.weight"):
        convert(source, tmp_path / "tiny.embedrt")


def run_command(*words):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.run(parser.parse_args(list(map(str, words))))


def test_the_command(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(folder) == 0
    assert run_command(folder, "-o", "full.embedrt", "--quant", "fp32", "--name", "mine") == 0
    captured = capsys.readouterr()
    assert not captured.out and "cosine to fp32" in captured.err
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.embedrt", "full.embedrt"}
    about = json.loads(read((tmp_path / "full.embedrt").read_bytes()).sections["about"])
    assert about["name"] == "mine"
