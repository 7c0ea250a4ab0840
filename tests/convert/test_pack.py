"""Packed tensors read back by naive loops."""

import numpy as np
import pytest
from file_reader import unpack
from hypothesis import given, settings
from hypothesis import strategies as st

from embedrt_convert.pack import pack

SIZES = st.integers(1, 70)


@pytest.mark.parametrize("layout", ["matrix_f32", "panel_f32", "table_i8", "panel_i8"])
@settings(max_examples=25, deadline=None)
@given(rows=SIZES, columns=SIZES, seed=st.integers(0, 2**32 - 1))
def test_matrices_come_back(layout, rows, columns, seed):
    integers = np.random.default_rng(seed).integers(-127, 128, (rows, columns))
    data = integers.astype(np.int8 if layout.endswith("i8") else np.float32)
    np.testing.assert_array_equal(unpack(layout, rows, columns, pack(layout, data).tobytes()), data)


@pytest.mark.parametrize(("layout", "dtype"), [("vector_f32", np.float32), ("vector_i32", np.int32)])
@pytest.mark.parametrize("columns", [1, 15, 16, 17, 64])
def test_vectors_come_back(layout, dtype, columns):
    data = np.arange(1, columns + 1, dtype=dtype)
    packed = pack(layout, data)
    assert packed.size == -(-columns // 16) * 64
    np.testing.assert_array_equal(unpack(layout, 1, columns, packed.tobytes())[0], data)


@pytest.mark.parametrize(
    ("layout", "shape", "size"),
    [
        ("matrix_f32", (3, 17), 3 * 4 * 32),
        ("table_i8", (3, 65), 3 * 128),
        ("panel_i8", (17, 5), 32 * 8),
        ("panel_f32", (17, 5), 32 * 4 * 5),
    ],
)
def test_sizes_are_those_of_the_format(layout, shape, size):
    assert pack(layout, np.ones(shape, np.int8 if layout.endswith("i8") else np.float32)).size == size


def test_another_number_type_is_refused():
    with pytest.raises(TypeError, match="float64"):
        pack("panel_f32", np.ones((2, 2)))
