"""How a checkpoint's image processor turns a picture into pixels and normalises them: preprocessor_config.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Image
from embedrt_convert.sources.files import Files

Size = tuple[int, int]  # height, width
Steps = tuple[Mapping[str, Any] | None, Size | None]  # resize as `Image` has it; what is cropped to

MAX_SIDE = 4096  # of the pixels that a program takes

_HALF = (0.5, 0.5, 0.5)
_IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
_OPENAI = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
_RESAMPLES = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by Pillow's numbers
_BILINEAR, _BICUBIC = 2, 3

# What every processor of transformers does unless its class or its file says otherwise.
_COMMON: dict[str, Any] = {
    "do_convert_rgb": True,
    "do_resize": True,
    "size": None,
    "default_to_square": True,
    "resample": _BILINEAR,
    "do_center_crop": False,
    "crop_size": None,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": _HALF,
    "image_std": _HALF,
}
_EDGE_AND_CROP = {"default_to_square": False, "do_center_crop": True, "crop_size": 224}
_CLIP = {**_EDGE_AND_CROP, **_OPENAI, "size": 224, "resample": _BICUBIC}
_MOBILENET = {**_EDGE_AND_CROP, "size": 256}
# Each class's own defaults, without the suffixes of its variants: "Fast" and "Pil".
_PROCESSORS: dict[str, dict[str, Any]] = {
    "ViTImageProcessor": {"size": 224},
    "DeiTImageProcessor": {"size": 256, "resample": _BICUBIC, "do_center_crop": True, "crop_size": 224},
    "BitImageProcessor": _CLIP,
    "CLIPImageProcessor": _CLIP,
    "SiglipImageProcessor": {"size": {"height": 224, "width": 224}, "default_to_square": False, "resample": _BICUBIC},
    "DINOv3ViTImageProcessor": {**_IMAGENET, "size": 224},
    "ConvNextImageProcessor": {
        "size": 384,
        "default_to_square": False,
        "resample": _BICUBIC,
        "crop_pct": 224 / 256,
    },
    "EfficientNetImageProcessor": {
        "size": 346,
        "resample": _BICUBIC,
        "crop_size": 289,
        "rescale_offset": False,
        "include_top": True,
    },
    "MobileNetV1ImageProcessor": _MOBILENET,
    "MobileNetV2ImageProcessor": _MOBILENET,
    # Of a graph: what its pictures are like must be stated.
    "ImageProcessor": {"image_mean": None, "image_std": None},
}
# The class where no file names one, as transformers has it.
_OF_MODEL_TYPE = {
    "vit": "ViTImageProcessor",
    "deit": "DeiTImageProcessor",
    "dinov2": "BitImageProcessor",
    "dinov3_vit": "DINOv3ViTImageProcessor",
    "clip": "CLIPImageProcessor",
    "siglip": "SiglipImageProcessor",
    "convnext": "ConvNextImageProcessor",
    "convnextv2": "ConvNextImageProcessor",
    "resnet": "ConvNextImageProcessor",
    "regnet": "ConvNextImageProcessor",
    "efficientnet": "EfficientNetImageProcessor",
    "mobilenet_v1": "MobileNetV1ImageProcessor",
    "mobilenet_v2": "MobileNetV2ImageProcessor",
    "onnx": "ImageProcessor",
}
# Keys that do not change the pixels of one picture.
_WITHOUT_EFFECT = {
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "model_input_names",
    "_valid_processor_keys",
    "data_format",
    "input_data_format",
    "return_tensors",
    "device",
    "disable_grouping",
    "image_seq_length",
    "pad_size",
    "do_reduce_labels",
    "use_fast",
}


def read_image(files: Files, model_type: str, image_size: Size | None) -> tuple[Image, tuple[str, ...]]:
    """The pixels that the folder's processor makes, and remarks for the user.

    `image_size` asks for other pixels than the processor's: they are cropped to it, and what is resized before is
    scaled with it: a fixed size by height and width each, a shortest edge by the larger of the two factors, so that a
    square picture still fills the crop. Raises ConversionError when the folder does not say, or something is not known.
    """
    where, stated = _stated(files)
    kind = _kind(where, stated, model_type)
    settings = {**_COMMON, **_PROCESSORS[kind]}
    for key, value in stated.items():
        if key in settings:
            settings[key] = settings[key] if value is None else value
        elif key not in _WITHOUT_EFFECT and value not in (None, False):
            raise ConversionError(f"{where} has {key} {value!r}, which is not supported for {kind}")
    resize, crop = _steps(where, settings)
    if image_size is not None:
        resize, crop = _scaled(resize, crop, image_size)
    height, width = crop if crop else (resize["height"], resize["width"]) if resize else (0, 0)
    if max(height, width) > MAX_SIDE:
        raise ConversionError(f"{where} makes {height} x {width} pixels; at most {MAX_SIDE} x {MAX_SIDE} are supported")
    resample = settings["resample"]
    if type(resample) is not int or not 0 <= resample < len(_RESAMPLES):
        raise ConversionError(f"{where} has resample {resample!r}; known: 0 to {len(_RESAMPLES) - 1}")
    scale, offset = _affine(where, settings)
    image = Image(
        height=height,
        width=width,
        resize=resize,
        resample=_RESAMPLES[resample],
        crop=None if crop is None else {"height": crop[0], "width": crop[1]},
        scale=scale,
        offset=offset,
    )
    notes: tuple[str, ...] = ()
    if kind == "DINOv3ViTImageProcessor" and resize:
        notes = (f"{kind} resizes numbers that are not rounded; here a resized picture is rounded to bytes",)
    return image, notes


def _stated(files: Files) -> tuple[str, dict[str, Any]]:
    """(the file, what it says). transformers prefers the part of a processor that has several."""
    if files.has("processor_config.json"):
        stated = files.json("processor_config.json").get("image_processor")
        if isinstance(stated, dict):
            return f"processor_config.json of {files.label}", stated
    if not files.has("preprocessor_config.json"):
        raise ConversionError(
            f"{files.label} has no preprocessor_config.json, so how a picture becomes pixels is not known: save the "
            "model's image processor into the folder (AutoImageProcessor.from_pretrained(...).save_pretrained(folder))"
        )
    return f"preprocessor_config.json of {files.label}", files.json("preprocessor_config.json")


def _kind(where: str, stated: Mapping[str, Any], model_type: str) -> str:
    name = stated.get("image_processor_type") or stated.get("feature_extractor_type") or _OF_MODEL_TYPE.get(model_type)
    kind = str(name).removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")
    if kind not in _PROCESSORS:
        raise ConversionError(f"{where} has image_processor_type {name!r}; known: {', '.join(_PROCESSORS)}")
    return kind


def _steps(where: str, settings: Mapping[str, Any]) -> Steps:
    crop = _square(where, "crop_size", settings["crop_size"]) if settings["do_center_crop"] else None
    resize = _resize(where, settings) if settings["do_resize"] else None
    if "crop_pct" in settings and resize:
        resize, inner = _by_crop_pct(where, settings, resize)
        crop = crop or inner
    if crop is None and (resize is None or resize["mode"] != "fixed"):
        raise ConversionError(
            f"{where} leaves the number of pixels to each picture; it must have do_center_crop with a crop_size, or "
            "do_resize to a height and a width"
        )
    return resize, crop


def _resize(where: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    size = settings["size"]
    if type(size) is int and not settings["default_to_square"]:
        size = {"shortest_edge": size}
    if (
        isinstance(size, dict)
        and size.get("shortest_edge") is not None
        and set(size)
        <= {
            "shortest_edge",
            "longest_edge",
        }
    ):
        edge, longest = size["shortest_edge"], size.get("longest_edge")
        if not _is_side(edge) or not (longest is None or (_is_side(longest) and longest >= edge)):
            raise ConversionError(f"{where} has size {size!r}, which is not a number of pixels")
        return {"mode": "shortest_edge", "size": edge, "max": longest}
    height, width = _square(where, "size", size)
    return {"mode": "fixed", "height": height, "width": width}


def _square(where: str, key: str, size: Any) -> Size:
    """A size of two sides: {"height", "width"}, a list of both, or one number for both."""
    if type(size) is int:
        size = [size, size]
    if isinstance(size, dict) and set(size) == {"height", "width"}:
        size = [size["height"], size["width"]]
    if not isinstance(size, list | tuple) or len(size) != 2 or not all(map(_is_side, size)):
        raise ConversionError(f"{where} has {key} {size!r}; it must have a height and a width")
    return size[0], size[1]


def _is_side(value: Any) -> bool:
    return type(value) is int and value >= 1


def _by_crop_pct(where: str, settings: Mapping[str, Any], resize: Mapping[str, Any]) -> Steps:
    """ConvNeXt's rule: below 384 pixels the crop is that part of the resized picture; from there on it is warped."""
    part = settings["crop_pct"]
    if resize["mode"] != "shortest_edge" or resize["max"] is not None:
        raise ConversionError(f"{where} has size {settings['size']!r}; with crop_pct it must be a shortest_edge")
    if type(part) not in (int, float) or not 0 < part <= 1:
        raise ConversionError(f"{where} has crop_pct {part!r}; it must be above 0 and at most 1")
    edge = resize["size"]
    if edge >= 384:
        return {"mode": "fixed", "height": edge, "width": edge}, None
    return {**resize, "size": int(edge / part)}, (edge, edge)


