"""Fewer columns, unit length and fewer bits: beside NumPy, and beside what each precision says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tiny_model import DIM, write_model

import embedrt
from embedrt import InputError, calibration_ranges, quantize_embeddings

TEXTS = ["hello world", "the password", "a", "Hello, WORLD! café", "", "中文 дом"]
FLOATS = st.floats(-100, 100, width=32)
VECTORS = arrays.arrays(np.float32, st.tuples(st.integers(2, 6), st.integers(1, 20)), elements=FLOATS)


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> embedrt.Model:
    return embedrt.load(write_model(tmp_path_factory.mktemp("unit") / "a.embedrt", normalize=True))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    wide = rows.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def test_vectors_of_unit_length_have_it_again_after_truncation(unit: embedrt.Model) -> None:
    whole = unit.encode(TEXTS)
    np.testing.assert_allclose(unit.encode(TEXTS, truncate_dim=5), unit_rows(whole[:, :5]), rtol=2**-23)
    np.testing.assert_array_equal(unit.encode(TEXTS, truncate_dim=5), unit.encode(TEXTS, truncate_dim=5)[:, :5])
    # As sentence-transformers.
    np.testing.assert_array_equal(unit.encode(TEXTS, truncate_dim=5, normalize_embeddings=False), whole[:, :5])
    for same in (DIM, DIM + 1):
        np.testing.assert_array_equal(unit.encode(TEXTS, truncate_dim=same), whole)


def test_other_vectors_are_scaled_only_when_asked(model: embedrt.Model) -> None:
    whole = model.encode(TEXTS)
    np.testing.assert_array_equal(model.encode(TEXTS, truncate_dim=5), whole[:, :5])
    scaled = model.encode(TEXTS, truncate_dim=5, normalize_embeddings=True)
    np.testing.assert_allclose(scaled, unit_rows(whole[:, :5]), rtol=2**-23)


@given(VECTORS)
def test_bits(vectors: np.ndarray) -> None:
    packed = quantize_embeddings(vectors, "ubinary")
    assert packed.dtype == np.uint8 and packed.shape == (len(vectors), -(-vectors.shape[1] // 8))
    bits = np.unpackbits(packed, axis=1)
    np.testing.assert_array_equal(bits[:, : vectors.shape[1]], vectors > 0)
    assert not bits[:, vectors.shape[1] :].any()
    signed = quantize_embeddings(vectors, "binary")
    assert signed.dtype == np.int8
    np.testing.assert_array_equal(signed.astype(np.int64), packed.astype(np.int64) - 128)
    np.testing.assert_array_equal(quantize_embeddings(vectors[0], "binary"), signed[0])


@given(VECTORS)
def test_steps(vectors: np.ndarray) -> None:
    ranges = calibration_ranges(vectors)
    np.testing.assert_array_equal(ranges, [vectors.min(0), vectors.max(0)])
    assert ranges.dtype == np.float32
    steps = quantize_embeddings(vectors, "uint8", ranges)
    assert steps.dtype == np.uint8 and steps.shape == vectors.shape
    width = (ranges[1].astype(np.float64) - ranges[0]) / 255
    # Rounded down; the quotient itself has the roundings of float32.
    back = ranges[0] + steps * width
    assert (back <= vectors + 1e-4 * np.abs(ranges).max(0) + 1e-6).all()
    assert (vectors - back <= width + 1e-4 * np.abs(ranges).max(0) + 1e-6).all()
    signed = quantize_embeddings(vectors, "int8", ranges)
    assert signed.dtype == np.int8
    np.testing.assert_array_equal(signed.astype(np.int64), steps.astype(np.int64) - 128)


def test_beyond_the_range_is_its_end() -> None:
    ranges = np.array([[0, -1, 3], [255, 1, 3]], np.float32)
    vectors = np.array([[-1, -5, 3], [256, 5, 2], [127.9, 0, 9]], np.float32)
    # A column whose range is one number counts steps of 1 from it.
    np.testing.assert_array_equal(
        quantize_embeddings(vectors, "uint8", ranges), [[0, 0, 0], [255, 255, 0], [127, 127, 6]]
    )


def test_in_encode(unit: embedrt.Model) -> None:
    for dim in (None, 12):
        vectors = unit.encode(TEXTS, truncate_dim=dim)
        ranges = calibration_ranges(vectors)
        for precision in ("int8", "uint8", "binary", "ubinary"):
            options = {"ranges": ranges} if "int8" in precision else {}
            want = quantize_embeddings(vectors, precision, **options)
            found = unit.encode(TEXTS, truncate_dim=dim, precision=precision, **options)
            assert found.dtype == want.dtype
            np.testing.assert_array_equal(found, want)
            np.testing.assert_array_equal(
                unit.encode(TEXTS[1], truncate_dim=dim, precision=precision, **options), want[1]
            )
            assert unit.encode([], truncate_dim=dim, precision=precision, **options).shape == (0, want.shape[1])


def test_what_cannot_be_used(model: embedrt.Model) -> None:
    for precision in ("int8", "uint8"):
        with pytest.raises(InputError, match=rf"{precision} needs ranges, float32 \[2, {DIM}\].*calibration_ranges"):
            model.encode(TEXTS, precision=precision)
    flat = np.zeros((2, DIM), np.float32)
    down = np.array([[1], [0]], np.float32)
    bad = [
        ({"precision": "int4"}, "precision is 'int4'"),
        ({"precision": "binary", "ranges": flat}, "ranges are for"),
        ({"ranges": flat}, "ranges are for the precisions int8 and uint8, not float32"),
        ({"precision": "int8", "ranges": flat[:, 1:]}, rf"ranges are float32 \[2, {DIM - 1}\]"),
        ({"precision": "int8", "ranges": flat, "truncate_dim": 4}, r"need floats \[2, 4\]"),
        ({"precision": "int8", "ranges": flat + down}, "column 0 goes from 1.0 to 0.0"),
        ({"precision": "int8", "ranges": np.where(down > 0, 0, np.inf) + flat}, "column 0 goes from 0.0 to inf"),
        ({"precision": "binary", "output_value": "token_embeddings"}, "for sentence_embedding"),
    ]
    for options, words in bad:
        with pytest.raises(InputError, match=words):
            model.encode(TEXTS, **options)
    broken = np.ones((3, 4), np.float32)
    broken[1, 2] = np.nan
    for call in (lambda: quantize_embeddings(broken, "binary"), lambda: calibration_ranges(broken)):
        with pytest.raises(InputError, match="row 1 is not finite"):
            call()
    for vectors in (np.zeros((2, 2), np.int8), np.zeros((1, 2, 2), np.float32)):
        with pytest.raises(InputError, match="expected floats"):
            quantize_embeddings(vectors, "binary")
    for vectors in (np.zeros((1, 2)), np.zeros(2)):
        with pytest.raises(InputError, match="two rows at least"):
            calibration_ranges(vectors)
