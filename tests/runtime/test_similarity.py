"""Similarity matrices against their formulas, and unit length to the bit."""

from __future__ import annotations

import numpy as np
import pytest

import embedrt
from embedrt._similarity import normalized, similarity

RNG = np.random.default_rng(3)
A = RNG.normal(size=(7, 24)).astype(np.float32)
B = RNG.normal(size=(5, 24)).astype(np.float32)


def formula(kind: str, a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    if kind == "cosine":
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    if kind == "dot":
        return float(a @ b)
    return -float(np.linalg.norm(a - b, ord=2 if kind == "euclidean" else 1))


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean", "manhattan"])
def test_every_pair(kind: str) -> None:
    result = similarity(A, B, kind)
    assert result.shape == (7, 5) and result.dtype == np.float32
    want = [[formula(kind, a, b) for b in B] for a in A]
    # 24 float32 products or differences, none above 20.
    np.testing.assert_allclose(result, want, atol=24 * 20 * 2**-24)
    np.testing.assert_array_equal(similarity(A[0], B[1], kind).shape, (1, 1))
    np.testing.assert_allclose(similarity(A[0].tolist(), B, kind)[0], want[0], atol=24 * 20 * 2**-24)
    assert similarity(A[:0], B, kind).shape == (0, 5)
    assert similarity(A, B[:0], kind).shape == (7, 0)


def test_blocks_of_manhattan_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    want = similarity(A, B, "manhattan")
    monkeypatch.setattr("embedrt._similarity._BLOCK", 1)
    np.testing.assert_array_equal(similarity(A, B, "manhattan"), want)


def test_a_distance_to_itself_is_next_to_nothing() -> None:
    # The squares cancel in float64, up to 24 roundings of 2**-53 of them; the root halves the digits.
    lengths = np.linalg.norm(A, axis=1)
    assert np.all(np.abs(np.diag(similarity(A, A, "euclidean"))) <= lengths * np.sqrt(2 * 24 * 2.0**-53))


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(embedrt.InputError, match="24 columns and b has 3"):
        similarity(A, B[:, :3], "dot")
    with pytest.raises(embedrt.InputError, match="3 dimensions"):
        similarity(A[None], B, "dot")


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 24, 33, 384, 1023])
def test_unit_length_to_the_bit_whatever_the_batch(width: int) -> None:
    rows = (RNG.normal(size=(64, width)) * 10 ** RNG.uniform(-9, 20, (64, 1))).astype(np.float32)
    rows[3] = 0
    together = normalized(rows)
    for order in (slice(None), slice(None, None, -1), slice(5, 6), slice(10, 40, 3)):
        assert normalized(rows[order]).tobytes() == np.ascontiguousarray(together[order]).tobytes()
    transposed = np.asfortranarray(rows)
    assert np.ascontiguousarray(normalized(transposed)).tobytes() == together.tobytes()
    lengths = np.linalg.norm(together.astype(np.float64), axis=1)
    np.testing.assert_allclose(np.delete(lengths, 3), 1, rtol=2**-23)
    assert not together[3].any()


def test_unit_length_again_changes_nothing() -> None:
    rows = normalized(A)
    np.testing.assert_array_equal(normalized(rows), rows)
    assert np.abs(normalized(A * np.float32(1.001)) - rows).max() < 2**-23