def _scaled(resize: Mapping[str, Any] | None, crop: Size | None, wanted: Size) -> Steps:
    height, width = wanted
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ConversionError(f"image size {height} x {width}: each side must be 1 to {MAX_SIDE} pixels")
    if resize is None:
        return None, wanted
    if crop is None:
        return {"mode": "fixed", "height": height, "width": width}, None
    down, across = height / crop[0], width / crop[1]
    if resize["mode"] == "fixed":
        sides = {"height": round(resize["height"] * down), "width": round(resize["width"] * across)}
        return {**resize, **sides}, wanted
    scaled = {key: resize[key] and round(resize[key] * max(down, across)) for key in ("size", "max")}
    return {**resize, **scaled}, wanted


def _affine(where: str, settings: Mapping[str, Any]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """(scale, offset) for each channel: what rescaling and normalising make of a byte."""
    factor, shift = 1.0, 0.0
    if settings["do_rescale"]:
        factor = _numbers(where, "rescale_factor", settings["rescale_factor"])[0]
        shift = -1.0 if settings.get("rescale_offset") else 0.0
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    deviation = _numbers(where, "image_std", settings["image_std"])
    if 0 in deviation:
        raise ConversionError(f"{where} has image_std {settings['image_std']!r}, which divides by 0")
    if settings["do_normalize"]:
        mean, std = _numbers(where, "image_mean", settings["image_mean"]), deviation
    # EfficientNet's classifiers were trained on pixels divided twice.
    twice = deviation if settings.get("include_top") else (1.0, 1.0, 1.0)
    parts = [(factor / (s * t), (shift - m) / (s * t)) for m, s, t in zip(mean, std, twice, strict=True)]
    (r, r0), (g, g0), (b, b0) = parts
    return (r, g, b), (r0, g0, b0)


def _numbers(where: str, key: str, value: Any) -> tuple[float, float, float]:
    """Three numbers, or one for all channels."""
    values = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(values) != 3 or not all(type(each) in (int, float) and math.isfinite(each) for each in values):
        raise ConversionError(f"{where} has {key} {value!r}; it must be a number for each of red, green and blue")
    return float(values[0]), float(values[1]), float(values[2])
