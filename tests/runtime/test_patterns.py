"""The test pictures: the same bytes everywhere, unlike each other, and like photographs in what excites a network."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from embedrt._patterns import PATTERNS, pattern

# Golden vectors of files in use were computed from these bytes: a change here is a change of the file format.
DIGEST = "cf383f9c7746c3c9daa9abd2e5d73500c5386ff860abc4a9833594551c61078d"


def test_the_bytes_never_change() -> None:
    digest = hashlib.sha256()
    for index in range(PATTERNS):
        digest.update(pattern(index, 40, 56).tobytes())
    assert digest.hexdigest() == DIGEST


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 2), (33, 64)])
def test_any_size(height: int, width: int) -> None:
    for index in (*range(8), PATTERNS, 1000, 2**40):
        picture = pattern(index, height, width)
        assert picture.shape == (height, width, 3) and picture.dtype == np.uint8


def slope(picture: np.ndarray) -> float:
    """By which power of the frequency the power spectrum falls."""
    grey = picture.astype(np.float64).mean(2)
    size = len(grey)
    window = np.hanning(size)
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window * window[:, None])) ** 2
    radius = np.hypot(np.fft.fftfreq(size), np.fft.fftfreq(size)[:, None])
    edges = 2.0 ** np.arange(-6, 0)
    powers = [power[(radius >= low) & (radius < 2 * low)].mean() for low in edges[:-1]]
    return float(np.polyfit(np.log2(edges[:-1]), np.log2(powers), 1)[0])


def test_they_are_varied_and_natural() -> None:
    pictures = [pattern(index, 128, 128) for index in range(PATTERNS)]
    # Photographs: -2 to -3.5 (Field, 1987: about -2 in power; lenses and scaling make it steeper).
    assert -3.6 < np.median([slope(picture) for picture in pictures]) < -2
    means = [picture.mean() for picture in pictures]
    assert min(means) < 100 and max(means) > 140 and 100 < np.mean(means) < 140
    assert all(20 < picture.std() < 100 for picture in pictures)
    # No two alike, however they are lit.
    flat = np.array([picture.ravel() for picture in pictures], np.float64)
    alike = np.corrcoef(flat) - np.eye(PATTERNS)
    assert abs(alike).max() < 0.75
    # All values occur, and each channel is used.
    values = np.bincount(np.concatenate(pictures).ravel(), minlength=256)
    assert (values > 0).all()
    assert np.std(np.concatenate(pictures).reshape(-1, 3), axis=0).min() > 40
