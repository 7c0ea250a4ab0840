"""Quantised tensors: error bounds, edge rows, and what stays float."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedrt_convert.builder import IDS, Program
from embedrt_convert.quantize import int8_rows, quantize

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=FLOATS))
def test_each_value_is_within_half_a_step(data):
    integers, scale = int8_rows(data)
    assert np.abs(integers.astype(int)).max() <= 127
    restored = integers * scale.astype(np.float64)[:, None]
    # Half a step, and the rounding of the scale itself over 127 steps; a row below the normal range is zero.
    bound = scale.astype(np.float64)[:, None] * (0.5 + 127 * 2.0**-24)
    flushed = np.abs(data).max(axis=1, keepdims=True) / 127 < np.finfo(np.float32).tiny
    assert (np.abs(restored - data) <= np.where(flushed, np.abs(data), bound)).all()


def test_the_largest_value_is_127():
    integers, scale = int8_rows(np.array([[0.5, -2.0, 1.0]], np.float32))
    assert integers.tolist() == [[32, -127, 64]]
    assert scale[0] == np.float32(2 / 127)


def test_a_row_of_zeros_has_scale_zero():
    integers, scale = int8_rows(np.zeros((2, 3), np.float32))
    assert not integers.any() and not scale.any()


def test_rows_beyond_one_block():
    data = np.random.default_rng(0).normal(size=(9001, 3)).astype(np.float32)
    whole = int8_rows(data)
    for at in (0, 4095, 4096, 9000):
        row = int8_rows(data[at : at + 1])
        np.testing.assert_array_equal(whole[0][at], row[0][0])
        assert whole[1][at] == row[1][0]


def small_program() -> Program:
    rng = np.random.default_rng(1)
    program = Program(vocabulary=11, max_tokens=7)
    words = program.op("lookup", IDS, name="words", table=rng.normal(size=(11, 12)).astype(np.float32))
    places = rng.normal(size=(7, 12)).astype(np.float32)
    x = program.op("add", words, program.op("lookup", IDS, name="places", table=places, index="position"))
    weight = rng.normal(size=(36, 12)).astype(np.float32)
    x = program.op("linear", x, name="qkv", weight=weight, bias=np.ones(36, np.float32))
    program.outputs = {"token_embeddings": program.op("attention", x, heads=3, scale=0.5, precision="float32")}
    return program


def test_policy():
    program = small_program()
    words, places, _, linear, attention = quantize(program, "int8").instructions
    assert words.tensors["table"].layout == "table_i8"
    assert places.tensors["table"].layout == "table_i8"
    assert linear.tensors["weight"].layout == "panel_i8"
    assert linear.tensors["bias"].layout == "vector_f32"
    assert attention.attributes["precision"] == "int8"
    weight = linear.tensors["weight"].data
    np.testing.assert_array_equal(linear.tensors["column_sums"].data, weight.astype(np.int32).sum(axis=1))
    assert [tensor.name for tensor in linear.tensors.values()] == [
        f"qkv.{r}" for r in ("weight", "bias", "scale", "column_sums")
    ]


def test_fp32_changes_nothing():
    program = small_program()
    assert quantize(program, "fp32") is program


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="int3"):
        quantize(small_program(), "int3")
