"""Rank correlation and unit vectors."""

from __future__ import annotations

import numpy as np
import pytest

from embedrt_bench import quality


def test_spearman_of_monotone_values_is_one() -> None:
    x = np.array([3.0, 1.0, 2.0, 10.0])
    assert quality.spearman(x, np.exp(x)) == pytest.approx(1.0)
    assert quality.spearman(x, -x) == pytest.approx(-1.0)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    # Ranks 1, 2.5, 2.5, 4 beside 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
    found = quality.spearman(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5.0))


def test_unit_vectors() -> None:
    vectors = quality.unit(np.array([[3.0, 4.0], [0.0, 2.0]], np.float32))
    assert vectors.tolist() == [[0.6, 0.8], [0.0, 1.0]]
