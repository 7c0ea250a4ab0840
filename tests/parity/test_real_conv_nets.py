"""Real weights of EfficientNet-Lite0 on real pictures: how many of their classes come first, in fp32 and int8.

EMBEDRT_TEST_MODELS is a folder with efficientnet-lite0.pth, EMBEDRT_TEST_DATA one with images/; else: skipped.
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
from embedrt_convert.writer import encode_json


@pytest.fixture(scope="module")
def pictures():
    """(pixels as the architecture wants them, class of each picture: its file's name)"""
    files = sorted(required("EMBEDRT_TEST_DATA", "images").glob("*.jpg"))
    image = architectures.find("efficientnet-lite0").preset.image()
    config = parse_image_config(encode_json(section(image)), (image.height, image.width), None)
    return np.stack([prepare(file, config) for file in files]), [int(file.stem) for file in files]


@pytest.mark.parametrize("quant", ["fp32", "int8"])
def test_the_classes_of_pictures(pictures, quant, tmp_path):
    weights = required("EMBEDRT_TEST_MODELS", "efficientnet-lite0.pth")
    made = convert(weights, tmp_path / "lite0.embedrt", quant=quant, arch="efficientnet-lite0", classifier=True)
    pixels, classes = pictures
    logits = _core.Model(str(made.path)).run_images(pixels, "logits")
    # ImageNet's validation pictures: 75 % of them are right.
    assert (logits.argmax(axis=1) == classes).mean() >= 0.8
