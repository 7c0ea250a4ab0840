"""Every quantised operator by itself: a graph that rounds becomes the float operator that it stands for.

The float operator is written beside it and run by onnxruntime, which also runs the graph that rounds: both must say
that it was understood.
"""

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_graphs import INT64, graph, microsoft, node, operators, run, standard_of

from embedrt_convert.errors import ConversionError

RANDOM = np.random.default_rng(17)
STEP = 0.04
X, Y = RANDOM.uniform(-4, 4, (2, 2, 6, 8, 8)).astype(np.float32)
FEEDS = {"x": X, "y": Y}
INPUTS = {"x": ["batch", 6, 8, 8], "y": ["batch", 6, 8, 8]}
PARAMETERS = {
    "s": np.float32(STEP),
    "z": np.uint8(120),
    "wide": np.float32(0.08),
    "middle": np.uint8(128),
    "unit": np.float32(1 / 255),
    "low": np.uint8(0),
}


def check(
    folder, nodes, expected, weights=None, *, floats=None, steps=3.0, opset=17, inputs=INPUTS, feeds=FEEDS, types=None
):
    """`nodes` beside the graph `expected` (almost equal) and beside themselves (a few steps of rounding).

    `floats` are the weights of `expected`.
    """
    weights = weights or {}
    model = graph(nodes, inputs, "out", {**PARAMETERS, **weights}, opset=opset, types=types)
    wanted = run(
        graph(expected, inputs, "out", weights if floats is None else floats, opset=opset, types=types), feeds
    )[0]
    before = run(model, feeds)[0]
    result = standard_of(model, folder)
    actual = run(result.model, feeds)[0]
    np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(actual, before, rtol=0, atol=max(steps * STEP, 2e-5))
    assert result.notes
    return result


def between(operator, output="s z"):
    """`operator`, which reads q and r and writes v, with the integers of x and y before it and a float after it."""
    return [
        node("QuantizeLinear", "x s z", "q"),
        node("QuantizeLinear", "y wide middle", "r"),
        operator,
        node("DequantizeLinear", f"v {output}", "out"),
    ]


def test_pairs_around_steps_that_move_numbers(tmp_path):
    steps = [
        node("Transpose", "both", "turned", perm=[0, 2, 3, 1]),
        node("Slice", "turned from to", "cut"),
        node("Split", "cut", "left right", axis=3),
        node("MaxPool", "left", "pooled", kernel_shape=[2, 1]),
    ]
    quantised = [
        node("QuantizeLinear", "x s z", "q"),
        node("QuantizeLinear", "y s z", "r"),
        node("Concat", "q r", "both", axis=1),
        *steps,
        node("DequantizeLinear", "pooled s z", "a"),
        node("DequantizeLinear", "right s z", "b"),
        node("Concat", "a b", "out", axis=2),
    ]
    expected = [node("Concat", "x y", "both", axis=1), *steps, node("Concat", "pooled right", "out", axis=2)]
    weights = {"from": np.array([0, 1, 0, 0]), "to": np.array([9, 7, 8, 12])}
    result = check(tmp_path, quantised, expected, weights)
    assert sorted(operators(result.model)) == sorted(operators(graph(expected, {}, "")))


@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_padding_with_integers(tmp_path, mode):
    weights = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "fill": np.uint8(140)}
    floats = {"pads": weights["pads"], "fill": np.float32(20 * STEP)}
    nodes = between(node("Pad", "q pads fill", "v", mode=mode))
    check(tmp_path, nodes, [node("Pad", "x pads fill", "out", mode=mode)], weights, floats=floats)


POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}
BETWEEN = [
    (microsoft("QLinearAdd", "q s z r wide middle wide middle", "v"), node("Add", "x y", "out"), "wide middle"),
    (microsoft("QLinearSigmoid", "q s z unit low", "v"), node("Sigmoid", "x", "out"), "unit low"),
    (microsoft("QLinearLeakyRelu", "q s z s z", "v", alpha=0.2), node("LeakyRelu", "x", "out", alpha=0.2), "s z"),
    (
        microsoft("QLinearSoftmax", "q s z unit low", "v", axis=1, opset=13),
        node("Softmax", "x", "out", axis=1),
        "unit low",
    ),
    (microsoft("QLinearGlobalAveragePool", "q s z s z", "v"), node("GlobalAveragePool", "x", "out"), "s z"),
    (microsoft("QLinearAveragePool", "q s z s z", "v", **POOL), node("AveragePool", "x", "out", **POOL), "s z"),
    (
        microsoft("QLinearConcat", "wide middle q s z r wide middle", "v", axis=1),
        node("Concat", "x y", "out", axis=1),
        "wide middle",
    ),
]


