"""Pixels against the Pillow processors of transformers: equal, each of them, before rescaling and normalising.

EMBEDRT_TEST_DATA is a folder beside which there is one of photographs, images/*.jpg; without it those are skipped.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.image_utils import load_image
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil
from transformers.models.mobilenet_v2.image_processing_pil_mobilenet_v2 import MobileNetV2ImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from embedrt._image import prepare
from embedrt._image_config import ImageConfig, ShortestEdge, Size
from embedrt._patterns import pattern


def fixed(height: int, width: int, resample: str) -> ImageConfig:
    return ImageConfig(Size(height, width), Size(height, width), resample, None)


def cropped(edge: int, height: int, width: int, resample: str, longest: int | None = None) -> ImageConfig:
    size = Size(height, width)
    return ImageConfig(size, ShortestEdge(edge, longest), resample, size)


# Each processor with its own defaults or other settings, and what an `image` section says of the same.
CASES: dict[str, tuple[Any, ImageConfig]] = {
    "bit": (BitImageProcessorPil(), cropped(224, 224, 224, "bicubic")),
    "dinov2": (BitImageProcessorPil(size={"shortest_edge": 256}), cropped(256, 224, 224, "bicubic")),
    "odd crop": (
        BitImageProcessorPil(size={"shortest_edge": 97}, crop_size={"height": 65, "width": 40}),
        cropped(97, 65, 40, "bicubic"),
    ),
    "crop beyond": (
        BitImageProcessorPil(size={"shortest_edge": 50}, crop_size={"height": 75, "width": 98}),
        cropped(50, 75, 98, "bicubic"),
    ),
    "longest edge": (
        BitImageProcessorPil(size={"shortest_edge": 60, "longest_edge": 90}, crop_size={"height": 61, "width": 70}),
        cropped(60, 61, 70, "bicubic", longest=90),
    ),
    "vit": (ViTImageProcessorPil(), fixed(224, 224, "bilinear")),
    "clip": (CLIPImageProcessorPil(), cropped(224, 224, 224, "bicubic")),
    "siglip": (SiglipImageProcessorPil(), fixed(224, 224, "bicubic")),
    "convnext 224": (
        ConvNextImageProcessorPil(size={"shortest_edge": 224}, crop_pct=0.875),
        cropped(256, 224, 224, "bicubic"),
    ),
    "convnext 300": (
        ConvNextImageProcessorPil(size={"shortest_edge": 300}, crop_pct=0.95, resample=Image.Resampling.BILINEAR),
        cropped(int(300 / 0.95), 300, 300, "bilinear"),
    ),
    "convnext 384": (ConvNextImageProcessorPil(), fixed(384, 384, "bicubic")),
    "efficientnet": (EfficientNetImageProcessorPil(), fixed(346, 346, "bicubic")),
    "efficientnet nearest": (
        EfficientNetImageProcessorPil(resample=Image.Resampling.NEAREST, size={"height": 240, "width": 201}),
        fixed(240, 201, "nearest"),
    ),
    "mobilenet": (MobileNetV2ImageProcessorPil(), cropped(256, 224, 224, "bilinear")),
    "deit": (DeiTImageProcessorPil(), ImageConfig(Size(224, 224), Size(256, 256), "bicubic", Size(224, 224))),
    "lanczos": (SiglipImageProcessorPil(resample=Image.Resampling.LANCZOS), fixed(224, 224, "lanczos")),
    "box": (SiglipImageProcessorPil(resample=Image.Resampling.BOX), fixed(224, 224, "box")),
    "hamming": (SiglipImageProcessorPil(resample=Image.Resampling.HAMMING), fixed(224, 224, "hamming")),
}
SHAPES = [(1, 1), (2, 3), (3, 2), (5, 5), (224, 224), (225, 223), (256, 256), (60, 90), (90, 60), (333, 1), (41, 640)]
# Only for small sizes: for others the reference needs a gigabyte.
LONG = [(1, 4000), (4000, 3)]


def reference(processor: Any, image: Any) -> np.ndarray:
    # EfficientNet normalises a second time where it is to classify.
    options = {"include_top": False} if isinstance(processor, EfficientNetImageProcessorPil) else {}
    pixels = processor(image, do_rescale=False, do_normalize=False, **options)["pixel_values"]
    return np.moveaxis(np.asarray(pixels)[0], 0, -1)


def photographs() -> list[pathlib.Path]:
    folder = pathlib.Path(os.environ.get("EMBEDRT_TEST_DATA", "/nowhere/x")).parent / "images"
    found = sorted(folder.glob("*.jpg"))
    if not found:
        pytest.skip(f"EMBEDRT_TEST_DATA is not set or has no {folder}/*.jpg beside it")
    return found


def own(image: Any, config: ImageConfig) -> np.ndarray:
    return prepare(image, config)


@pytest.mark.parametrize("name", CASES)
def test_photographs(name: str) -> None:
    processor, config = CASES[name]
    paths = photographs()
    # Each of them once at least: the processors differ in how they resize, so a few for each are enough.
    for path in paths if name in ("dinov2", "vit") else paths[len(name) % 7 :: 7]:
        np.testing.assert_array_equal(own(path, config), reference(processor, load_image(str(path))))


@pytest.mark.parametrize("name", CASES)
def test_odd_shapes(name: str) -> None:
    processor, config = CASES[name]
    small = config.size.height < 100
    for height, width in SHAPES + (LONG if small else []):
        if name == "longest edge" and (height, width) in ((333, 1), *LONG):
            continue  # the reference would resize to no pixels at all, and fails
        picture = pattern(height + width, height, width)
        want = reference(processor, Image.fromarray(picture))
        np.testing.assert_array_equal(own(picture, config), want, err_msg=f"{height} x {width}")


def test_long_and_thin_pictures_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """In strips of a single column; the reference has room for all."""
    processor, config = CASES["odd crop"]
    picture = pattern(3, 4000, 3)
    want = reference(processor, Image.fromarray(picture))
    monkeypatch.setattr("embedrt._image._MOST_PIXELS", 97 * 4000)
    np.testing.assert_array_equal(own(picture, config), want)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_modes_and_orientations(mode: str, orientation: int, tmp_path: pathlib.Path) -> None:
    processor, config = CASES["odd crop"]
    picture = Image.fromarray(pattern(orientation, 50, 70)).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.fromarray(pattern(1, 50, 70)).convert("L"))
    picture.getexif()[0x0112] = orientation
    upright = load_image(picture)
    np.testing.assert_array_equal(own(picture, config), reference(processor, upright))
