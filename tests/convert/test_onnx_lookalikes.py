"""Graphs that look like something known and are not, that are too large to follow, or that are very deep."""

from __future__ import annotations

import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx_attention import MASKS, Spelling, added_mask, attention
from onnx_judge import judged
from onnx_spellings import ENDS, NORMS, PAD, Build, Size, layer_node, matmul, mean_divided, positions_by_range, words

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.importer import import_text
from embedrt_convert.onnx_graph.standard import standard

try:
    import resource
except ImportError:  # on Windows
    resource = None

SIZE = Size()


def graph(part, end=mean_divided) -> onnx.ModelProto:
    b = Build(SIZE)
    return b.model(b.op("Identity", end(b, part(b, layer_node(b, positions_by_range(b))))))


def masked(part):
    """Attention whose scores a part changes."""

    def attend(b, x):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(MASKS, "trap", part)
            return attention(b, x, Spelling(mask="trap"))

    return attend


def _distance(b):
    places = b.range()
    return b.op("Sub", b.unsqueeze(places, 0), b.unsqueeze(places, 1))


def _backwards(b, x):
    return b.sliced(x, 1, -1, -(2**62), -1)


def _mixed_backwards(b, x):
    return layer_node(b, b.op("Add", x, matmul(b, _backwards(b, attention(b, x, Spelling())), 12, 12)))


def _multiplied_mask(b, scores):
    return b.op("Mul", scores, b.cast(b.op("LessOrEqual", _distance(b), b.constant(0, np.int64))))


def _only_itself(b, scores):
    return b.op("Where", b.op("Equal", _distance(b), b.constant(0, np.int64)), scores, b.constant(-1e9))


def _window_by_length(b, scores):
    near = b.op("Less", b.op("Abs", _distance(b)), b.op("Div", b.length(), b.constant(2, np.int64)))
    return b.op("Where", near, scores, b.constant(-1e9))


def _bias_by_length(b, scores):
    far = b.op("Div", b.cast(_distance(b)), b.cast(b.length()))
    return added_mask(b, b.op("Add", scores, far))


def _greatest_in_norm(b, x):
    less = b.op("Sub", x, b.reduce("ReduceMean", x, -1))
    greatest = b.reduce("ReduceMax", b.op("Mul", less, less), -1)
    return b.op("Div", less, b.op("Sqrt", b.op("Add", greatest, b.constant(1e-3))))


def _means_of_others(b, x):
    less = b.op("Sub", x, b.reduce("ReduceMean", _backwards(b, x), -1))
    square = b.reduce("ReduceMean", b.op("Mul", less, less), -1)
    return b.op("Div", less, b.op("Sqrt", b.op("Add", square, b.constant(1e-3))))


def _gate_of_others(b, x):
    gate = b.op("Sigmoid", matmul(b, x, 12, 20))
    return matmul(b, b.op("Mul", gate, _backwards(b, matmul(b, x, 12, 20))), 20, 12)


def _bounded_gelu(b, x):
    bounded = b.op("Clip", matmul(b, x, 12, 20), b.constant(-10.0), b.constant(10.0))
    more = b.op("Add", b.op("Erf", b.op("Div", bounded, b.constant(np.sqrt(2)))), b.constant(1.0))
    return matmul(b, b.op("Mul", b.op("Mul", bounded, more), b.constant(0.5)), 20, 12)


def _of_lesser_ids(b, x):
    index = b.op("Min", "input_ids", b.constant(SIZE.vocabulary - 2, np.int64))
    return b.op("Add", x, b.op("Gather", b.weight(SIZE.vocabulary, 12), index))


TRAPS = {
    "whole numbers": lambda b, x: b.cast(b.cast(x, TensorProto.INT32)),
    "the last token is left out": lambda b, x: b.sliced(x, 1, 0, -1),
    "tokens backwards, of attention": _mixed_backwards,
    "a factor for a mask": masked(_multiplied_mask),
    "tokens see themselves": masked(_only_itself),
    "a window by the length": masked(_window_by_length),
    "a bias by the length": masked(_bias_by_length),
    "the greatest square of a norm": _greatest_in_norm,
    "means of other tokens": _means_of_others,
    "a gate of other tokens": _gate_of_others,
    "a bounded activation": _bounded_gelu,
    "rare ids are one": _of_lesser_ids,
    "bounds the wrong way round": lambda b, x: b.op("Clip", x, b.constant(1.0), b.constant(-1.0)),
    "flattened before the last axis": lambda b, x: b.op("Flatten", x, axis=-1),
    "no numbers": lambda b, x: b.op("Div", x, b.constant(0.0)),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap(name):
    verdict = judged(graph(TRAPS[name]), SIZE, 0, tokens=False)
    assert verdict.kind == ("right" if name == "flattened before the last axis" else "refused"), verdict


def test_half_of_the_vector():
    model = graph(lambda b, x: x, lambda b, x: b.sliced(ENDS["first, taken"](b, x), 1, 0, 6))
    assert judged(model, SIZE, 0, tokens=False).kind == "refused"


def test_a_huge_value_of_the_length():
    def part(b, x):
        shape = b.op("Concat", b.unsqueeze(b.length(), 0), b.integers(10**9), axis=0)
        return b.op("Add", x, b.op("ReduceSum", b.op("ConstantOfShape", shape), b.integers(0, 1), keepdims=0))

    refused_quickly(part, "does not run")


HUGE = {
    "expand": lambda b, x: b.reduce("ReduceMax", b.op("Expand", b.unsqueeze(x, 0), b.integers(10**9, 1, 1, 1)), 0, 0),
    "tile": lambda b, x: b.sliced(b.op("Tile", x, b.integers(1, 1, 10**7)), 2, 0, 12),
    "pad": lambda b, x: b.sliced(b.op("Pad", x, b.integers(0, 0, 0, 0, 0, 10**9)), 2, 0, 12),
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_values_of_the_data(name):
    refused_quickly(HUGE[name], "too large to follow")


def test_values_that_double():
    def part(b, x):
        for _ in range(40):
            x = b.op("Concat", x, x, axis=1)
        return x

    refused_quickly(part, "too large to follow")


def test_a_chain_that_reads_everything_twice():
    def part(b, x):
        for _ in range(40):
            x = b.op("Mul", x, b.op("Exp", x))
        return x

    refused_quickly(part, "product of two values")


def peak_memory():
    """The most bytes that this process has had so far; 0 where the system does not count them so."""
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def refused_quickly(part, why):
    model, before = graph(part), peak_memory()
    begin = time.monotonic()
    with pytest.raises(ConversionError, match=why):
        import_text(standard(model).model, max_tokens=SIZE.tokens, padding=PAD)
    assert time.monotonic() - begin < 20
    assert peak_memory() - before < 2 << 30


@pytest.mark.parametrize("norm", ["layer, node", "rms, mul, div, weight before"])
def test_many_layers(norm):
    b = Build(SIZE)
    x = words(b)
    for _ in range(64):
        x = NORMS[norm](b, b.op("Add", x, attention(b, x, Spelling())))
        x = NORMS[norm](b, b.op("Add", x, matmul(b, b.op("Relu", matmul(b, x, 12, 20)), 20, 12)))
    assert judged(b.model(b.op("Identity", mean_divided(b, x))), SIZE, 0, tokens=False).kind == "right"
