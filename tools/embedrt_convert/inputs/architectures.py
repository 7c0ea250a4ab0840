"""Architectures by the names that libraries give them: what a file of weights alone does not say.

Widths, depths and kernels are in the weights. A name adds the family, what BatchNorm, padding and activations are, and
how the library's default weights want their pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Image

Floats3 = tuple[float, float, float]

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_LITE = ((127 / 255,) * 3, (128 / 255,) * 3)


# What the lowerings of these architectures call image_embedding.
EMBEDDING = "image_embedding is the vector that the classifier's last linear layer takes"


@dataclass(frozen=True)
class Preset:
    """Resize the shortest edge to `resize` (both edges, where `squash`), then crop the middle `size` by `size`."""

    size: int
    resize: int
    resample: str
    statistics: tuple[Floats3, Floats3]  # mean and standard deviation of values in 0…1
    squash: bool = False

    def image(self, image_size: tuple[int, int] | None = None) -> Image:
        """For pixels of another size (height, width), what is resized before the crop grows or shrinks with them."""
        height, width = image_size or (self.size, self.size)
        if self.squash:
            factors = height / self.size, width / self.size
            sides = [
                max(round(self.resize * factor), side) for factor, side in zip(factors, (height, width), strict=True)
            ]
            resize: Mapping[str, Any] = {"mode": "fixed", "height": sides[0], "width": sides[1]}
        else:
            edge = round(self.resize * max(height, width) / self.size)
            resize = {"mode": "shortest_edge", "size": edge, "max": None}
        mean, deviation = self.statistics
        return Image(
            height=height,
            width=width,
            resize=resize,
            resample=self.resample,
            crop={"height": height, "width": width},
            scale=tuple(1 / (255 * each) for each in deviation),  # type: ignore[arg-type]
            offset=tuple(-m / d for m, d in zip(mean, deviation, strict=True)),  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Architecture:
    """A library's name for a network, the config that its family's lowering reads, and its default preset."""

    name: str
    config: Mapping[str, Any]
    preset: Preset


def find(arch: str) -> Architecture:
    """The architecture of `library:name`, or of a plain name that one library alone has. Raises ConversionError."""
    library, colon, name = arch.rpartition(":")
    if colon and library not in _LIBRARIES:
        raise ConversionError(f"the architecture {arch} is of {library}; known: {', '.join(_LIBRARIES)}")
    found = [
        made
        for each, rows in _LIBRARIES.items()
        if library in ("", each)
        if (made := _match(each, rows, name)) is not None
    ]
    if not found:
        where = f"{library} " if library else ""
        known = "; ".join(f"{each}: {', '.join(row.known for row in rows)}" for each, rows in _LIBRARIES.items())
        raise ConversionError(f"{where}{name} is no architecture that is known. Known are {known}")
    if len(found) > 1:
        names = " or ".join(f"{each.config['library']}:{name}" for each in found)
        raise ConversionError(f"{name} is the name of several libraries' architectures: say {names}")
    return found[0]


@dataclass(frozen=True)
class _Row:
    """Architectures of one kind: what `pattern` matches; `known` says in words which those are.

    `presets` are tried in order: (pattern, preset).
    """

    pattern: str
    known: str
    config: Mapping[str, Any]
    presets: tuple[tuple[str, Preset], ...]


def _match(library: str, rows: tuple[_Row, ...], name: str) -> Architecture | None:
    for row in rows:
        if re.fullmatch(row.pattern, name):
            preset = next(preset for pattern, preset in row.presets if re.fullmatch(pattern, name))
            return Architecture(name, {**row.config, "library": library, "architecture": name}, preset)
    return None


def timm_preset(
    size: int, crop: float, resample: str = "bicubic", statistics: tuple[Floats3, Floats3] = _IMAGENET
) -> Preset:
    """As timm counts it: the crop is the part `crop` of what is resized."""
    return Preset(size, int(size / crop), resample, statistics)


def _efficientnet(eps: float, padding: str, act: str = "swish") -> dict[str, Any]:
    return {"model_type": "efficientnet", "batch_norm_eps": eps, "padding": padding, "hidden_act": act}


def _mobilenet_v3(size: str, eps: float, padding: str, act: str = "hard_swish") -> dict[str, Any]:
    return {
        "model_type": "mobilenet_v3",
        "size": size,
        "batch_norm_eps": eps,
        "padding": padding,
        "hidden_act": act,
    }


_CROPS = {224: 0.875, 240: 0.882, 260: 0.89, 300: 0.904, 380: 0.922, 456: 0.934, 528: 0.942, 600: 0.949, 672: 0.954}
_PLAIN, _SHARP = timm_preset(224, 0.875), timm_preset(224, 0.95)
_BY_SIZE = [timm_preset(size, crop) for size, crop in _CROPS.items()]


def _numbered(prefix: str, presets: list[Preset]) -> tuple[tuple[str, Preset], ...]:
    return tuple((f"{prefix}{number}", preset) for number, preset in enumerate(presets))


_TIMM_B = [
    _PLAIN,
    timm_preset(240, 0.9, statistics=_HALF),
    timm_preset(256, 0.875),
    timm_preset(288, 0.875),
    timm_preset(320, 0.875),
    replace(timm_preset(448, 1.0), squash=True),
    *_BY_SIZE[6:],
]
_TF_B = [*_BY_SIZE[:8], replace(_BY_SIZE[8], statistics=_HALF)]
_TF_LITE = [
    *(replace(preset, statistics=_HALF) for preset in _BY_SIZE[:3]),
    timm_preset(300, 0.904, "bilinear", _HALF),
    timm_preset(380, 0.92, "bilinear", _HALF),
]
_V1 = Preset(224, 256, "bilinear", _IMAGENET)
_V2 = Preset(224, 232, "bilinear", _IMAGENET)
_TORCHVISION_B = [
    Preset(224, 256, "bicubic", _IMAGENET),
    Preset(240, 255, "bilinear", _IMAGENET),
    Preset(288, 288, "bicubic", _IMAGENET),
    Preset(300, 320, "bicubic", _IMAGENET),
    Preset(380, 384, "bicubic", _IMAGENET),
    *(Preset(size, size, "bicubic", _IMAGENET) for size in (456, 528, 600)),
]

_TIMM = (
    _Row(
        r"resnet(18|26|34|50|101|152|200)|wide_resnet(50|101)_2",
        "resnet18 … resnet200, wide_resnet50_2, wide_resnet101_2",
        {"model_type": "resnet"},
        (
            (r"resnet26|resnet200|wide_resnet50_2", _PLAIN),
            (r"wide_resnet101_2", replace(_PLAIN, resample="bilinear")),
            (r".*", _SHARP),
        ),
    ),
    _Row(
        r"mobilenetv2_(035|050|075|100|110d|120d|140)",
        "mobilenetv2_035 … mobilenetv2_140",
        {"model_type": "mobilenet_v2"},
        ((r".*", _PLAIN),),
    ),
    _Row(
        r"efficientnet_b[0-8]",
        "efficientnet_b0 … efficientnet_b8",
        _efficientnet(1e-5, "half"),
        _numbered("efficientnet_b", _TIMM_B),
    ),
    _Row(
        r"tf_efficientnet_b[0-8]",
        "tf_efficientnet_b0 … tf_efficientnet_b8",
        _efficientnet(1e-3, "same"),
        _numbered("tf_efficientnet_b", _TF_B),
    ),
    _Row(
        r"efficientnet_lite[0-4]",
        "efficientnet_lite0 … efficientnet_lite4",
        _efficientnet(1e-5, "half", "relu6"),
        _numbered("efficientnet_lite", _BY_SIZE[:5]),
    ),
    _Row(
        r"tf_efficientnet_lite[0-4]",
        "tf_efficientnet_lite0 … tf_efficientnet_lite4",
        _efficientnet(1e-3, "same", "relu6"),
        _numbered("tf_efficientnet_lite", _TF_LITE),
    ),
    _Row(
        r"mobilenetv3_large_(075|100)",
        "mobilenetv3_large_075, _100",
        _mobilenet_v3("large", 1e-5, "half"),
        (
            (r".*_075", replace(_PLAIN, resample="bilinear")),
            (r".*", _PLAIN),
        ),
    ),
    _Row(
        r"mobilenetv3_small_(050|075|100)",
        "mobilenetv3_small_050, _075, _100",
        _mobilenet_v3("small", 1e-5, "half"),
        ((r".*", _PLAIN),),
    ),
    *(
        _Row(
            rf"tf_mobilenetv3_{size}_{widths}",
            f"tf_mobilenetv3_{size}_{known}",
            _mobilenet_v3(size, 1e-3, "same", act),
            ((r".*", timm_preset(224, 0.875, "bilinear", _HALF)),),
        )
        for size in ("large", "small")
        for widths, known, act in (("(075|100)", "075, _100", "hard_swish"), ("minimal_100", "minimal_100", "relu"))
    ),
    _Row(
        r"convnext_(atto|femto|pico|nano|tiny|small|base|large|xlarge)",
        "convnext_atto … convnext_xlarge",
        {"model_type": "convnext"},
        ((r"convnext_(nano|tiny|small)", _SHARP), (r".*", _PLAIN)),
    ),
)

_TORCHVISION = (
    _Row(
        r"resnet(18|34|50|101|152)|wide_resnet(50|101)_2",
        "resnet18 … resnet152, wide_resnet50_2, wide_resnet101_2",
        {"model_type": "resnet"},
        ((r"resnet(18|34)", _V1), (r".*", _V2)),
    ),
    _Row("mobilenet_v2", "mobilenet_v2", {"model_type": "mobilenet_v2"}, ((r".*", _V2),)),
    _Row(
        r"efficientnet_b[0-4]",
        "efficientnet_b0 … efficientnet_b4",
        _efficientnet(1e-5, "half"),
        _numbered("efficientnet_b", _TORCHVISION_B),
    ),
    _Row(
        r"efficientnet_b[5-7]",
        "efficientnet_b5 … efficientnet_b7",
        _efficientnet(1e-3, "half"),
        _numbered("efficientnet_b", _TORCHVISION_B),
    ),
    *(
        _Row(f"mobilenet_v3_{size}", f"mobilenet_v3_{size}", _mobilenet_v3(size, 1e-3, "half"), ((r".*", preset),))
        for size, preset in (("large", _V2), ("small", _V1))
    ),
    _Row(
        r"convnext_(tiny|small|base|large)",
        "convnext_tiny … convnext_large",
        {"model_type": "convnext"},
        (
            (r"convnext_tiny", replace(_V2, resize=236)),
            (r"convnext_small", replace(_V2, resize=230)),
            (r".*", _V2),
        ),
    ),
)

_EFFICIENTNET_PYTORCH = (
    _Row(
        r"efficientnet-b[0-8]",
        "efficientnet-b0 … efficientnet-b8",
        _efficientnet(1e-3, "same"),
        _numbered("efficientnet-b", [Preset(size, size, "bicubic", _IMAGENET) for size in _CROPS]),
    ),
)

_EFFICIENTNET_LITE_PYTORCH = (
    _Row(
        r"efficientnet-lite[0-4]",
        "efficientnet-lite0 … efficientnet-lite4",
        _efficientnet(1e-3, "same", "relu6"),
        _numbered(
            "efficientnet-lite", [Preset(size, size + 32, "bicubic", _LITE) for size in (224, 240, 260, 280, 300)]
        ),
    ),
)

_LIBRARIES: dict[str, tuple[_Row, ...]] = {
    "timm": _TIMM,
    "torchvision": _TORCHVISION,
    "efficientnet_pytorch": _EFFICIENTNET_PYTORCH,
    "efficientnet_lite_pytorch": _EFFICIENTNET_LITE_PYTORCH,
}