@pytest.mark.parametrize(("operator", "expected", "output"), BETWEEN, ids=[case[0].op_type for case in BETWEEN])
def test_operators_on_integers(tmp_path, operator, expected, output):
    check(tmp_path, between(operator, output), [expected])


def test_products_of_integers(tmp_path):
    """Element by element, with a range that holds every product."""
    nodes = between(microsoft("QLinearMul", "q s z r wide middle far middle", "v"), "far middle")
    far = {"far": np.float32(0.16)}
    check(tmp_path, nodes, [node("Mul", "x y", "out")], far, floats={}, steps=8)


def test_a_choice_of_integers(tmp_path):
    nodes = [
        node("Less", "x y", "c"),
        *between(microsoft("QLinearWhere", "c q s z r wide middle wide middle", "v"), "wide middle"),
    ]
    check(tmp_path, nodes, [node("Less", "x y", "c"), node("Where", "c x y", "out")])


def integers(*shape, low=-128, high=128, kind=np.int8):
    return RANDOM.integers(low, high, shape).astype(kind)


def scales(*shape):
    return RANDOM.uniform(0.001, 0.01, shape).astype(np.float32)


def real(values, scale, zero=None, axis=None):
    """The numbers that integers stand for, in the words of the standard, in float64."""
    shape = [-1 if index == axis else 1 for index in range(values.ndim)]
    scale, zero = (np.asarray(part, np.float64) for part in (scale, 0 if zero is None else zero))
    if axis is not None:
        scale, zero = (part.reshape(shape) if part.ndim else part for part in (scale, zero))
    return ((values.astype(np.float64) - zero) * scale).astype(np.float32)


@pytest.mark.parametrize("per_channel", [False, True])
def test_convolutions_of_integers(tmp_path, per_channel):
    w = integers(4, 6, 3, 3)
    ws = scales(4) if per_channel else scales()
    wz = np.zeros(ws.shape, np.int8)
    bias = integers(4, low=-3000, high=3000, kind=np.int32)
    weights = {"w": w, "ws": ws, "wz": wz, "bias": bias, "far": np.float32(0.5)}
    floats = {"w": real(w, ws, wz, 0), "bias": (bias * (STEP * ws.astype(np.float64))).astype(np.float32)}
    pads = {"pads": [1, 1, 1, 1]}
    nodes = between(node("QLinearConv", "q s z w ws wz far middle bias", "v", **pads), "far middle")
    check(tmp_path, nodes, [node("Conv", "x w bias", "out", **pads)], weights, floats=floats, steps=15)


ROWS = {"x": ["batch", "length", 6]}
ROW_FEEDS = {"x": RANDOM.uniform(-4, 4, (2, 5, 6)).astype(np.float32)}


@pytest.mark.parametrize("per_column", [False, True])
def test_matrices_of_integers(tmp_path, per_column):
    w = integers(6, 8, low=0, high=256, kind=np.uint8)
    ws = scales(8) if per_column else scales()
    wz = integers(*ws.shape, low=100, high=150, kind=np.uint8)
    weights = {"w": w, "ws": ws, "wz": wz, "far": np.float32(0.1)}
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("QLinearMatMul", "q s z w ws wz far middle", "v"),
        node("DequantizeLinear", "v far middle", "out"),
    ]
    floats = {"w": real(w, ws, wz, 1)}
    check(
        tmp_path, nodes, [node("MatMul", "x w", "out")], weights, floats=floats, steps=6, inputs=ROWS, feeds=ROW_FEEDS
    )


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_of_integers(tmp_path, rounded, transposed):
    w = integers(8, 6) if transposed else integers(6, 8)
    ws, wz = scales(8), np.zeros(8, np.int8)
    bias = integers(8, low=-3000, high=3000, kind=np.int32)
    weights = {"w": w, "ws": ws, "wz": wz, "bias": bias, "far": np.float32(0.05)}
    floats = {
        "w": real(w, ws, wz, 1 - transposed),
        "bias": (bias * (0.5 * STEP * ws.astype(np.float64))).astype(np.float32),
    }
    output = " far middle" if rounded else ""
    gemm = microsoft("QGemm", f"q s z w ws wz bias{output}", "v" if rounded else "out", alpha=0.5, transB=transposed)
    nodes = [node("QuantizeLinear", "x s z", "q"), gemm]
    nodes += [node("DequantizeLinear", "v far middle", "out")] if rounded else []
    inputs, feeds = {"x": ["batch", 6]}, {"x": ROW_FEEDS["x"][0]}
    expected = [node("Gemm", "x w bias", "out", alpha=0.5, transB=transposed)]
    check(tmp_path, nodes, expected, weights, floats=floats, steps=6, inputs=inputs, feeds=feeds)


