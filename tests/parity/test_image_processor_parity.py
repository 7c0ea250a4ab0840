"""Processors of transformers beside what is read of their files: sizes, filters, and what becomes of a colour."""

import json

import numpy as np
import pytest
import transformers
from PIL import Image as Picture

from embedrt_convert.inputs.image_processor import read_image
from embedrt_convert.sources import Folder

COLOUR = (200, 90, 31)
CASES = {
    "vit": ("ViTImageProcessor", {}),
    "vit, raw": ("ViTImageProcessor", {"do_rescale": False, "do_normalize": False, "size": 64}),
    "vit, cropped": ("ViTImageProcessor", {"do_center_crop": True, "crop_size": [48, 32], "size": [64, 80]}),
    "deit": ("DeiTImageProcessor", {}),
    "dinov2": ("BitImageProcessor", {"image_mean": [0.485, 0.456, 0.406], "size": {"shortest_edge": 256}}),
    "clip": ("CLIPImageProcessor", {}),
    "clip, numbers": ("CLIPImageProcessor", {"size": 96, "crop_size": 64, "resample": 2}),
    "siglip": ("SiglipImageProcessor", {"size": {"height": 96, "width": 96}}),
    "siglip by defaults": ("SiglipImageProcessor", {}),
    "dinov3": ("DINOv3ViTImageProcessor", {}),
    "convnext": ("ConvNextImageProcessor", {}),
    "convnext, below 384": ("ConvNextImageProcessor", {"size": 224, "crop_pct": 0.95, "resample": 1}),
    "efficientnet": ("EfficientNetImageProcessor", {}),
    "efficientnet, offset": (
        "EfficientNetImageProcessor",
        {"rescale_factor": 1 / 127.5, "rescale_offset": True, "include_top": False, "do_center_crop": True},
    ),
    "efficientnet, not normalised": ("EfficientNetImageProcessor", {"do_normalize": False, "size": 96}),
    "mobilenet v1": ("MobileNetV1ImageProcessor", {}),
    "mobilenet v2": ("MobileNetV2ImageProcessor", {"size": {"shortest_edge": 96}, "crop_size": 80}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_colour_and_the_size_are_those_of_the_processor(tmp_path, name):
    kind, settings = CASES[name]
    processor = getattr(transformers, f"{kind}Pil", None) or getattr(transformers, kind)
    processor = processor(**settings)
    processor.save_pretrained(tmp_path)
    image, _ = read_image(Folder(tmp_path), "vit", None)
    expected = processor(Picture.new("RGB", (500, 400), COLOUR), return_tensors="np")["pixel_values"][0]
    assert expected.shape == (3, image.height, image.width)
    affine = np.array(image.scale) * COLOUR + np.array(image.offset)
    np.testing.assert_allclose(np.broadcast_to(affine[:, None, None], expected.shape), expected, rtol=0, atol=2e-5)
    assert image.resample == transformers.image_utils.PILImageResampling(processor.resample).name.lower()


@pytest.mark.parametrize("name", CASES)
def test_without_its_settings_a_class_does_the_same(tmp_path, name):
    kind, settings = CASES[name]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    processor = getattr(transformers, f"{kind}Pil", None) or getattr(transformers, kind)
    processor(**settings).save_pretrained(tmp_path / "a")
    stated = json.dumps({"image_processor_type": kind, **settings})
    (tmp_path / "b" / "preprocessor_config.json").write_text(stated, encoding="utf-8")
    assert read_image(Folder(tmp_path / "a"), "vit", None) == read_image(Folder(tmp_path / "b"), "vit", None)
