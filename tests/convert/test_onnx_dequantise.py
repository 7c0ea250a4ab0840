"""Graphs that onnxruntime's tools quantised, taken back to float.

What must come out is the float graph with the weights that the quantised file stands for: they are had from
onnxruntime's own DequantizeLinear and put into the graph as it was before it was quantised.
"""

import pathlib

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx_graphs import INT64, graph, microsoft, node, operators, run, write
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from embedrt_convert.onnx_graph.read import read
from embedrt_convert.onnx_graph.standard import standard

RANDOM = np.random.default_rng(5)
WIDTH, HIDDEN = 16, 24


def normal(*shape, scale=0.3, seed=0):
    return (scale * np.random.default_rng([seed, *shape]).normal(size=shape)).astype(np.float32)


def text_model():
    """Words, two products with their biases and an activation between them."""
    nodes = [
        node("Gather", "table ids", "words"),
        node("MatMul", "words up", "wide"),
        node("Add", "wide up_bias", "biased"),
        node("Relu", "biased", "active"),
        node("MatMul", "active down", "narrow"),
        node("Add", "narrow words", "sum"),
        node("Tanh", "sum", "y"),
    ]
    weights = {
        "table": normal(50, WIDTH, scale=1.0),
        "up": normal(WIDTH, HIDDEN) * np.linspace(0.1, 1, HIDDEN, dtype=np.float32),
        "up_bias": normal(HIDDEN),
        "down": normal(HIDDEN, WIDTH),
    }
    return graph(nodes, {"ids": ["batch", "length"]}, "y", weights, types={"ids": INT64})