@pytest.mark.parametrize(
    ("bits", "zeros"), [(2, None), (2, "packed"), (4, None), (4, "packed"), (4, "floats"), (8, None), (8, "packed")]
)
def test_matrices_in_blocks(tmp_path, bits, zeros):
    """40 rows in blocks of 16: the last one is not full. Here onnxruntime computes in float as well."""
    rows, columns, block = 40, 8, 16
    blocks = 3
    numbers = RANDOM.integers(0, 1 << bits, (columns, blocks * block)).astype(np.uint8)
    offsets = RANDOM.integers(0, 1 << bits, (columns, blocks)).astype(np.uint8)
    per_block = scales(columns, blocks)

    def packed(values):
        per_byte = 8 // bits
        padded = np.pad(values, [(0, 0), (0, -values.shape[1] % per_byte)]).reshape(columns, -1, per_byte)
        return sum(padded[..., index].astype(np.uint32) << (bits * index) for index in range(per_byte)).astype(np.uint8)

    weights = {
        "w": packed(numbers).reshape(columns, blocks, -1),
        "scales": per_block.reshape(-1),
        "bias": scales(columns),
    }
    if zeros == "packed":
        weights["zeros"] = packed(offsets).reshape(-1)
    elif zeros == "floats":
        weights["zeros"] = offsets.astype(np.float32)
    offset = offsets if zeros else np.full_like(offsets, 1 << (bits - 1))
    spread = [np.repeat(part.astype(np.float64), block, 1) for part in (offset, per_block)]
    matrix = ((numbers - spread[0]) * spread[1])[:, :rows].T.astype(np.float32)
    attributes = {"K": rows, "N": columns, "bits": bits, "block_size": block}
    nodes = [microsoft("MatMulNBits", f"x w scales {'zeros' if zeros else '-'} - bias", "out", **attributes)]
    expected = [node("MatMul", "x m", "p"), node("Add", "p bias", "out")]
    check(
        tmp_path,
        nodes,
        expected,
        weights,
        floats={"m": matrix, "bias": weights["bias"]},
        steps=0,
        inputs={"x": ["batch", rows]},
        feeds={"x": RANDOM.normal(size=(3, rows)).astype(np.float32)},
    )


IDS = {
    "inputs": {"ids": ["batch", "length"]},
    "types": {"ids": INT64},
    "feeds": {"ids": RANDOM.integers(0, 10, (2, 5))},
}


@pytest.mark.parametrize("zeros", [False, True])
def test_tables_in_blocks(tmp_path, zeros):
    numbers = RANDOM.integers(0, 16, (10, 64)).astype(np.uint8)
    offsets = RANDOM.integers(0, 16, (10, 2)).astype(np.uint8)
    per_block = scales(10, 2)
    weights = {
        "w": numbers[:, ::2] | numbers[:, 1::2] << 4,
        "scales": per_block,
        "zeros": offsets[:, ::2] | offsets[:, 1::2] << 4,
    }
    offset = np.repeat(offsets if zeros else np.full_like(offsets, 8), 32, 1)
    table = ((numbers.astype(np.float64) - offset) * np.repeat(per_block, 32, 1)).astype(np.float32)
    attributes = {"block_size": 32, "bits": 4, "quantize_axis": 1}
    nodes = [microsoft("GatherBlockQuantized", "w ids scales" + zeros * " zeros", "out", **attributes)]
    check(tmp_path, nodes, [node("Gather", "w ids", "out")], weights, floats={"w": table}, steps=0, **IDS)


@pytest.mark.parametrize("place", ["before", "after"])
def test_tables_of_integers(tmp_path, place):
    table = integers(10, 6)
    weights = {"w": table, "ws": np.float32(0.01), "wz": np.int8(3)}
    before = [node("DequantizeLinear", "w ws wz", "f"), node("Gather", "f ids", "out")]
    after = [node("Gather", "w ids", "v"), node("DequantizeLinear", "v ws wz", "out")]
    nodes = before if place == "before" else after
    floats = {"w": real(table, 0.01, 3)}
    result = check(tmp_path, nodes, [node("Gather", "w ids", "out")], weights, floats=floats, steps=0, **IDS)
    assert operators(result.model) == ["Gather"]


