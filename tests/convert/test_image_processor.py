"""preprocessor_config.json: what becomes of it, by class, and what is refused by name."""

import numpy as np
import pytest
from checkpoints import write_json

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.image_processor import read_image
from embedrt_convert.sources import Folder

SQUARE = {"mode": "fixed", "height": 224, "width": 224}


def read(folder, settings, model_type="vit", image_size=None):
    write_json(folder / "preprocessor_config.json", settings)
    return read_image(Folder(folder), model_type, image_size)[0]


def edge(size, longest=None):
    return {"mode": "shortest_edge", "size": size, "max": longest}


# Files as published, shortened to what differs: (settings, height, width, resize, resample, crop)
DINOV2 = {
    "image_processor_type": "BitImageProcessor",
    "size": {"shortest_edge": 256},
    "crop_size": {"height": 224, "width": 224},
    "resample": 3,
    "do_center_crop": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
PUBLISHED = {
    "dinov2": (DINOV2, 224, 224, edge(256), "bicubic", (224, 224)),
    "the oldest clip": (
        {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "resample": 3},
        *(224, 224, edge(224), "bicubic", (224, 224)),
    ),
    "clip by defaults": (
        {"image_processor_type": "CLIPImageProcessorFast"},
        *(224, 224, edge(224), "bicubic", (224, 224)),
    ),
    "vit without a class": (
        {"size": 384, "do_resize": True, "image_mean": [0.5, 0.5, 0.5]},
        *(384, 384, {**SQUARE, "height": 384, "width": 384}, "bilinear", None),
    ),
    "vit as the oldest name it": (
        {"image_processor_type": "ViTFeatureExtractor", "size": {"height": 224, "width": 224}},
        *(224, 224, SQUARE, "bilinear", None),
    ),
    "deit": (
        {"image_processor_type": "DeiTImageProcessor", "size": 256, "crop_size": 224},
        *(224, 224, {**SQUARE, "height": 256, "width": 256}, "bicubic", (224, 224)),
    ),
    "siglip": (
        {"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 384}, "do_center_crop": None},
        *(384, 384, {**SQUARE, "height": 384, "width": 384}, "bicubic", None),
    ),
    "dinov3": (
        {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": {"height": 224, "width": 224}, "resample": 2},
        *(224, 224, SQUARE, "bilinear", None),
    ),
    "convnext below 384": (
        {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3},
        *(224, 224, edge(256), "bicubic", (224, 224)),
    ),
    "convnext by a part of its own": (
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.95},
        *(224, 224, edge(235), "bicubic", (224, 224)),
    ),
    "convnext from 384 on": (
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}},
        *(384, 384, {**SQUARE, "height": 384, "width": 384}, "bicubic", None),
    ),
    "efficientnet": (
        {"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 224, "width": 224}, "resample": 0},
        *(224, 224, SQUARE, "nearest", None),
    ),
    "mobilenet": (
        {"image_processor_type": "MobileNetV2ImageProcessor", "do_reduce_labels": False},
        *(224, 224, edge(256), "bilinear", (224, 224)),
    ),
    "a list": ({"size": [200, 300], "resample": 1}, 200, 300, {**SQUARE, "height": 200, "width": 300}, "lanczos", None),
    "two edges": (
        {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256, "longest_edge": 600}},
        *(224, 224, edge(256, 600), "bicubic", (224, 224)),
    ),
    "no resizing": ({"do_resize": False, "do_center_crop": True, "crop_size": 64}, 64, 64, None, "bilinear", (64, 64)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_pixels(tmp_path, name):
    settings, height, width, resize, resample, crop = PUBLISHED[name]
    image = read(tmp_path, settings)
    assert (image.height, image.width, image.resize, image.resample) == (height, width, resize, resample)
    assert image.crop == (None if crop is None else {"height": crop[0], "width": crop[1]})


RED = 200.0


@pytest.mark.parametrize(
    ("settings", "red"),
    [
        (DINOV2, (RED / 255 - 0.485) / 0.229),
        ({"rescale_factor": 1 / 127.5, "do_normalize": False}, RED / 127.5),
        ({"do_rescale": False, "image_mean": [127.5] * 3, "image_std": 127.5}, (RED - 127.5) / 127.5),
        ({"do_rescale": False, "do_normalize": False}, RED),
        ({}, (RED / 255 - 0.5) / 0.5),
        ({"image_processor_type": "CLIPImageProcessor"}, (RED / 255 - 0.48145466) / 0.26862954),
        ({"image_processor_type": "DINOv3ViTImageProcessor"}, (RED / 255 - 0.485) / 0.229),
        (
            {"image_processor_type": "EfficientNetImageProcessor", "image_mean": [0.4] * 3, "image_std": [0.3] * 3},
            (RED / 255 - 0.4) / 0.3 / 0.3,
        ),
        (
            {
                "image_processor_type": "EfficientNetImageProcessor",
                "rescale_factor": 1 / 127.5,
                "rescale_offset": True,
                "include_top": False,
                "do_normalize": False,
            },
            RED / 127.5 - 1,
        ),
    ],
)
def test_what_becomes_of_a_byte(tmp_path, settings, red):
    image = read(tmp_path, settings)
    np.testing.assert_allclose(image.scale[0] * RED + image.offset[0], red, rtol=1e-12)


def test_every_channel_has_its_own(tmp_path):
    image = read(tmp_path, DINOV2)
    np.testing.assert_allclose(image.scale, 1 / 255 / np.array(DINOV2["image_std"]))
    np.testing.assert_allclose(image.offset, -np.array(DINOV2["image_mean"]) / DINOV2["image_std"])


def test_the_part_of_a_processor_goes_first(tmp_path):
    write_json(tmp_path / "processor_config.json", {"image_processor": {"size": 96}})
    assert read(tmp_path, {"size": 224}).height == 96
    write_json(tmp_path / "processor_config.json", {"processor_class": "CLIPProcessor"})
    assert read(tmp_path, {"size": 224}).height == 224


def test_without_a_file_it_is_said_how_to_get_one(tmp_path):
    with pytest.raises(ConversionError, match=r"no preprocessor_config\.json.*AutoImageProcessor.*save_pretrained"):
        read_image(Folder(tmp_path), "vit", None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_processor_type": "Siglip2ImageProcessor"}, "Siglip2ImageProcessor"),
        ({"image_processor_type": "ViTImageProcessor", "do_flip_channel_order": True}, "do_flip_channel_order"),
        ({"do_pad": True}, "do_pad True"),
        ({"crop_pct": 0.9}, "crop_pct 0.9"),
        ({"size_divisor": 32}, "size_divisor"),
        ({"auto_map": {"AutoImageProcessor": "remote.Processor"}}, "auto_map"),
        ({"size": {"shortest_edge": 224}}, "do_center_crop"),
        ({"do_resize": False}, "do_center_crop"),
        ({"size": {"longest_edge": 224}}, "longest_edge"),
        ({"size": {"max_height": 224, "max_width": 224}}, "max_height"),
        ({"size": {"height": 224}}, "a height and a width"),
        ({"size": 0}, "a height and a width"),
        ({"size": 224.0}, "a height and a width"),
        ({"size": 5000}, "5000 x 5000"),
        ({"size": {"shortest_edge": 300, "longest_edge": 200}, "do_center_crop": True, "crop_size": 9}, "longest_edge"),
        ({"do_center_crop": True}, "crop_size"),
        ({"resample": 6}, "resample 6"),
        ({"resample": "bicubic"}, "resample 'bicubic'"),
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_std": [0.5, 0.5, 0]}, "divides by 0"),
        ({"rescale_factor": "1/255"}, "rescale_factor"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"height": 9, "width": 9}}, "shortest_edge"),
        ({"image_processor_type": "ConvNextImageProcessor", "crop_pct": 1.5}, "crop_pct"),
    ],
)
def test_refused_by_name(tmp_path, settings, message):
    with pytest.raises(ConversionError, match=message):
        read(tmp_path, settings)


