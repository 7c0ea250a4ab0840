"""Graphs of images made by hand: the imported program beside onnxruntime on the same bytes, and what is refused."""

import numpy as np
import onnxruntime
import pytest
from onnx_graphs import graph, node

from embedrt_convert import reference
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Image
from embedrt_convert.onnx_graph.importer import import_images

SCALE, OFFSET = (0.02, 0.03, 0.015), (-1.5, -2.0, -1.0)


def image(height=13, width=10, labels=None):
    return Image(height, width, None, "bilinear", None, SCALE, OFFSET, labels)


def weights(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 0.5 / np.sqrt(max(np.prod(shape[1:]), 1)), shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def model(nodes, constants, outputs="y", size=(13, 10), channels=3, **options):
    return graph(nodes, {"x": ["batch", channels, *size]}, outputs, constants, **options)


def check(made, output="y", size=(13, 10), asked=None, labels=None):
    """The imported program, after every output that was taken is what onnxruntime computes."""
    described = image(*size, labels=labels)
    found = import_images(made, described, output=asked)
    pictures = np.random.default_rng(1).integers(0, 256, (3, *size, 3), np.uint8)
    pixels = (pictures * np.array(SCALE) + np.array(OFFSET)).astype(np.float32).transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    assert output in found.taken
    for name, program_output in found.taken.items():
        for picture, one in zip(pictures, pixels, strict=True):
            (expected,) = session.run([name], {"x": one[None]})
            rows = np.moveaxis(expected, 1, -1) if expected.ndim == 4 else expected
            actual = reference.run_images(found.program, picture[None], program_output)
            np.testing.assert_allclose(actual, rows.reshape(actual.shape), rtol=0, atol=2e-5)
    return found


def ops(found):
    return [each.op for each in found.program.instructions]


WINDOWS = {
    "no padding": {},
    "odd padding": {"pads": [1, 0, 0, 1]},
    "stride and padding": {"strides": [2, 2], "pads": [1, 1, 1, 1]},
    "same, more at the end": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "same, more at the start": {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    "valid": {"auto_pad": "VALID", "strides": [3, 3]},
    "gaps": {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
    "gaps and stride": {"dilations": [2, 1], "strides": [2, 2], "pads": [0, 1, 1, 1]},
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (4, 2)])
def test_windows_of_pixels_and_of_a_grid(window, kernel):
    """Pixels are 0 beyond the border after they are normalised, which the bytes of a program are not."""
    constants = weights(w=(5, 3, 3, 3), b=(5,), v=(7, 5, *kernel), c=(7,))
    nodes = [
        node("Conv", "x w b", "first", **WINDOWS["stride and padding"]),
        node("Conv", "first v c", "y", **WINDOWS[window]),
    ]
    found = check(model(nodes, constants))
    assert ops(found) == ["conv2d", "conv2d", "pool"] and set(found.program.outputs) == {
        "image_embedding",
        "patch_embeddings",
    }
    alone = weights(w=(4, 3, *kernel))
    assert ops(check(model([node("Conv", "x w", "y", **WINDOWS[window])], alone))) == ["conv2d", "pool"]


def test_padding_by_a_node_is_the_windows_own():
    constants = {**weights(w=(4, 3, 3, 3), v=(4, 1, 3, 3)), "p": np.array([0, 0, 0, 1, 0, 0, 1, 1])}
    nodes = [
        node("Pad", "x p", "wide"),
        node("Conv", "wide w", "first", strides=[2, 2]),
        node("Pad", "first p", "wider"),
        node("Conv", "wider v", "y", group=4, strides=[2, 2]),
    ]
    found = check(model(nodes, constants))
    assert ops(found) == ["conv2d", "depthwise", "pool"]
    attributes = found.program.instructions[0].attributes
    assert [attributes[f"pad_{side}"] for side in ("top", "left", "bottom", "right")] == [0, 1, 1, 1]


@pytest.mark.parametrize("kernel", [(3, 3), (5, 1)])
def test_depthwise(kernel):
    constants = weights(w=(6, 3, 3, 3), v=(6, 1, *kernel), c=(6,))
    nodes = [node("Conv", "x w", "first"), node("Conv", "first v c", "y", group=6, pads=[1, 0, 1, 0], strides=[2, 2])]
    assert ops(check(model(nodes, constants))) == ["conv2d", "depthwise", "pool"]


@pytest.mark.parametrize(("groups", "channels"), [(2, 6), (3, 6), (6, 12)])
def test_groups_run_as_full_convolutions(groups, channels):
    constants = weights(w=(6, 3, 3, 3), v=(channels, 6 // groups, 3, 3))
    nodes = [node("Conv", "x w", "first"), node("Conv", "first v", "y", group=groups)]
    found = check(model(nodes, constants))
    assert ops(found) == ["conv2d", "conv2d", "pool"] and "node_y (Conv)" in found.notes[-1]


def test_depthwise_of_pixels():
    nodes = [node("Conv", "x w", "y", group=3, pads=[1, 1, 1, 1])]
    assert ops(check(model(nodes, weights(w=(3, 1, 3, 3))))) == ["conv2d", "pool"]


ACTIVATIONS = {
    "relu": [node("Relu", "z", "y")],
    "relu6": [node("Clip", "z zero six", "y")],
    "relu6, spelled out": [node("Max", "z zero", "m"), node("Min", "m six", "y")],
    "silu": [node("Sigmoid", "z", "s"), node("Mul", "z s", "y")],
    "hard_swish": [
        node("Add", "z three", "a"),
        node("Clip", "a zero six", "c"),
        node("Mul", "z c", "m"),
        node("Div", "m six", "y"),
    ],
    "hard_swish, a node": [node("HardSwish", "z", "y")],
    "hard_sigmoid": [node("HardSigmoid", "z", "y", alpha=1 / 6, beta=0.5)],
    "hard_sigmoid, steep": [node("HardSigmoid", "z", "y", alpha=0.3, beta=0.4)],
    "bounds": [node("Clip", "z low six", "y")],
}
NUMBERS = {
    name: np.array(value, np.float32)
    for name, value in {"zero": 0, "six": 6, "three": 3, "low": -0.3, "one": 1}.items()
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("biased", [False, True])
def test_activations(activation, biased):
    constants = {**weights(w=(5, 3, 3, 3), b=(5,)), **NUMBERS}
    nodes = [node("Conv", f"x w{' b' * biased}", "z"), *ACTIVATIONS[activation]]
    found = check(model(nodes, constants))
    # What is within bounds that are not 0 has to be moved.
    moves = activation == "bounds"
    assert ops(found)[0] == "conv2d" and found.program.instructions[0].attributes["activation"] != "none"
    assert moves or ops(found) == ["conv2d", "pool"]


def test_a_residual_before_relu():
    constants = weights(w=(6, 3, 3, 3), a=(6, 6, 3, 3), d=(6,), b=(6, 6, 3, 3), s=(6, 6, 1, 1), t=(6,))
    padded = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", "x w", "stem"),
        node("Conv", "stem a d", "a1", strides=[2, 2], **padded),
        node("Relu", "a1", "a2"),
        node("Conv", "a2 b", "a3", **padded),
        node("Conv", "stem s t", "short", strides=[2, 2]),
        node("Add", "a3 short", "sum"),
        node("Relu", "sum", "next"),
        node("Conv", "next b", "b1", **padded),
        node("Add", "b1 next", "sum2"),
        node("Relu", "sum2", "y"),
    ]
    found = check(model(nodes, constants))
    assert ops(found) == ["conv2d", "conv2d", "conv2d", "conv2d", "conv2d", "pool"]
    assert [len(each.inputs) for each in found.program.instructions] == [1, 1, 1, 2, 2, 1]


def test_batch_norm_is_folded():
    constants = weights(w=(6, 3, 3, 3), scale=(6,), shift=(6,), mean=(6,), v=(6, 6, 1, 1))
    constants["variance"] = np.linspace(0.5, 2, 6).astype(np.float32)
    nodes = [
        node("Conv", "x w", "z"),
        node("BatchNormalization", "z scale shift mean variance", "n", epsilon=1e-3),
        node("Relu", "n", "y"),
    ]
    assert ops(check(model(nodes, constants))) == ["conv2d", "pool"]


def test_squeeze_and_excitation():
    constants = weights(w=(6, 3, 3, 3), down=(2, 6, 1, 1), d=(2,), up=(6, 2, 1, 1), u=(6,), v=(4, 6, 1, 1))
    nodes = [
        node("Conv", "x w", "z"),
        node("Relu", "z", "a"),
        node("GlobalAveragePool", "a", "mean"),
        node("Conv", "mean down d", "s1"),
        node("Relu", "s1", "s2"),
        node("Conv", "s2 up u", "s3"),
        node("HardSigmoid", "s3", "s4", alpha=1 / 6, beta=0.5),
        node("Mul", "s4 a", "gated"),
        node("Conv", "gated v", "y"),
    ]
    found = check(model(nodes, constants))
    assert ops(found) == ["conv2d", "pool", "linear", "linear", "gate", "conv2d", "pool"]


def test_a_gate_of_a_single_place():
    """The mean of one place is the place: nothing in the graph says that it is one row of each image."""
    constants = weights(w=(6, 3, 13, 10), down=(2, 6, 1, 1), up=(6, 2, 1, 1))
    nodes = [
        node("Conv", "x w", "a"),
        node("GlobalAveragePool", "a", "mean"),
        node("Conv", "mean down", "s1"),
        node("Relu", "s1", "s2"),
        node("Conv", "s2 up", "s3"),
        node("Sigmoid", "s3", "s4"),
        node("Mul", "a s4", "gated"),
        node("Flatten", "gated", "y"),
    ]
    assert ops(check(model(nodes, constants)))[-3:] == ["pool", "gate", "pool"]


MAXIMA = {
    "plain": {"kernel_shape": [3, 3], "strides": [2, 2]},
    "padded": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    "up": {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    "up and padded": {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 0, 0], "ceil_mode": 1},
    "same": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
}


@pytest.mark.parametrize("window", MAXIMA)
@pytest.mark.parametrize("activation", ["Relu", "Tanh"])
def test_max_pooling(window, activation):
    nodes = [
        node("Conv", "x w", "z"),
        node(activation, "z", "a"),
        node("MaxPool", "a", "y", **MAXIMA[window]),
    ]
    assert ops(check(model(nodes, weights(w=(5, 3, 3, 3))))) == ["conv2d", "max_pool", "pool"]


def test_padding_of_maxima():
    """Zeros around what is never below 0 are no other maximum, and -inf is what the op has."""
    constants = {**weights(w=(5, 3, 3, 3)), "p": np.array([0, 0, 1, 1, 0, 0, 1, 0])}
    window = {"kernel_shape": [3, 3], "strides": [2, 2]}
    nodes = [
        node("Conv", "x w", "z"),
        node("Relu", "z", "a"),
        node("Pad", "a p", "b"),
        node("MaxPool", "b", "y", **window),
    ]
    check(model(nodes, constants))
    nodes = [node("Conv", "x w", "z"), node("Pad", "z p low", "b"), node("MaxPool", "b", "y", **window)]
    check(model(nodes, {**constants, "low": np.array(-np.inf, np.float32)}))
    with pytest.raises(ConversionError, match="padding with another number than -inf"):
        check(model([nodes[0], node("Pad", "z p", "b"), nodes[2]], constants))


def test_means_of_windows():
    nodes = [node("Conv", "x w", "z"), node("AveragePool", "z", "y", kernel_shape=[2, 2], strides=[2, 2])]
    assert ops(check(model(nodes, weights(w=(5, 3, 3, 3))))) == ["conv2d", "depthwise", "pool"]
    nodes[1] = node("AveragePool", "z", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    check(model(nodes, weights(w=(5, 3, 3, 3))))
    nodes[1] = node("AveragePool", "z", "a", kernel_shape=[11, 8])
    found = check(model([*nodes, node("Flatten", "a", "y")], weights(w=(5, 3, 3, 3))))
    assert ops(found) == ["conv2d", "pool"] and set(found.program.outputs) == {"image_embedding"}
    nodes[1] = node("AveragePool", "z", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    with pytest.raises(ConversionError, match=r"node_y .AveragePool.*count their padding out"):
        check(model(nodes, weights(w=(5, 3, 3, 3))))


def patches(outputs):
    """A class token, positions, a norm: [1, 1 + 12, 8]."""
    constants = {
        **weights(
            w=(8, 3, 3, 3), b=(8,), cls=(1, 1, 8), positions=(1, 13, 8), scale=(8,), shift=(8,), p=(5, 8), q=(5,)
        ),
        "rows": np.array([1, 8, -1]),
        "zero": np.array(0),
    }
    nodes = [
        node("Conv", "x w b", "grid", strides=[3, 3]),
        node("Reshape", "grid rows", "flat"),
        node("Transpose", "flat", "patches", perm=[0, 2, 1]),
        node("Concat", "cls patches", "all", axis=1),
        node("Add", "all positions", "placed"),
        node("LayerNormalization", "placed scale shift", "last_hidden_state", axis=-1),
        node("Gather", "last_hidden_state zero", "token", axis=1),
        node("Gemm", "token p q", "logits", transB=1),
        node("Tanh", "logits", "pooler_output"),
    ]
    return model(nodes, constants, outputs)


def test_rows_with_a_class_token():
    found = check(patches("last_hidden_state"), "last_hidden_state")
    assert ops(found) == ["conv2d", "place", "norm", "pool", "pool"]
    assert found.program.outputs == {"image_embedding": 4, "class_token": 4, "patch_mean": 5, "patch_embeddings": 3}
    assert found.notes == (
        "the graph's output last_hidden_state has a vector for each place: image_embedding is its first row, "
        "the class token",
    )


def test_rows_and_a_pooled_output():
    found = check(patches("pooler_output last_hidden_state"), "pooler_output")
    assert ops(found) == ["conv2d", "place", "norm", "pool", "pool", "linear"] and not found.notes
    assert found.program.outputs == {"image_embedding": 6, "class_token": 4, "patch_mean": 5, "patch_embeddings": 3}


@pytest.mark.parametrize(("output", "labels"), [("logits", None), ("logits", ("a", "b", "c", "d", "e"))])
def test_logits(output, labels):
    found = check(patches("logits"), output, labels=labels)
    assert found.program.outputs == {"image_embedding": 4, "logits": 5}
    assert ops(found) == ["conv2d", "place", "norm", "pool", "linear"]


def test_an_output_with_labels_is_a_classifiers():
    nodes = [node("Conv", "x w", "z"), node("GlobalAveragePool", "z", "m"), node("Flatten", "m", "f")]
    made = model([*nodes, node("MatMul", "f v", "y")], weights(w=(5, 3, 3, 3), v=(5, 2)))
    assert set(check(made, labels=("cat", "dog")).program.outputs) == {"image_embedding", "logits"}
    assert set(check(made).program.outputs) == {"image_embedding"}
    made = model(
        [*nodes, node("MatMul", "f v", "l"), node("Softmax", "l", "logits")],
        weights(w=(5, 3, 3, 3), v=(5, 2)),
        "logits",
    )
    with pytest.raises(ConversionError, match="logits are what a linear layer makes"):
        check(made, "logits")


def test_an_output_that_is_not_understood_is_left():
    made = patches("pooler_output last_hidden_state")
    (rows,) = (each for each in made.graph.node if each.output[0] == "last_hidden_state")
    rows.output[0] = "normed"
    (token,) = (each for each in made.graph.node if each.op_type == "Gather")
    token.input[0] = "normed"
    rows.name = "node_normed"
    made.graph.node.append(node("Softmax", "normed", "last_hidden_state"))
    found = check(made, "pooler_output", asked="pooler_output")
    assert found.taken == {"pooler_output": "image_embedding"} and "last_hidden_state" in found.left[0]


def test_channels_last():
    """A graph that puts channels last, for the norm and the linear layers of each place."""
    constants = weights(w=(6, 3, 2, 2), d=(6, 1, 3, 3), s=(6,), t=(6,), wide=(6, 12), narrow=(12, 6), gamma=(6,))
    nodes = [
        node("Conv", "x w", "stem", strides=[2, 2]),
        node("Conv", "stem d", "deep", group=6, pads=[1, 1, 1, 1]),
        node("Transpose", "deep", "last", perm=[0, 2, 3, 1]),
        node("LayerNormalization", "last s t", "normed"),
        node("MatMul", "normed wide", "hidden"),
        node("Relu", "hidden", "active"),
        node("MatMul", "active narrow", "back"),
        node("Mul", "back gamma", "scaled"),
        node("Transpose", "scaled", "first", perm=[0, 3, 1, 2]),
        node("Add", "stem first", "y"),
    ]
    found = check(model(nodes, constants))
    assert ops(found) == ["conv2d", "depthwise", "norm", "linear", "linear", "pool"]


@pytest.mark.parametrize("reverse", [False, True])
def test_normalisation_inside_the_graph(reverse):
    constants = {
        **weights(w=(5, 3, 3, 3), b=(5,)),
        "mean": np.array([0.3, -0.2, 0.5], np.float32).reshape(3, 1, 1),
        "deviation": np.array([0.4, 0.5, 0.9], np.float32).reshape(3, 1, 1),
        "blue first": np.array([2, 1, 0]),
    }
    constants["turn"] = constants.pop("blue first")
    nodes = [
        node("Gather", "x turn", "bgr", axis=1),
        node("Sub", f"{'bgr' if reverse else 'x'} mean", "centred"),
        node("Div", "centred deviation", "normal"),
        node("Conv", "normal w b", "y", pads=[1, 1, 1, 1], strides=[2, 2]),
    ]
    assert ops(check(model(nodes if reverse else nodes[1:], constants))) == ["conv2d", "pool"]


def test_channels_are_shuffled():
    constants = {**weights(w=(6, 3, 3, 3), v=(6, 1, 3, 3), u=(4, 6, 1, 1)), "order": np.array([3, 0, 4, 1, 5, 2])}
    nodes = [
        node("Conv", "x w", "z"),
        node("Gather", "z order", "a", axis=1),
        node("Conv", "a v", "b", group=6),
        node("Gather", "b order", "c", axis=1),
        node("Conv", "c u", "y"),
    ]
    assert ops(check(model(nodes, constants))) == ["conv2d", "depthwise", "conv2d", "pool"]


JOINED = {
    "read by a convolution": [node("Concat", "a b", "c", axis=1), node("Conv", "c v", "y", pads=[1, 1, 1, 1])],
    "normed, then relu": [
        node("Concat", "a b", "c", axis=1),
        node("BatchNormalization", "c scale shift mean variance", "n"),
        node("Relu", "n", "r"),
        node("Conv", "r v", "y"),
    ],
    "the output": [node("Concat", "a b", "y", axis=1)],
    "pooled": [node("Concat", "a b", "c", axis=1), node("GlobalAveragePool", "c", "m"), node("Flatten", "m", "y")],
    "shuffled": [
        node("Concat", "a b", "c", axis=1),
        node("Reshape", "c apart", "d"),
        node("Transpose", "d", "e", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "e together", "f"),
        node("Split", "f", "g h", axis=1),
        node("Conv", "g each", "i", group=4, pads=[1, 1, 1, 1]),
        node("Concat", "h i", "c2", axis=1),
        node("Conv", "c2 v1", "y"),
    ],
}


@pytest.mark.parametrize("how", JOINED)
def test_columns_are_joined(how):
    """The core has no op for it: convolutions add up, or choose."""
    constants = weights(
        w=(5, 3, 3, 3),
        u=(3, 5, 1, 1),
        v=(4, 8, 3, 3),
        v1=(4, 8, 1, 1),
        each=(4, 1, 3, 3),
        scale=(8,),
        shift=(8,),
        mean=(8,),
    )
    constants["variance"] = np.linspace(0.5, 2, 8).astype(np.float32)
    constants |= {"apart": np.array([0, 2, 4, 11, 8]), "together": np.array([0, 8, 11, 8])}
    nodes = [node("Conv", "x w", "z"), node("Relu", "z", "a"), node("Conv", "a u", "b"), *JOINED[how]]
    found = check(model(nodes, constants))
    if how == "read by a convolution":
        assert ops(found) == ["conv2d", "conv2d", "conv2d", "conv2d", "pool"]
    if how == "normed, then relu":
        assert ops(found) == ["conv2d", "conv2d", "conv2d", "conv2d", "conv2d", "pool"]


def test_branches_with_norms_of_their_own():
    """A block of branches: two convolutions and the input itself, each normed."""
    constants = weights(w=(5, 3, 3, 3), u=(5, 5, 3, 3), v=(5, 5, 1, 1), scale=(5,), shift=(5,), mean=(5,))
    constants["variance"] = np.linspace(0.5, 2, 5).astype(np.float32)
    norm = "scale shift mean variance"
    nodes = [
        node("Conv", "x w", "z"),
        node("Relu", "z", "a"),
        node("Conv", "a u", "b", pads=[1, 1, 1, 1]),
        node("Conv", "a v", "c"),
        *(node("BatchNormalization", f"{name} {norm}", f"n{name}") for name in "abc"),
        node("Sum", "na nb nc", "s"),
        node("Relu", "s", "y"),
    ]
    found = check(model(nodes, constants))
    assert sorted(ops(found)) == ["conv2d", "conv2d", "conv2d", "depthwise", "pool"]


REFUSED = {
    "strides": ([node("Conv", "x w", "y", strides=[1, 2])], "node_y .Conv.: strides of 1 and 2"),
    "too small": ([node("Conv", "x big", "y")], "13 x 10 is left before a window of 15 x 15"),
    "resize": (
        [node("Conv", "x w", "z"), node("Resize", "z - scales", "y")],
        "node_y .Resize.: the op Resize is not supported; understood up to there: 1 × convolution",
    ),
    "pixels": ([node("Relu", "x", "y")], "pixels are read by something else than a convolution"),
    "known": ([node("Add", "big big", "y")], "does not depend on its input"),
    "transposed": (
        [node("Conv", "x w", "z"), node("Transpose", "z", "t", perm=[0, 1, 3, 2]), node("Conv", "t v", "y")],
        "the places of a grid are not in the order of its rows",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    nodes, words = REFUSED[what]
    constants = weights(w=(5, 3, 3, 3), v=(5, 5, 3, 3), big=(5, 3, 15, 15))
    constants["scales"] = np.array([1, 1, 2, 2], np.float32)
    with pytest.raises(ConversionError, match=words):
        import_images(model(nodes, constants), image())


def test_the_size_of_pictures_is_the_graphs():
    made = model([node("Conv", "x w", "y")], weights(w=(5, 3, 3, 3)))
    with pytest.raises(ConversionError, match=r"x is \[batch, 3, 13, 10\], and pictures are \[batch, 3, 13, 12\]"):
        import_images(made, image(13, 12))
    with pytest.raises(ConversionError, match="no output z; it has y"):
        import_images(made, image(), output="z")