def stored(kind, zeros, axis, block):
    """A DequantizeLinear of weights [6, 8], and the axis of their scales."""
    low, high = (0, 16) if kind == ml_dtypes.uint4 else (-8, 8) if kind == ml_dtypes.int4 else (0, 200)
    shape = (6, 8) if axis is None else (6, 8)[axis]
    shape = () if axis is None else (3, 8) if block else (shape,)
    weights = {"w": integers(6, 8, low=low, high=high, kind=kind), "ws": scales(*shape)}
    if zeros:
        weights["wz"] = integers(*shape, low=max(low, 0), high=min(high, 8), kind=kind)
    return weights


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, ml_dtypes.int4, ml_dtypes.uint4])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(("axis", "block"), [(None, 0), (0, 0), (1, 0), (0, 2)])
def test_weights_alone(tmp_path, kind, zeros, axis, block):
    """Exact: onnxruntime dequantises the same weights at each run."""
    weights = stored(kind, zeros and kind != np.int32, axis, block)
    attributes = {} if axis is None else {"axis": axis, "block_size": block} if block else {"axis": axis}
    nodes = [
        node("DequantizeLinear", " ".join(weights), "f", **attributes),
        node("Transpose", "f", "t", perm=[1, 0]),
        node("MatMul", "x t", "out"),
    ]
    inputs, feeds = {"x": ["batch", 8]}, {"x": RANDOM.normal(size=(3, 8)).astype(np.float32)}
    model = graph(nodes, inputs, "out", weights, opset=21)
    result = standard_of(model, tmp_path)
    np.testing.assert_array_equal(run(result.model, feeds)[0], run(model, feeds)[0])
    assert operators(result.model) == ["MatMul"]
    assert result.notes == ("quantised weights were taken back to float (1 DequantizeLinear)",)


def test_weights_in_half_precision_scales(tmp_path):
    weights = {"w": integers(6, 8), "ws": scales(8).astype(np.float16)}
    nodes = [node("DequantizeLinear", "w ws", "f", axis=1), node("MatMul", "x f", "out")]
    model = graph(
        nodes,
        {"x": ["batch", 6]},
        "out",
        weights,
        types={"x": TensorProto.FLOAT16, "out": TensorProto.FLOAT16},
        opset=21,
    )
    result = standard_of(model, tmp_path)
    x = RANDOM.normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_allclose(
        run(result.model, {"x": x})[0], x @ real(weights["w"], weights["ws"], None, 1), atol=1e-5
    )


def test_weights_in_casts_and_factors(tmp_path):
    weights = {"w": integers(6, 8), "ws": scales(8)}
    nodes = [node("Cast", "w", "f", to=1), node("Mul", "f ws", "m"), node("MatMul", "x m", "out")]
    model = graph(nodes, {"x": ["batch", 6]}, "out", weights)
    result = standard_of(model, tmp_path)
    assert operators(result.model) == ["MatMul"]
    assert result.notes == ("quantised weights were taken back to float (1 Cast)",)


def test_weights_that_the_graph_rounds(tmp_path):
    """As training with simulated quantisation leaves them: the numbers they are rounded to are meant."""
    weights = {"w": RANDOM.normal(size=(6, 8)).astype(np.float32), "ws": scales(8) * 3, "wz": np.zeros(8, np.int8)}
    nodes = [
        node("QuantizeLinear", "w ws wz", "q", axis=1),
        node("DequantizeLinear", "q ws wz", "f", axis=1),
        node("MatMul", "x f", "out"),
    ]
    model = graph(nodes, {"x": ["batch", 6]}, "out", weights)
    feeds = {"x": RANDOM.normal(size=(3, 6)).astype(np.float32)}
    np.testing.assert_allclose(run(standard_of(model, tmp_path).model, feeds)[0], run(model, feeds)[0], atol=1e-6)


def test_bytes_that_come_in(tmp_path):
    """A picture in bytes is no quantised float: its formula stays."""
    nodes = [node("DequantizeLinear", "x s z", "f"), node("Relu", "f", "out")]
    model = graph(nodes, {"x": ["batch", 4]}, "out", PARAMETERS, types={"x": TensorProto.UINT8})
    feeds = {"x": integers(3, 4, low=0, high=256, kind=np.uint8)}
    np.testing.assert_allclose(run(standard_of(model, tmp_path).model, feeds)[0], run(model, feeds)[0], atol=1e-6)


