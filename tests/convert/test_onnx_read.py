"""ONNX files, whole and damaged, with their weights inside and beside them."""

import os
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_graphs import FLOAT, graph, node, run, write

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.read import Value, read, signature

WEIGHTS = {"w": np.arange(12, dtype=np.float32).reshape(4, 3), "b": np.ones(3, np.float32)}
links = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege")
FEEDS = {"x": np.random.default_rng(3).normal(size=(2, 4)).astype(np.float32)}


def linear(**changes):
    nodes = [node("MatMul", "x w", "m"), node("Add", "m b", "y")]
    return graph(nodes, {"x": ["batch", 4]}, "y", {**WEIGHTS, **changes})


def external(folder, *, location="weights.bin", offset="0", length="48", content=None, dims=(4, 3)):
    """The graph with `w` in another file."""
    model = linear()
    tensor = model.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.extend(dims)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    if content is None:
        (folder / "weights.bin").write_bytes(WEIGHTS["w"].tobytes())
    return write(model, folder)


def test_a_file_comes_back_whole(tmp_path):
    path = write(linear(), tmp_path)
    model = read(path)
    assert model == linear()
    assert signature(model).inputs == (Value("x", FLOAT, ("batch", 4)),)
    assert signature(model).outputs == (Value("y", FLOAT, None),)


def test_weights_are_no_inputs():
    """Files of IR 3 and before list them among the inputs."""
    model = linear()
    model.graph.input.append(helper.make_tensor_value_info("w", FLOAT, [4, 3]))
    assert [value.name for value in signature(model).inputs] == ["x"]


@pytest.mark.parametrize(("offset", "length"), [("0", "48"), (None, None), ("16", "48")])
def test_external_data(tmp_path, offset, length):
    path = external(tmp_path, offset=offset, length=length, content=b"")
    (tmp_path / "weights.bin").write_bytes(bytes(int(offset or 0)) + WEIGHTS["w"].tobytes())
    model = read(path)
    assert not model.graph.initializer[0].external_data
    np.testing.assert_array_equal(run(model, FEEDS)[0], run(linear(), FEEDS)[0])


@links
def test_external_data_in_a_cache_of_links(tmp_path):
    """As hubs keep files: the model and its data are links into one folder of contents."""
    contents, snapshot = tmp_path / "contents", tmp_path / "snapshot"
    contents.mkdir()
    snapshot.mkdir()
    external(contents)
    for name in ("model.onnx", "weights.bin"):
        (snapshot / name).symlink_to(contents / name)
    assert run(read(snapshot / "model.onnx"), FEEDS)[0].shape == (2, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"location": "/etc/hostname"}, "only files in the model's own folder"),
        ({"location": "../weights.bin"}, "only files in the model's own folder"),
        ({"location": "a/../../weights.bin"}, "only files in the model's own folder"),
        ({"location": "..\\weights.bin"}, "only files in the model's own folder"),
        ({"location": "C:\\weights.bin"}, "only files in the model's own folder"),
        ({"location": ""}, "only files in the model's own folder"),
        ({"location": "other.bin"}, "is missing: put it beside the model"),
        ({"location": "weights\0.bin"}, "is missing"),
        ({"location": "."}, "no regular file"),
        ({"offset": "4"}, "end at byte 52, weights.bin has 48"),
        ({"offset": "-4"}, "not a number of bytes"),
        ({"offset": "9" * 40}, "not a number of bytes"),
        ({"length": "12"}, r"are 12 bytes, its dimensions \[4, 3\] ask for 48"),
        ({"length": "1e3"}, "not a number of bytes"),
        ({"dims": (1 << 40, 1 << 40)}, "more than 8 GiB of weights"),
        ({"dims": (-4, -3)}, "negative dimension"),
    ],
)
def test_external_data_that_is_refused(tmp_path, changes, message):
    with pytest.raises(ConversionError, match=message):
        read(external(tmp_path, **changes))


@links
def test_external_data_must_not_lead_out_of_the_folder(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(bytes(48))
    path = external(inside, content=b"")
    (inside / "weights.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(ConversionError, match="no regular file in the model's own folder"):
        read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_external_data_must_be_a_regular_file(tmp_path):
    path = external(tmp_path, content=b"")
    os.mkfifo(tmp_path / "weights.bin")
    with pytest.raises(ConversionError, match="no regular file"):
        read(path)


def test_many_tensors_of_the_same_bytes(tmp_path, monkeypatch):
    """A small file must not become a large model."""
    monkeypatch.setattr("embedrt_convert.onnx_graph.read._MAX_WEIGHTS", 200)
    path = external(tmp_path)
    model = onnx.load(path, load_external_data=False)
    for index in range(4):
        model.graph.initializer.add().CopyFrom(model.graph.initializer[0])
        model.graph.initializer[-1].name = f"copy_{index}"
    with pytest.raises(ConversionError, match="GiB of weights"):
        read(write(model, tmp_path))


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"not a model at all", b"PK\x03\x04" + bytes(60)])
def test_other_files(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ConversionError, match="is not an ONNX file"):
        read(tmp_path / "model.onnx")


