"""Fused products and convolutions beside the standard ops they are expanded to."""

import numpy as np
import onnx
import pytest
from fused_graphs import check, floats, weight
from onnx import helper


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
    [("", []), ("Relu", []), ("Tanh", []), ("HardSwish", []), ("Clip", [-0.5, 1.5]), ("LeakyRelu", [0.1])]
    + [("HardSigmoid", [0.3, 0.4])],
)
@pytest.mark.parametrize("with_sum", [False, True])
def test_conv(activation, parameters, with_sum):
    attributes = {"activation": activation} if activation else {}
    attributes |= {"activation_params": parameters} if parameters else {}
    inputs = [floats(2, 4, 7, 7), weight(6, 2, 3, 3), weight(6), floats(2, 6, 4, 4) if with_sum else None]
    check("FusedConv", inputs, group=2, strides=[2, 2], pads=[1, 1, 1, 1], **attributes)


def test_conv_with_channels_last():
    """onnxruntime has it on GPUs only: beside a Conv of the same picture."""
    x, weights, bias = floats(2, 7, 6, 4), weight(6, 3, 3, 2), weight(6)
    conv = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=2, strides=[2, 1])
    picture = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    channels_first = np.ascontiguousarray(np.asarray(weights).transpose(0, 3, 1, 2))
    expected = onnx.reference.ReferenceEvaluator(conv).run(
        None, {"x": picture, "w": channels_first, "b": np.asarray(bias)}
    )
    check("NhwcConv", [x, weights, bias], [expected[0].transpose(0, 2, 3, 1)], group=2, strides=[2, 1])