def image_model():
    """Convolutions with a relu, a relu6 whose end is reached, and a classifier, as mobile networks have them."""
    nodes = [
        node("Conv", "x stem stem_bias", "c1", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 depth depth_bias", "c2", pads=[1, 1, 1, 1], group=8),
        node("Clip", "c2 zero six", "r2"),
        node("MaxPool", "r2", "p2", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "p2 point", "c3"),
        node("Add", "c3 p2", "s3"),
        node("GlobalAveragePool", "s3", "pool"),
        node("Flatten", "pool", "flat"),
        node("Gemm", "flat head head_bias", "y", transB=1),
    ]
    weights = {
        "stem": normal(8, 3, 3, 3),
        "stem_bias": normal(8),
        "depth": normal(8, 1, 3, 3, scale=4.0),
        "depth_bias": normal(8),
        "point": normal(8, 8, 1, 1),
        "head": normal(5, 8),
        "head_bias": normal(5),
        "zero": np.float32(0),
        "six": np.float32(6),
    }
    return graph(nodes, {"x": ["batch", 3, 12, 12]}, "y", weights)


TEXT = {"ids": RANDOM.integers(0, 50, (2, 7))}
IMAGE = {"x": normal(3, 3, 12, 12, scale=1.0)}
# By weight: the axis along which the tools choose a scale each, if they are told to.
AXES = {
    "up": 1,
    "down": 1,
    "stem": 0,
    "depth": 0,
    "point": 0,
    "head": 0,
    "stem_bias": 0,
    "depth_bias": 0,
    "head_bias": 0,
}


class Feeds(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter([feeds])

    def get_next(self):
        return next(self.feeds, None)


def with_stored_weights(model: onnx.ModelProto, quantised: onnx.ModelProto) -> onnx.ModelProto:
    """The float model, with what onnxruntime makes of the integers that the quantised one holds."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantised.graph.initializer}
    places = {"QLinearConv": 8, "QGemm": 6}  # of the bias
    biases = {
        name: entry for entry in quantised.graph.node for name in entry.input[places.get(entry.op_type, 99) :][:1]
    }
    result = onnx.ModelProto()
    result.CopyFrom(model)
    changed = 0
    for tensor in result.graph.initializer:
        name = f"{tensor.name}_quantized"
        if name not in stored:
            continue
        parameters = [stored.get(f"{prefix}_scale") for prefix in (tensor.name, name)]
        if name in biases:
            # Kept in the unit of the product: the scales of its two factors.
            parameters = [stored[biases[name].input[1]] * stored[biases[name].input[4]]]
        scale = next(value for value in parameters if value is not None)
        zero = stored.get(f"{tensor.name}_zero_point")
        weights = {"q": stored[name], "s": scale} | ({} if zero is None or name in biases else {"z": zero})
        step = node("DequantizeLinear", " ".join(weights), "y", axis=AXES.get(tensor.name, 0))
        tensor.CopyFrom(numpy_helper.from_array(run(graph([step], {}, "y", weights), {})[0], tensor.name))
        changed += 1
    assert changed
    return result


def compare(model, quantised: pathlib.Path, feeds, *, bar=1e-5, apart=0.1):
    """The standard graph beside the float graph of the stored weights (`bar`), and beside the original (`apart`)."""
    expected = run(with_stored_weights(model, onnx.load(quantised)), feeds)[0]
    result = standard(read(quantised))
    actual = run(result.model, feeds)[0]
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bar * np.abs(expected).max())
    np.testing.assert_allclose(actual, run(quantised, feeds)[0], rtol=0, atol=apart * np.abs(expected).max())
    assert not [name for name in operators(result.model) if "Quanti" in name or "Integer" in name or "QLinear" in name]
    return result


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8])
def test_dynamic(tmp_path, per_channel, kind):
    path = write(text_model(), tmp_path)
    quantize_dynamic(path, tmp_path / "q.onnx", per_channel=per_channel, weight_type=kind)
    assert {"MatMulInteger", "DynamicQuantizeLinear"} <= set(operators(onnx.load(tmp_path / "q.onnx")))
    result = compare(text_model(), tmp_path / "q.onnx", TEXT)
    assert operators(result.model) == operators(text_model())
    assert "2 MatMulInteger" in result.notes[0]
    assert "rounding" in result.notes[1]


def test_dynamic_convolutions(tmp_path):
    path = write(image_model(), tmp_path)
    quantize_dynamic(path, tmp_path / "q.onnx", op_types_to_quantize=["Conv"], weight_type=QuantType.QUInt8)
    assert "ConvInteger" in operators(onnx.load(tmp_path / "q.onnx"))
    compare(image_model(), tmp_path / "q.onnx", IMAGE)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8])
def test_static(tmp_path, form, per_channel, kind):
    """The tools drop the Relu after a convolution: its place is where the integers begin at 0."""
    for name, model, feeds in (("text", text_model(), TEXT), ("image", image_model(), IMAGE)):
        path, target = write(model, tmp_path, f"{name}.onnx"), tmp_path / f"{name}_q.onnx"
        quantize_static(
            path,
            target,
            Feeds(feeds),
            quant_format=form,
            per_channel=per_channel,
            activation_type=kind,
            weight_type=QuantType.QInt8,
        )
        quantised = operators(onnx.load(target))
        assert any("QLinear" in name for name in quantised) == (form == QuantFormat.QOperator)
        compare(model, target, feeds)


def test_static_symmetric(tmp_path):
    path = write(image_model(), tmp_path)
    options = {"ActivationSymmetric": True, "WeightSymmetric": True}
    quantize_static(path, tmp_path / "q.onnx", Feeds(IMAGE), activation_type=QuantType.QInt8, extra_options=options)
    compare(image_model(), tmp_path / "q.onnx", IMAGE)


def saved_by_a_session(path: pathlib.Path, target: pathlib.Path) -> onnx.ModelProto:
    """The graph as onnxruntime fuses it for itself."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return onnx.load(target)


def test_dynamic_fused_by_a_session(tmp_path):
    """Two forms: a product whose input is quantised inside, and one of integers that several products share."""
    model = text_model()
    model.graph.node.extend([node("MatMul", "words other", "again"), node("Tanh", "again", "z")])
    model.graph.initializer.append(numpy_helper.from_array(normal(WIDTH, 8), "other"))
    model.graph.output.append(helper.make_empty_tensor_value_info("z"))
    model.graph.output[1].type.CopyFrom(model.graph.output[0].type)
    quantize_dynamic(write(model, tmp_path), tmp_path / "q.onnx", op_types_to_quantize=["MatMul"])
    fused = saved_by_a_session(tmp_path / "q.onnx", tmp_path / "fused.onnx")
    assert {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"} <= set(operators(fused))
    expected = run(with_stored_weights(model, onnx.load(tmp_path / "q.onnx")), TEXT)
    result = standard(read(tmp_path / "fused.onnx"))
    for actual, wanted in zip(run(result.model, TEXT), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)


def test_attention(tmp_path):
    """com.microsoft Attention has its projections quantised inside; the float one is what it must become."""
    weights = {"w": normal(WIDTH, 3 * WIDTH), "b": normal(3 * WIDTH)}
    inputs = {"x": ["batch", "length", WIDTH], "mask": ["batch", "length"]}
    model = graph([microsoft("Attention", "x w b mask", "y", num_heads=4)], inputs, "y", weights, types={"mask": 6})
    feeds = {"x": normal(2, 5, WIDTH, scale=1.0), "mask": np.array([[1] * 5, [1, 1, 1, 0, 0]], np.int32)}
    for per_channel in (False, True):
        quantize_dynamic(write(model, tmp_path), tmp_path / "q.onnx", per_channel=per_channel)
        quantised = onnx.load(tmp_path / "q.onnx")
        assert "QAttention" in operators(quantised)
        AXES["w"] = 1
        compare(model, tmp_path / "q.onnx", feeds)


def test_embeddings_with_their_norm(tmp_path):
    weights = {
        **{name: normal(20, WIDTH, scale=1.0) for name in ("words", "positions", "types")},
        "gamma": normal(WIDTH),
        "beta": normal(WIDTH),
    }
    inputs = {name: ["batch", "length"] for name in ("ids", "kinds", "mask")}
    model = graph(
        [microsoft("EmbedLayerNormalization", "ids kinds words positions types gamma beta mask", "y m", epsilon=1e-5)],
        inputs,
        "y",
        weights,
        types=dict.fromkeys(inputs, 6),
    )
    feeds = {
        "ids": RANDOM.integers(0, 20, (2, 5)).astype(np.int32),
        "kinds": RANDOM.integers(0, 2, (2, 5)).astype(np.int32),
        "mask": np.ones((2, 5), np.int32),
    }
    quantize_dynamic(write(model, tmp_path), tmp_path / "q.onnx", op_types_to_quantize=["EmbedLayerNormalization"])
    assert "QEmbedLayerNormalization" in operators(onnx.load(tmp_path / "q.onnx"))
    compare(model, tmp_path / "q.onnx", feeds)