def test_no_file(tmp_path):
    with pytest.raises(ConversionError, match=r"other\.onnx: no such file"):
        read(tmp_path / "other.onnx")
    with pytest.raises(ConversionError, match="no such file"):
        read(tmp_path)


def test_a_file_cut_short(tmp_path):
    whole = linear().SerializeToString()
    for length in range(0, len(whole) - 1, 7):
        (tmp_path / "model.onnx").write_bytes(whole[:length])
        with pytest.raises(ConversionError):
            read(tmp_path / "model.onnx")


@pytest.mark.parametrize("dims", [[4, 4], [3], [1 << 62, 1 << 62], [0], [-1, 3]])
def test_weights_of_another_size_than_they_say(tmp_path, dims):
    model = linear()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    with pytest.raises(ConversionError, match=r"the tensor w|GiB of weights"):
        read(write(model, tmp_path))


@pytest.mark.parametrize(("kind", "count"), [(FLOAT, 5), (TensorProto.INT4, 6), (TensorProto.INT8, 11)])
def test_weights_in_fields_of_another_count(tmp_path, kind, count):
    """Numbers may be held one by one, those of 4 bits two by two."""
    tensor = TensorProto(name="w", data_type=kind, dims=[4, 3])
    (tensor.float_data if kind == FLOAT else tensor.int32_data).extend([1] * count)
    model = linear()
    model.graph.initializer[0].CopyFrom(tensor)
    if kind == TensorProto.INT4:
        read(write(model, tmp_path))
    else:
        with pytest.raises(ConversionError, match=rf"has {count} elements, not 12"):
            read(write(model, tmp_path))


def test_weights_inside_nodes_are_checked(tmp_path):
    tensor = TensorProto(name="inside", data_type=FLOAT, dims=[1 << 20], raw_data=b"1234")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["t"], value=tensor)],
        "branch",
        [],
        [helper.make_empty_tensor_value_info("t")],
    )
    nodes = [node("If", "c", "y", then_branch=branch, else_branch=branch)]
    model = graph(nodes, {"c": []}, "y", types={"c": TensorProto.BOOL})
    with pytest.raises(ConversionError, match=r"inside.*4 bytes"):
        read(write(model, tmp_path))


def damaged(change):
    model = linear()
    change(model)
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (damaged(lambda model: model.graph.node[0].input.__setitem__(0, "y")), "sorted|cycle"),
        (damaged(lambda model: model.graph.node[0].input.__setitem__(0, "nowhere")), "nowhere"),
        (damaged(lambda model: model.graph.node[0].output.__setitem__(0, "x")), "SSA"),
        (damaged(lambda model: setattr(model.graph.node[0], "op_type", "Nonsense")), "Nonsense"),
        (damaged(lambda model: model.graph.node[0].input.pop()), "MatMul"),
        (damaged(lambda model: setattr(model.opset_import[0], "version", 1000)), "opset 1000.*upgrade onnx"),
        (damaged(lambda model: setattr(model, "ir_version", 1000)), "ir_version"),
        (damaged(lambda model: setattr(model.graph.initializer[0], "data_type", 99)), "type 99"),
        (damaged(lambda model: model.graph.sparse_initializer.add()), "sparse"),
    ],
)
def test_damaged_graphs(tmp_path, model, message):
    with pytest.raises(ConversionError, match=message):
        read(write(model, tmp_path))


def test_operators_that_only_the_runtime_has(tmp_path):
    """onnxruntime saves LayerNormalization into graphs of opsets that have none; all else is checked still."""
    weights = {"scale": np.ones(4, np.float32), "shift": np.zeros(4, np.float32)}
    nodes = [node("LayerNormalization", "x scale shift", "n"), node("Relu", "n", "y")]
    model = graph(nodes, {"x": ["batch", 4]}, "y", weights, opset=12)
    assert read(write(model, tmp_path)) == model
    model.graph.node[1].input.append("n")
    with pytest.raises(ConversionError, match="Relu"):
        read(write(model, tmp_path))


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("embedrt_convert.onnx_graph.read._MAX_GRAPH", 10)
    with pytest.raises(ConversionError, match="more than an ONNX file can hold"):
        read(write(linear(), tmp_path))
