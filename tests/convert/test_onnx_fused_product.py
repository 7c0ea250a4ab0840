"""Fused products and convolutions beside the standard ops they are expanded to."""

import onnx
import pytest
from fused_graphs import check, check_model, floats, model_of, run, value_info, weight
from onnx import helper
from onnxruntime.transformers.fusion_nhwc_conv import FusionNhwcConv
from onnxruntime.transformers.onnx_model import OnnxModel


@pytest.mark.parametrize("op", ["FusedMatMul", "TransposeMatMul"])
@pytest.mark.parametrize(("a", "b"), [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 6, 3, 4), (2, 6, 4, 5))])
@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_matmul(op, a, b, trans_a, trans_b):
    a = (*a[:-2], a[-1], a[-2]) if trans_a else a
    b = (*b[:-2], b[-1], b[-2]) if trans_b else b
    check(op, [floats(*a), weight(*b)], transA=trans_a, transB=trans_b, alpha=0.25)


@pytest.mark.parametrize(("trans", "shape"), [(0, (3, 2, 6, 4)), (1, (4, 2, 6, 3))])
def test_matmul_with_rows_before_the_batch(trans, shape):
    check("FusedMatMul", [floats(*shape), floats(2, 6, 4, 5)], transBatchA=1, transA=trans)
    b = (4, 2, 6, 5) if trans == 0 else (5, 2, 6, 4)
    check("FusedMatMul", [floats(2, 6, 3, 4), floats(*b)], transBatchB=1, transB=trans)


PARAMETERS = {
    "LeakyRelu": {"alpha": 0.2},
    "Elu": {"alpha": 0.7},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "Selu": {"alpha": 1.2, "gamma": 0.9},
    "ThresholdedRelu": {"alpha": 0.5},
}


@pytest.mark.parametrize("activation", ["Relu", "Tanh", "Sigmoid", "Softplus", "Softsign", *PARAMETERS])
def test_gemm(activation):
    inputs = [floats(3, 4), weight(5, 4), weight(5)]
    own = {f"activation_{name}": value for name, value in PARAMETERS.get(activation, {}).items()}
    check("FusedGemm", inputs, activation=activation, transB=1, alpha=0.5, beta=2.0, **own)


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [
        ("", []),
        ("Relu", []),
        ("Tanh", []),
        ("HardSwish", []),
        ("Clip", [-0.5, 1.5]),
        ("LeakyRelu", [0.1]),
        ("HardSigmoid", [0.3, 0.4]),
    ],
)
@pytest.mark.parametrize("with_sum", [False, True])
def test_conv(activation, parameters, with_sum):
    attributes = {"activation": activation} if activation else {}
    attributes |= {"activation_params": parameters} if parameters else {}
    inputs = [floats(2, 4, 7, 7), weight(6, 2, 3, 3), weight(6), floats(2, 6, 4, 4) if with_sum else None]
    check("FusedConv", inputs, group=2, strides=[2, 2], pads=[1, 1, 1, 1], **attributes)


def test_conv_with_channels_last():
    """onnxruntime has it on GPUs only: its tool makes it of a Conv, which is run instead."""
    conv = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv", group=2, strides=[2, 1])
    x, weights = floats(2, 4, 7, 6), {"w": floats(6, 2, 3, 3), "b": floats(6)}
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [*"nchw"])
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = model_of(helper.make_graph([conv], "graph", [value_info("x", x)], [y], tensors))
    expected = run(model, {"x": x})
    tool = OnnxModel(model)
    FusionNhwcConv(tool, update_weight=True).apply()
    tool.topological_sort()
    assert "NhwcConv" in [node.op_type for node in tool.model.graph.node]
    check_model(tool.model, {"x": x}, expected)
