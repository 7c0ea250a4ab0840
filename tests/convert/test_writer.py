"""Written files, read back by the tests' own reader of the format, and by the core."""

import json
import pathlib
import struct

import numpy as np
import pytest
from file_reader import read

from embedrt import _core
from embedrt_convert import reference, writer
from embedrt_convert.builder import IDS, Instruction, Program, Tensor
from embedrt_convert.errors import ConversionError
from embedrt_convert.quantize import quantize

SECTIONS = {
    writer.TEXT: {"max_tokens": 9, "prompts": {"b": "ü", "a": ""}},
    writer.ABOUT: {"name": "tiny"},
    writer.GOLDEN: {"items": []},
}


def program() -> Program:
    rng = np.random.default_rng(5)

    def weight(*shape):
        return rng.normal(0, 0.3, shape).astype(np.float32)

    made = Program(vocabulary=23, max_tokens=9)
    words = made.op("lookup", IDS, name="words", table=weight(23, 20))
    x = made.op("add", words, made.op("lookup", IDS, name="places", table=weight(9, 20), index="position"))
    x = made.op("norm", x, name="norm", weight=weight(20), bias=weight(20), epsilon=1e-5)
    y = made.op("linear", x, name="qkv", weight=weight(60, 20), bias=weight(60))
    y = made.op("attention", y, heads=2, scale=0.3, precision="float32")
    y = made.op("linear", y, x, name="out", weight=weight(20, 20))
    pooled = made.op(
        "linear", made.op("pool", y, kind="weighted_mean"), name="dense", weight=weight(7, 20), activation="gelu"
    )
    made.outputs = {"token_embeddings": y, "sentence_embedding": made.op("normalize", pooled)}
    return made


def write(path, made: Program) -> bytes:
    sections = [*writer.program_sections(made), *(writer.json_section(kind, value) for kind, value in SECTIONS.items())]
    writer.write(path, sections)
    return path.read_bytes()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_file_holds_the_program(tmp_path, precision):
    made = quantize(program(), precision)
    file = read(write(tmp_path / "tiny.embedrt", made))
    assert (file.version, file.revision) == (_core.FORMAT_VERSION, _core.NUMERICS_REVISION)
    assert (file.vocabulary, file.max_tokens, file.outputs) == (23, 9, made.outputs)
    assert set(file.sections) == {"program", "text", "about", "golden", "tensors"}
    assert json.loads(file.sections["text"]) == SECTIONS[writer.TEXT]
    tensors = {name: (layout, data) for name, layout, data in file.tensors}
    assert len(tensors) == len(file.tensors)
    for read_back, instruction in zip(file.instructions, made.instructions, strict=True):
        check_instruction(file, read_back, instruction)
        for tensor in instruction.tensors.values():
            layout, data = tensors[tensor.name]
            assert layout == tensor.layout
            np.testing.assert_array_equal(data, np.atleast_2d(tensor.data))


def check_instruction(file, read_back, instruction: Instruction) -> None:
    name, inputs, roles, words = read_back
    (op,) = (op for op in _core.ops() if op["name"] == name)
    assert (name, tuple(inputs)) == (instruction.op, instruction.inputs)
    for role, number in zip(op["tensor_roles"], roles, strict=True):
        tensor = instruction.tensors.get(role)
        assert (tensor.name if tensor else None) == (file.tensors[number][0] if number != 0xFFFF else None)
    for attribute in op["attributes"]:
        value = instruction.attributes[attribute["name"]]
        if attribute["name"] not in words:  # and the reader takes its default
            assert value == attribute["default"] or value == attribute["choices"][attribute["default"]]
            continue
        word = words[attribute["name"]]
        if attribute["type"] == "choice":
            assert attribute["choices"][word] == value
        elif attribute["type"] == "f32":
            assert struct.unpack("<f", struct.pack("<I", word))[0] == np.float32(value)
        else:
            assert word == value


@pytest.mark.parametrize("output", ["token_embeddings", "sentence_embedding"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-6), ("int8", 5e-3)])
def test_the_core_runs_it_as_the_reference_does(tmp_path, precision, output, tolerance):
    made = quantize(program(), precision)
    write(tmp_path / "tiny.embedrt", made)
    ids = np.array([0, 22, 5, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9], np.int32)
    offsets = np.array([0, 1, 4, 13])
    vectors = _core.Model(str(tmp_path / "tiny.embedrt"), verify=True).run(ids, offsets, output)
    np.testing.assert_allclose(vectors, reference.run(made, ids, offsets, output), rtol=0, atol=tolerance)


def test_the_same_program_gives_the_same_bytes(tmp_path):
    made = quantize(program(), "int8")
    assert write(tmp_path / "a.embedrt", made) == write(tmp_path / "b.embedrt", quantize(program(), "int8"))


def test_only_what_decides_vectors_is_in_the_content_digest(tmp_path):
    sections = [*writer.program_sections(program())]
    digests = []
    for extra in ([], [writer.json_section(writer.ABOUT, {"licence": "mit"})], [writer.json_section(writer.TEXT, {})]):
        writer.write(tmp_path / "a.embedrt", sections + extra)
        digests.append(read((tmp_path / "a.embedrt").read_bytes()).digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_shared_tensor_is_stored_once(tmp_path):
    made = Program(vocabulary=5, max_tokens=3)
    table = Tensor("shared", "matrix_f32", np.ones((5, 4), np.float32))
    for _ in range(2):
        value = made.op("lookup", IDS, name="own", table=table.data)
        made.instructions[-1] = Instruction("lookup", (IDS,), {"table": table}, made.instructions[-1].attributes)
    made.outputs = {"token_embeddings": value}
    file = read(write(tmp_path / "a.embedrt", made))
    assert [name for name, *_ in file.tensors] == ["shared"]
    assert [roles[0] for _, _, roles, _ in file.instructions] == [0, 0]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    target = tmp_path / "a.embedrt"
    target.write_bytes(b"before")
    monkeypatch.setattr(writer.os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        writer.write(target, [*writer.program_sections(program())])
    assert [path.name for path in tmp_path.iterdir()] == ["a.embedrt"]
    assert target.read_bytes() == b"before"


def test_a_file_in_use_that_cannot_be_replaced(tmp_path, monkeypatch):
    """As on Windows, where it is mapped."""
    target = tmp_path / "a.embedrt"
    target.write_bytes(b"before")
    monkeypatch.setattr(pathlib.Path, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with pytest.raises(ConversionError, match=r"a\.embedrt cannot be replaced \(denied\)"):
        writer.write(target, [*writer.program_sections(program())])
    assert [path.name for path in tmp_path.iterdir()] == ["a.embedrt"]
    assert target.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        ("norm", {"wieght": np.ones(4, np.float32)}, "wieght"),
        ("pool", {"kind": "median"}, "median"),
        ("norm", {"epsilon": "small"}, "epsilon"),
    ],
)
def test_a_mistaken_lowering_is_told(op, operands, message):
    with pytest.raises(ValueError, match=message):
        Program(5, 3).op(op, IDS, name="x", **operands)
    with pytest.raises(ValueError, match="inputs"):
        Program(5, 3).op("add", IDS)
