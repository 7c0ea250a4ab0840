"""Graphs brought to standard float32 operators: the same numbers, less of everything else."""

import math

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_graphs import FLOAT, INT64, graph, microsoft, node, operators, run, standard_of

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.read import signature

RANDOM = np.random.default_rng(11)
WEIGHTS = {"w": RANDOM.normal(size=(4, 4)).astype(np.float32), "b": RANDOM.normal(size=4).astype(np.float32)}
X = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
SIZES = {"x": ["batch", "length", 4]}


def branch(name, *nodes):
    return helper.make_graph(list(nodes), name, [], [helper.make_empty_tensor_value_info(name)])


def test_constants_are_folded_and_sizes_stay_open(tmp_path):
    """What depends on no input is one constant, the same thing twice is there once, steps without effect are gone."""
    nodes = [
        node("Transpose", "w", "turned", perm=[1, 0]),
        node("MatMul", "x turned", "m"),
        node("Identity", "m", "same"),
        node("Add", "same b", "first"),
        node("Add", "m b", "second"),
        node("Mul", "first second", "y"),
        node("Relu", "y", "unused"),
    ]
    model = graph(nodes, SIZES, "y", WEIGHTS)
    expected = run(model, {"x": X})
    result = standard_of(model, tmp_path)
    assert result.notes == ()
    assert operators(result.model) == ["MatMul", "Add", "Mul"]
    assert signature(result.model).inputs[0].shape == ("batch", "length", 4)
    np.testing.assert_array_equal(run(result.model, {"x": X})[0], expected[0])


def test_spelled_out_forms_stay_as_they_are(tmp_path):
    """A fused gelu or norm would have the names of nobody's nodes."""
    nodes = [
        node("ReduceMean", "x", "mean", axes=[-1]),
        node("Sub", "x mean", "centred"),
        node("Pow", "centred two", "squared"),
        node("ReduceMean", "squared", "variance", axes=[-1]),
        node("Add", "variance epsilon", "positive"),
        node("Sqrt", "positive", "deviation"),
        node("Div", "centred deviation", "normal"),
        node("Mul", "normal b", "scaled"),
        node("Add", "scaled b", "norm"),
        node("MatMul", "norm w", "m"),
        node("Add", "m b", "linear"),
        node("Transpose", "linear", "turned", perm=[0, 2, 1]),
        node("Relu", "turned", "y"),
    ]
    weights = {**WEIGHTS, "two": np.float32(2), "epsilon": np.float32(1e-5)}
    result = standard_of(graph(nodes, SIZES, "y", weights), tmp_path)
    assert [entry.name for entry in result.model.graph.node] == [entry.name for entry in nodes]


def test_what_an_exporter_says_of_a_node_stays(tmp_path):
    nodes = [node("Identity", "w", "again"), node("MatMul", "x again", "y")]
    nodes[1].metadata_props.add(key="scopes", value="encoder.layer.0")
    (product,) = standard_of(graph(nodes, SIZES, "y", WEIGHTS), tmp_path).model.graph.node
    assert {entry.key: entry.value for entry in product.metadata_props} == {"scopes": "encoder.layer.0"}


def test_weights_that_are_inputs_too(tmp_path):
    """As old files list them: a caller could replace them, so they would not be constants."""
    model = graph([node("Transpose", "w", "t", perm=[1, 0]), node("MatMul", "x t", "y")], SIZES, "y", WEIGHTS)
    model.graph.input.append(helper.make_tensor_value_info("w", FLOAT, [4, 4]))
    assert operators(standard_of(model, tmp_path).model) == ["MatMul"]


@pytest.mark.parametrize(
    ("kind", "number"), [(TensorProto.FLOAT16, np.float16), (TensorProto.BFLOAT16, ml_dtypes.bfloat16)]
)
def test_half_precision(tmp_path, kind, number):
    """Weights, constants in nodes, casts, inputs and outputs: the float32 graph of the rounded weights."""
    weights = {name: value.astype(number) for name, value in WEIGHTS.items()}
    half = helper.make_tensor("half", kind, [], [0.5])
    nodes = [
        node("Cast", "x", "small", to=kind),
        node("MatMul", "small w", "m"),
        node("Add", "m b", "a"),
        node("Constant", "", "half", value=half),
        node("Mul", "a half", "h"),
        node("Shape", "h", "shape"),
        node("ConstantOfShape", "shape", "ones", value=helper.make_tensor("one", kind, [1], [1.0])),
        node("Add", "h ones", "y"),
        node("Cast", "y", "wide", to=FLOAT),
        node("Neg", "wide", "z"),
    ]
    result = standard_of(graph(nodes, SIZES, "y z", weights, types={"y": kind}), tmp_path)
    assert result.notes == ("half precision was taken to float32",)
    assert "Cast" not in operators(result.model)
    w, b = (weights[name].astype(np.float64) for name in ("w", "b"))
    y, z = run(result.model, {"x": X})
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, (X @ w + b) / 2 + 1, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(z, -y)