def test_an_unknown_model_without_a_class_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="image_processor_type None"):
        read(tmp_path, {"size": 224}, model_type="somethingnew")


def test_settings_without_effect_are_taken(tmp_path):
    settings = {"_valid_processor_keys": ["images"], "data_format": "channels_first", "do_pad": None, "device": None}
    assert read(tmp_path, {**DINOV2, **settings}) == read(tmp_path, DINOV2)


@pytest.mark.parametrize(
    ("settings", "wanted", "resize", "crop"),
    [
        (DINOV2, (518, 518), edge(592), (518, 518)),
        (DINOV2, (112, 224), edge(256), (112, 224)),
        ({"size": 224}, (96, 128), {**SQUARE, "height": 96, "width": 128}, None),
        (
            {"image_processor_type": "DeiTImageProcessor"},
            (448, 112),
            {**SQUARE, "height": 512, "width": 128},
            (448, 112),
        ),
        ({**DINOV2, "size": {"shortest_edge": 256, "longest_edge": 600}}, (448, 448), edge(512, 1200), (448, 448)),
        ({"do_resize": False, "do_center_crop": True, "crop_size": 64}, (32, 48), None, (32, 48)),
    ],
)
def test_another_size_scales_both_steps(tmp_path, settings, wanted, resize, crop):
    image = read(tmp_path, settings, image_size=wanted)
    assert (image.height, image.width) == wanted and image.resize == resize
    assert image.crop == (None if crop is None else {"height": crop[0], "width": crop[1]})


@pytest.mark.parametrize("wanted", [(0, 224), (224, 4097)])
def test_another_size_must_be_one(tmp_path, wanted):
    with pytest.raises(ConversionError, match=f"{wanted[0]} x {wanted[1]}"):
        read(tmp_path, DINOV2, image_size=wanted)


def test_dinov3_says_where_it_rounds(tmp_path):
    write_json(tmp_path / "preprocessor_config.json", {"image_processor_type": "DINOv3ViTImageProcessor"})
    (note,) = read_image(Folder(tmp_path), "dinov3_vit", None)[1]
    assert "rounded" in note
