"""The map of pictures, drawn by matplotlib and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from embedrt_bench.errors import BenchError
from embedrt_bench.images import map as picture_map


def test_a_map_is_drawn(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(9, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    picture_map.draw(vectors, [f"picture {index}" for index in range(9)], tmp_path / "map.png", "nine")
    with Image.open(tmp_path / "map.png") as drawn:
        assert drawn.format == "PNG" and len(drawn.convert("L").getcolors()) > 16  # not an empty page


def test_names_are_those_of_the_lines(tmp_path):
    (tmp_path / "names.txt").write_text("n01_tench.JPEG\nn02_black_swan.JPEG\n", encoding="utf-8")
    paths = [tmp_path / "001.jpg", tmp_path / "000.jpg"]
    assert picture_map._names(paths, tmp_path / "names.txt") == ["black swan", "tench"]
    assert picture_map._names(paths, None) == ["001", "000"]
    with pytest.raises(BenchError, match="no name for 002"):
        picture_map._names([tmp_path / "002.jpg"], tmp_path / "names.txt")
