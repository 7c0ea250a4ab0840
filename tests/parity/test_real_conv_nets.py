"""Real weights of EfficientNet-Lite0 on real pictures: how many of their classes come first, in fp32 and int8.

EMBEDRT_TEST_MODELS is a folder with efficientnet-lite0.pth, EMBEDRT_TEST_DATA one beside images/; else: skipped.
"""

import numpy as np
import pytest
from test_real_models import required

from embedrt import _core
from embedrt._image import prepare
from embedrt._image_config import parse_image_config
from embedrt_convert import convert
from embedrt_convert.image import section
from embedrt_convert.inputs import architectures
from embedrt_convert.quality import cosine
from embedrt_convert.writer import encode_json


@pytest.fixture(scope="module")
def pictures():
    """(pixels as the architecture wants them, class of each picture: its file's name)"""
    files = sorted(required("EMBEDRT_TEST_DATA", "../images").glob("*.jpg"))
    image = architectures.find("efficientnet-lite0").preset.image()
    config = parse_image_config(encode_json(section(image)), (image.height, image.width), None)
    return np.stack([prepare(file, config) for file in files]), [int(file.stem) for file in files]


def test_the_classes_of_pictures(pictures, tmp_path):
    """The bars are of 50 pictures; calibrated on generated ones, so none of these has been seen."""
    weights = required("EMBEDRT_TEST_MODELS", "efficientnet-lite0.pth")
    pixels, classes = pictures
    logits, right = {}, {}
    for quant in ("fp32", "int8"):
        path = tmp_path / f"{quant}.embedrt"
        convert(weights, path, quant=quant, arch="efficientnet-lite0", classifier=True)
        logits[quant] = _core.Model(str(path)).run_images(pixels, "logits").astype(np.float64)
        right[quant] = int((logits[quant].argmax(axis=1) == classes).sum())
    assert len(classes) == 50 and right["fp32"] >= 43 and right["int8"] >= 42
    assert cosine(logits["fp32"], logits["int8"]).mean() >= 0.995
