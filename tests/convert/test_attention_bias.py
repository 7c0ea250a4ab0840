"""Tables of attention's biases by distance, beside the rules written out number by number."""

import numpy as np
import pytest

from embedrt_convert.archs._bias import alibi, bucketed


def bucket(distance: int, buckets: int, farthest: int) -> int:
    """T5's rule in whole numbers: (n / exact)^ranges is compared with (farthest / exact)^k without a logarithm."""
    half = buckets // 2
    exact = half // 2
    ranges, n = half - exact, abs(distance)
    if n >= exact:
        k = 0
        while k < ranges and n**ranges * exact ** (k + 1) >= farthest ** (k + 1) * exact**ranges:
            k += 1
        n = exact + min(k, ranges - 1)
    return n + (half if distance > 0 else 0)


@pytest.mark.parametrize(("buckets", "farthest"), [(32, 128), (8, 20), (16, 64), (32, 100), (12, 50), (64, 512)])
@pytest.mark.parametrize("tokens", [1, 2, 9, 700])
def test_buckets(buckets, farthest, tokens):
    table = np.arange(buckets * 3, dtype=np.float32).reshape(buckets, 3)
    made = bucketed(table, tokens, farthest)
    expected = [table[bucket(distance, buckets, farthest)] for distance in range(1 - tokens, tokens)]
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, np.array(expected).T)


@pytest.mark.parametrize(
    ("heads", "exponents"),
    [
        (1, [8]),
        (2, [4, 8]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (6, [2, 4, 6, 8, 1, 3]),
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
    ],
)
def test_alibi(heads, exponents):
    expected = -np.outer(2.0 ** -np.array(exponents), [3, 2, 1, 0, 1, 2, 3])
    made = alibi(heads, 4)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, rtol=1e-7, atol=0)
