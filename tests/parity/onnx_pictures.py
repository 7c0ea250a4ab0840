"""Tiny random image encoders, as the exporters of torch see them: normalised pixels in, tensors out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cpu_torchvision  # noqa: F401  (before timm and torchvision)
import numpy as np
import timm.models.vision_transformer as timm_vit
import torch
import torchvision.models.regnet as tv_regnet
import transformers
from conv_nets import CLASSES, PEERS
from conv_nets import randomise as randomise_network
from image_models import MEAN, STD, normalised, random_pixels
from numpy.typing import NDArray
from onnx_texts import randomise
from torch import nn


@dataclass(frozen=True)
class ImageModel:
    """A module that takes float32 pixels [images, 3, height, width] and returns one tensor for each of `outputs`."""

    module: nn.Module
    size: tuple[int, int]
    outputs: tuple[str, ...]
    inputs: tuple[str, ...] = ("pixel_values",)
    kind = "image"
    dynamic = (0,)

    def feeds(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """One image [height, width, 3], normalised, under the name of the graph's input."""
        return {self.inputs[0]: normalised(pixels[None]).numpy()}

    def example(self) -> dict[str, torch.Tensor]:
        return {self.inputs[0]: normalised(random_pixels(self.size, 2))}

    def inputs_to_compare(self) -> list[NDArray[np.uint8]]:
        return [*random_pixels(self.size, 3, seed=1)]

    def expected(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """What torch makes of one image [height, width, 3]."""
        with torch.no_grad():
            made = self.module(**{name: torch.from_numpy(value) for name, value in self.feeds(pixels).items()})
        tensors = made if isinstance(made, tuple) else (made,)
        return {name: tensor.numpy()[0] for name, tensor in zip(self.outputs, tensors, strict=True)}

    def calibration(self) -> list[dict[str, NDArray[np.float32]]]:
        """What ranges are measured on."""
        return [self.feeds(pixels) for pixels in random_pixels(self.size, 16, seed=100)]

    def about(self) -> dict[str, Any]:
        scale = [1 / (255 * each) for each in STD]
        offset = [-mean / std for mean, std in zip(MEAN, STD, strict=True)]
        names = {"kind": self.kind, "inputs": self.inputs, "outputs": self.outputs}
        return {**names, "height": self.size[0], "width": self.size[1], "scale": scale, "offset": offset}


class OfPixels(nn.Module):
    """A model of transformers that returns some of its outputs, as a tuple."""

    def __init__(self, model: nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.outputs = outputs

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = self.model(pixel_values=pixel_values)
        return tuple(getattr(made, name) for name in self.outputs)


class Renamed(nn.Module):
    """A network of torchvision or timm, whose input is called `x` or `input`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values)


_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 56,
    "image_size": 40,
    "patch_size": 8,
}
_ROWS = ("last_hidden_state", "pooler_output")


def _transformers(
    kind: str, attention: str, outputs: tuple[str, ...], suffix: str = "Model", **config: Any
) -> ImageModel:
    settings = getattr(transformers, f"{kind}Config")(**{**_SIZES, **config})
    model = getattr(transformers, f"{kind}{suffix}")._from_config(settings, attn_implementation=attention)
    return ImageModel(randomise(OfPixels(model, outputs)), (40, 40), outputs)


def vit(attention: str = "sdpa", outputs: tuple[str, ...] = _ROWS) -> ImageModel:
    return _transformers("ViT", attention, outputs)


def vit_classes() -> ImageModel:
    return _transformers("ViT", "eager", ("logits",), "ForImageClassification", num_labels=7)


def vit_timm() -> ImageModel:
    """timm's spelling: the vector of the class token."""
    sizes = {"img_size": 40, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 0}
    return ImageModel(randomise(Renamed(timm_vit.VisionTransformer(**sizes))), (40, 40), ("features",))


def clip_image(attention: str = "sdpa") -> ImageModel:
    outputs = ("image_embeds", "last_hidden_state")
    return _transformers("CLIPVision", attention, outputs, "ModelWithProjection", projection_dim=24)


def convolutional(peer: str, size: tuple[int, int] = (64, 64)) -> ImageModel:
    """A network of timm or torchvision with its classifier."""
    return ImageModel(Renamed(PEERS[peer]().model).eval(), size, ("logits",))


def convolutional_features(peer: str, size: tuple[int, int] = (64, 64)) -> ImageModel:
    """The same without: timm's pooled features."""
    model = PEERS[peer]().model
    model.reset_classifier(0)
    return ImageModel(Renamed(model).eval(), size, ("features",))


def convolutional_rows(peer: str, size: tuple[int, int] = (64, 64)) -> ImageModel:
    """The map and the vector of a network of transformers."""
    model = PEERS[peer]().model
    return ImageModel(OfPixels(getattr(model, model.base_model_prefix), _ROWS).eval(), size, _ROWS)


def dinov2() -> ImageModel:
    return _transformers("Dinov2", "sdpa", _ROWS, mlp_ratio=2)


def swin() -> ImageModel:
    """Windows of patches that shift."""
    sizes = {
        "embed_dim": 16,
        "depths": [1, 2],
        "num_heads": [2, 4],
        "window_size": 4,
        "image_size": 32,
        "patch_size": 4,
    }
    model = transformers.SwinModel(transformers.SwinConfig(**sizes))
    return ImageModel(randomise(OfPixels(model, _ROWS)), (32, 32), _ROWS)


def regnet() -> ImageModel:
    """Convolutions of groups of channels."""
    stages = tv_regnet.BlockParams([1, 1, 2, 1], [8, 16, 24, 32], [8] * 4, [1.0] * 4, [2] * 4, se_ratio=0.25)
    model = randomise_network(tv_regnet.RegNet(stages, num_classes=CLASSES, stem_width=8))
    return ImageModel(Renamed(model).eval(), (64, 64), ("logits",))