Q, DYNAMIC = node("QuantizeLinear", "x s z", "q"), node("DynamicQuantizeLinear", "x", "q qs qz")
PRODUCT = node("MatMulInteger", "q w qz", "p")
CAST = node("Cast", "p", "f", to=1)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [Q, node("DequantizeLinear", "q wide z", "out")],
            r"node_out \(DequantizeLinear\) reads integers of node_q .* another scale",
        ),
        ([Q, node("DequantizeLinear", "q s middle", "out")], "another scale or zero point"),
        ([Q, node("Cast", "q", "out", to=1), node("DequantizeLinear", "q s z", "o2")], r"node_out \(Cast\) reads q"),
        ([DYNAMIC, PRODUCT, node("Cast", "p", "out", to=6)], r"node_out \(Cast\) reads the integers of node_p"),
        (
            [DYNAMIC, PRODUCT, CAST, node("Neg", "f", "out")],
            r"node_out \(Neg\) reads a product of integers that is not scaled",
        ),
        ([DYNAMIC, PRODUCT, CAST, node("Mul", "f ws", "out")], "another scale"),
        (
            [DYNAMIC, PRODUCT, CAST, node("Mul", "qs qs", "m"), node("Mul", "f m", "out")],
            "something else than their scales",
        ),
        (
            [
                Q,
                microsoft("QLinearSoftmax", "q s z unit low", "v", axis=1, opset=12),
                node("DequantizeLinear", "v unit low", "out"),
            ],
            "all axes from 1",
        ),
        (
            [
                Q,
                microsoft("QLinearGlobalAveragePool", "q s z s z", "v", channels_last=1),
                node("DequantizeLinear", "v s z", "out"),
            ],
            "channels last",
        ),
        (
            [Q, microsoft("QLinearAdd", "q s z", "v"), node("DequantizeLinear", "v s z", "out")],
            "has 3 inputs, it needs 7",
        ),
        ([microsoft("MatMulNBits", "x w ws", "out", K=6, N=8, block_size=16, bits=4)], "48 bytes"),
        ([microsoft("MatMulNBits", "x w ws", "out", K=6, N=8, block_size=0, bits=4)], "blocks of 0"),
        ([microsoft("MatMulNBits", "x x ws", "out", K=6, N=8, block_size=16, bits=4)], "not constant"),
        (
            [node("DequantizeLinear", "w columns", "d", axis=0), node("MatMul", "x d", "out")],
            r"scales of shape \[8\] for axis 0",
        ),
        ([node("DequantizeLinear", "w columns", "d", axis=7), node("MatMul", "x d", "out")], "along axis 7"),
        ([node("DequantizeLinear", "w columns z8", "d", axis=1), node("MatMul", "x d", "out")], "8 scales and 1 zero"),
        (
            [node("Abs", "s", "t"), node("Add", "t x", "u"), Q, node("DequantizeLinear", "q u z", "out")],
            "another scale",
        ),
        ([Q, node("Reshape", "q flat", "r"), node("DequantizeLinear", "r columns", "out", axis=1)], "along an axis"),
    ],
)
def test_what_is_refused(tmp_path, nodes, message):
    weights = {
        **PARAMETERS,
        "w": integers(6, 8),
        "ws": np.float32(0.1),
        "columns": scales(8),
        "z8": np.int8([1]),
        "flat": np.array([-1, 6]),
    }
    with pytest.raises(ConversionError, match=message):
        standard_of(graph(nodes, {"x": ["batch", 6]}, "out", weights), tmp_path)


def test_integers_as_the_result_are_refused(tmp_path):
    model = graph([Q], {"x": ["batch", 6]}, "q", PARAMETERS, types={"q": TensorProto.UINT8})
    with pytest.raises(ConversionError, match=r"node_q \(QuantizeLinear\) makes integers"):
        standard_of(model, tmp_path)


def test_operators_of_others_are_left_alone(tmp_path):
    """The same name in another domain is another operator."""
    model = graph(
        [node("DequantizeLinear", "w s z", "out", domain="others")],
        {"x": ["batch"]},
        "out",
        {**PARAMETERS, "w": integers(6, 8)},
    )
    model.opset_import.append(helper.make_opsetid("others", 1))
    with pytest.raises(ConversionError, match="others"):
        standard_of(model, tmp_path)
