"""What happens to a picture before a peer sees it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from embedrt_bench.images.steps import Normalisation, Steps


def png(pixels: NDArray[Any], mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(file, "PNG")
    return file.getvalue()


def section(resize: dict[str, Any] | None, crop: tuple[int, int] | None) -> dict[str, Any]:
    cropped = None if crop is None else {"height": crop[0], "width": crop[1]}
    return {"resize": resize, "resample": "bicubic", "crop": cropped}


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Lines in red, columns in green."""
    lines, columns = np.mgrid[:height, :width]
    return np.stack([lines, columns, np.zeros_like(lines)], axis=2).astype(np.uint8)


def test_pixels_of_the_right_size_stay_as_they_are() -> None:
    image = picture(5, 7)
    np.testing.assert_array_equal(Steps(section(None, None), threads=1).pixels([png(image)]), image[None])


def test_grey_becomes_three_equal_channels() -> None:
    image = picture(5, 7)
    pixels = Steps(section(None, None), threads=1).pixels([png(image, "L")])
    assert pixels.shape == (1, 5, 7, 3)
    assert (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()


def test_a_crop_is_of_the_middle() -> None:
    pixels = Steps(section(None, (4, 3)), threads=1).pixels([png(picture(10, 20))])
    assert pixels[0, :, 0, 0].tolist() == [3, 4, 5, 6]
    assert pixels[0, 0, :, 1].tolist() == [8, 9, 10]


@pytest.mark.parametrize(
    ("resize", "size", "expected"),
    [
        ({"mode": "shortest_edge", "size": 10, "max": None}, (20, 33), (10, 16)),
        ({"mode": "shortest_edge", "size": 10, "max": None}, (33, 20), (16, 10)),
        ({"mode": "fixed", "height": 6, "width": 9}, (20, 33), (6, 9)),
    ],
)
def test_sizes_after_resizing(resize: dict[str, Any], size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert Steps(section(resize, None), threads=1).pixels([png(picture(*size))]).shape == (1, *expected, 3)


def test_threads_keep_the_order() -> None:
    images = [picture(4, 4) + number for number in range(9)]
    np.testing.assert_array_equal(Steps(section(None, None), threads=3).pixels([*map(png, images)]), np.stack(images))


def test_normalising() -> None:
    tensor = Normalisation([2.0, 1.0, 1.0], [-1.0, 0.25, 0.0]).of(picture(4, 5)[None])
    assert tensor.dtype == np.float32 and tensor.shape == (1, 3, 4, 5) and tensor.flags.c_contiguous
    assert tensor[0, 0, :, 0].tolist() == [-1.0, 1.0, 3.0, 5.0]
    assert tensor[0, 1, 0].tolist() == [0.25, 1.25, 2.25, 3.25, 4.25]