def test_constants_of_activations_are_meant_exactly(tmp_path):
    """Rounded to half precision they would be another activation; a weight of the same value stays rounded."""
    root = np.float16(math.sqrt(0.5))
    weights = {"w": np.full((4, 4), root), "root": root}
    model = graph([node("MatMul", "x w", "m"), node("Mul", "m root", "y")], SIZES, "y", weights)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    result = standard_of(model, tmp_path)
    (y,) = run(result.model, {"x": X})
    np.testing.assert_allclose(y, X @ np.full((4, 4), root, np.float64) * math.sqrt(0.5), rtol=1e-6, atol=1e-6)


def test_half_precision_inputs(tmp_path):
    model = graph([node("MatMul", "x w", "y")], SIZES, "y", {"w": WEIGHTS["w"].astype(np.float16)})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    result = standard_of(model, tmp_path)
    assert [value.element_type for value in signature(result.model).inputs] == [FLOAT]
    np.testing.assert_allclose(
        run(result.model, {"x": X})[0], X @ WEIGHTS["w"].astype(np.float16).astype(np.float64), rtol=1e-5, atol=1e-6
    )


def test_functions_are_put_where_they_are_called(tmp_path):
    function = helper.make_function(
        "modules",
        "Twice",
        ["a"],
        ["c"],
        [node("MatMul", "a w", "b"), node("Add", "b b", "c")],
        [helper.make_opsetid("", 17)],
    )
    function.input.append("w")
    nodes = [node("Twice", "x w", "first", domain="modules"), node("Twice", "first w", "y", domain="modules")]
    model = graph(nodes, SIZES, "y", WEIGHTS, functions=[function])
    expected = run(model, {"x": X})
    result = standard_of(model, tmp_path)
    assert operators(result.model) == ["MatMul", "Add", "MatMul", "Add"]
    np.testing.assert_array_equal(run(result.model, {"x": X})[0], expected[0])


def squeezed(dimension):
    """As exporters write `squeeze`: one thing if the dimension is 1, else another."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape last", "size"),
        node("Equal", "size one", "is_one"),
        node(
            "If",
            "is_one",
            "m",
            then_branch=branch("s", node("Abs", "x", "s")),
            else_branch=branch("t", node("Relu", "x", "t")),
        ),
        node("Neg", "m", "y"),
    ]
    weights = {"last": np.array(2), "one": np.array(1)}
    return graph(nodes, {"x": ["batch", "length", dimension]}, "y", weights)


@pytest.mark.parametrize(("dimension", "expected"), [(1, ["Abs", "Neg"]), (4, ["Relu", "Neg"])])
def test_a_branch_that_sizes_decide(tmp_path, dimension, expected):
    model = squeezed(dimension)
    feeds = {"x": X[..., :dimension]}
    before = run(model, feeds)
    result = standard_of(model, tmp_path)
    assert operators(result.model) == expected
    np.testing.assert_array_equal(run(result.model, feeds)[0], before[0])


def test_a_branch_that_data_decide_is_refused(tmp_path):
    with pytest.raises(ConversionError, match=r"node_m \(If\) runs one graph or another as the data decide"):
        standard_of(squeezed("width"), tmp_path)


def test_a_loop_is_refused(tmp_path):
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Relu", ["state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("step", INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, None),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("next", FLOAT, None)],
    )
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "count"),
        node("Loop", "count - x", "y", body=body),
    ]
    with pytest.raises(ConversionError, match=r"node_y \(Loop\)"):
        standard_of(graph(nodes, SIZES, "y", {"zero": np.array(0)}), tmp_path)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Reshape", "x b", "y")], "onnxruntime does not take the graph.*float"),
        ([node("MatMul", "x wide", "y")], "onnxruntime does not take the graph"),
        ([microsoft("NoSuchOperator", "x", "y")], "NoSuchOperator"),
    ],
)
def test_graphs_that_do_not_run(tmp_path, nodes, message):
    weights = {**WEIGHTS, "wide": np.ones((5, 4), np.float32)}
    with pytest.raises(ConversionError, match=message):
        standard_of(graph(nodes, SIZES, "y", weights), tmp_path)


@pytest.mark.parametrize("huge", [("ConstantOfShape", "shape"), ("Expand", "one shape"), ("Tile", "one shape")])
def test_a_constant_of_any_size_is_not_made(tmp_path, huge):
    """A few bytes can ask for terabytes: such a node is not run ahead of time."""
    operator, inputs = huge
    nodes = [node(operator, inputs, "huge"), node("ReduceMean", "huge", "m", keepdims=0), node("Add", "x m", "y")]
    weights = {"shape": np.array([1 << 30, 1 << 20]), "one": np.ones((1, 1), np.float32)}
    result = standard_of(graph(nodes, SIZES, "y", weights), tmp_path)
    assert operators(result.model) == [operator, "ReduceMean", "Add"]


def test_nothing_is_left_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = standard_of(
        graph([node("MatMul", "x w", "y")], SIZES, "y", {"w": np.ones((4, 4096), np.float32)}), tmp_path
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert not any(tensor.external_data for tensor in result.model.graph.initializer)
    onnx.checker.check_model(result.model)
