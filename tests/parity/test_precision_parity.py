"""Vectors in fewer bits, beside sentence-transformers: the same bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sentence_transformers.util.quantization import quantize_embeddings as peer

from embedrt import calibration_ranges, quantize_embeddings

PRECISIONS = ["float32", "int8", "uint8", "binary", "ubinary"]
NUMBERS = st.one_of(st.floats(-2, 2, width=32), st.sampled_from([0.0, -0.0, 1e-30, 1e-45, 3e30, -1.0]))
VECTORS = st.sampled_from([np.float16, np.float32, np.float64]).flatmap(
    lambda kind: arrays.arrays(
        kind,
        st.tuples(st.integers(2, 9), st.integers(1, 70)),
        elements=st.floats(-2, 2, width=16) if kind == np.float16 else NUMBERS,
    )
)


@pytest.mark.parametrize("precision", PRECISIONS)
@given(vectors=VECTORS, narrower=st.booleans())
def test_the_same_bytes(precision: str, vectors: np.ndarray, narrower: bool) -> None:
    # Ranges of all the vectors, or of the first two, so that others lie beyond them.
    ranges = calibration_ranges(vectors[:2] if narrower else vectors)
    theirs = peer(vectors, precision, ranges=ranges)
    ours = quantize_embeddings(vectors, precision, ranges if "int8" in precision else None)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_ranges_are_those_that_it_takes_itself(precision: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    ours = quantize_embeddings(vectors, precision, calibration_ranges(vectors))
    np.testing.assert_array_equal(ours, peer(vectors, precision))
    queries = vectors[:5] * 1.5
    np.testing.assert_array_equal(
        quantize_embeddings(queries, precision, calibration_ranges(vectors)),
        peer(queries, precision, calibration_embeddings=vectors),
    )
