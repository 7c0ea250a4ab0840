"""Which pictures are measured, and what peers calibrate on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedrt_bench.errors import BenchError
from embedrt_bench.images import samples

SECTION = {"resize": None, "resample": "bilinear", "crop": None, "height": 4, "width": 6}


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        Image.new("RGB", (6, 4), (number, 0, 255)).save(folder / f"{number:02d}.png")


def test_every_other_picture_is_for_calibration(tmp_path: Path) -> None:
    fill(tmp_path, 17)
    (tmp_path / "names.txt").write_text("no picture", "utf-8")
    found = samples.find(tmp_path, tmp_path / "cache")
    assert [file.name for file in found.measured] == [f"{number:02d}.png" for number in range(0, 17, 2)]
    assert [file.name for file in found.calibration] == [f"{number:02d}.png" for number in range(1, 17, 2)]


def test_calibration_tensors_are_normalised_pictures(tmp_path: Path) -> None:
    fill(tmp_path, 16)
    tensors = samples.find(tmp_path, tmp_path).tensors(SECTION, {"scale": [1.0, 1.0, 2.0], "offset": [0.5, 0.0, -10.0]})
    assert tensors.shape == (8, 3, 4, 6)
    np.testing.assert_array_equal(tensors[:, 0, 0, 0], [number + 0.5 for number in range(1, 16, 2)])
    assert (tensors[:, 2] == 500.0).all()


def test_the_digest_follows_the_calibration_pictures_alone(tmp_path: Path) -> None:
    fill(tmp_path, 16)
    first = samples.find(tmp_path, tmp_path).digest()
    Image.new("RGB", (6, 4)).save(tmp_path / "04.png")
    assert samples.find(tmp_path, tmp_path).digest() == first
    Image.new("RGB", (6, 4)).save(tmp_path / "05.png")
    assert samples.find(tmp_path, tmp_path).digest() != first


def test_without_a_folder_pictures_are_made_once(tmp_path: Path) -> None:
    made = samples.find(None, tmp_path)
    assert "synthetic" in made.label
    assert len(made.measured) == len(made.calibration) == 24
    with Image.open(made.measured[0]) as picture:
        assert (picture.format, picture.size) == ("JPEG", (500, 375))
    assert samples.find(None, tmp_path) == made
    assert len({file.read_bytes() for file in [*made.measured, *made.calibration]}) == 48


@pytest.mark.parametrize("name", ["few", "none"])
def test_too_few_pictures_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "few").mkdir()
    fill(tmp_path / "few", 15)
    with pytest.raises(BenchError, match=f"{name} has (15|0) pictures"):
        samples.find(tmp_path / name, tmp_path)
