"""Image networks in PyTorch: from a checkpoint to a module that gives its pooled vectors, and what makes them quick.

Needs torch, and transformers or timm and torchvision; only until the peers' models are in the cache.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from embedrt_bench.errors import BenchError
from embedrt_bench.images.checkpoint import ImageCheckpoint, folder_normalisation, normalisation

_LITE = ([127 / 255] * 3, [128 / 255] * 3)
_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


class Pooled(nn.Module):
    """float32 [n, 3, height, width], normalised → float32 [n, columns]."""

    def __init__(self, network: Any, *, class_token: bool = False, **options: Any) -> None:
        super().__init__()
        self.network = network
        self._class_token = class_token  # where a checkpoint has no pooler of its own
        self._options = options

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        output = self.network(pixels, **self._options)
        if isinstance(output, torch.Tensor):
            return output
        if self._class_token:
            vectors: torch.Tensor = output.last_hidden_state[:, 0]
        else:
            vectors = output.image_embeds if hasattr(output, "image_embeds") else output.pooler_output.flatten(1)
        return vectors


def load(checkpoint: ImageCheckpoint) -> tuple[nn.Module, dict[str, list[float]]]:
    """The network, and what becomes of a byte before it."""
    if checkpoint.is_folder:
        return _from_folder(checkpoint), folder_normalisation(checkpoint.path)
    return _from_weights(checkpoint)


def _from_folder(checkpoint: ImageCheckpoint) -> nn.Module:
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    vision: dict[str, Any] = {
        "clip": transformers.CLIPVisionModelWithProjection,
        "siglip": transformers.SiglipVisionModel,
    }
    network, info = vision.get(checkpoint.architecture, transformers.AutoModel).from_pretrained(
        str(checkpoint.path),
        # A product, a softmax and a product: what quantisers and fusions know.
        attn_implementation="eager",
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
    )
    options = {}
    if "interpolate_pos_encoding" in inspect.signature(network.forward).parameters:
        # Asked for at the size that the weights are for, it would only add a resize to the export.
        options["interpolate_pos_encoding"] = checkpoint.size != (network.config.image_size,) * 2
    return Pooled(network, class_token=any("pooler" in name for name in info["missing_keys"]), **options).eval()


def _from_weights(checkpoint: ImageCheckpoint) -> tuple[nn.Module, dict[str, list[float]]]:
    weights = _state(checkpoint)
    network, normalised = named(checkpoint.architecture)
    own = network.state_dict()
    if set(weights) != set(own):
        # Another author's names for the same layers: in the same order, or it is another network.
        if [value.shape for value in weights.values()] != [value.shape for value in own.values()]:
            raise BenchError(f"{checkpoint.path} has other weights than {checkpoint.architecture}")
        weights = dict(zip(own, weights.values(), strict=True))
    network.load_state_dict(weights)
    _drop_classifier(network)
    return Pooled(network).eval(), normalised


def _state(checkpoint: ImageCheckpoint) -> dict[str, torch.Tensor]:
    if checkpoint.path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(checkpoint.path)
    state: dict[str, torch.Tensor] = torch.load(checkpoint.path, map_location="cpu", weights_only=True)
    return state


def named(architecture: str) -> tuple[Any, dict[str, list[float]]]:
    """The network of the name `library:name`, or of a name that one of timm and torchvision has; and its normalisation.

    efficientnet_pytorch's networks are timm's that were ported from TensorFlow.
    """
    import timm
    import torchvision

    library, _, name = architecture.rpartition(":")
    if library in ("efficientnet_pytorch", "efficientnet_lite_pytorch"):
        own = timm.create_model("tf_" + name.replace("-", "_"))
        return own, normalisation(*(_LITE if "lite" in name else _IMAGENET))
    if library in ("", "timm") and timm.is_model(name):
        network: Any = timm.create_model(name)
        return network, normalisation(list(network.pretrained_cfg["mean"]), list(network.pretrained_cfg["std"]))
    if library in ("", "torchvision") and name in torchvision.models.list_models():
        return torchvision.models.get_model(name), normalisation(*_IMAGENET)
    raise BenchError(f"no network {architecture!r}: name one of timm, torchvision or efficientnet_pytorch")


def _drop_classifier(network: Any) -> None:
    if hasattr(network, "reset_classifier"):
        network.reset_classifier(0)
        return
    # torchvision: the last child, named fc, classifier, head or heads.
    network.register_module(list(dict(network.named_children()))[-1], nn.Identity())


def simplify(network: Any, pixels: torch.Tensor) -> None:
    """The same function in fewer steps, as one would before an export; exporters and engines do not find these."""
    _fold_layer_scales(network)
    _keep_positions(network)
    _fix_same_padding(network, pixels)
    with torch.no_grad():
        network(pixels)  # positions of this size are made once, here


def _fold_layer_scales(network: Any) -> None:
    """DINOv2's factor for each channel goes into the linear layer before it; with it, attention is not recognised."""
    for layer in network.modules():
        for name, part, factor in (
            ("layer_scale1", "attention", "lambda1"),
            ("layer_scale2", "mlp", "lambda1"),
            ("ls1", "attn", "gamma"),
            ("ls2", "mlp", "gamma"),
        ):
            scale = getattr(getattr(layer, name, None), factor, None)
            if scale is None:
                continue
            last = [linear for linear in getattr(layer, part).modules() if isinstance(linear, nn.Linear)][-1]
            with torch.no_grad():
                last.weight.mul_(scale[:, None])
                last.bias.mul_(scale)
            setattr(layer, name, nn.Identity())


def _keep_positions(network: Any) -> None:
    """Positions interpolated to the size of the image become a constant instead of a resize in every run."""
    for module in network.modules():
        if callable(getattr(module, "interpolate_pos_encoding", None)):
            module.interpolate_pos_encoding = _Once(module.interpolate_pos_encoding)


class _Once:
    """A function whose first result is all that it ever gives."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        self._function = function
        self._result: torch.Tensor | None = None

    def __call__(self, *arguments: Any, **options: Any) -> torch.Tensor:
        if self._result is None:
            self._result = self._function(*arguments, **options).detach()
        return self._result


def _fix_same_padding(network: Any, pixels: torch.Tensor) -> None:
    """timm's TensorFlow-like padding is worked out in every run; of one image size it is a constant."""
    names = [name for name, module in network.named_modules() if type(module).__name__ == "Conv2dSame"]
    sizes: dict[str, tuple[int, int]] = {}
    hooks = [
        network.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: sizes.update({name: inputs[0].shape[2:]})
        )
        for name in names
    ]
    with torch.no_grad():
        network(pixels)
    for hook in hooks:
        hook.remove()
    for name in names:
        parent, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(parent), leaf, _padded(network.get_submodule(name), sizes[name]))


def _padded(same: Any, size: tuple[int, int]) -> nn.Module:
    """A convolution after a constant padding, which ONNX Runtime makes one again."""
    pads = []
    for extent, kernel, stride in zip(reversed(size), reversed(same.kernel_size), reversed(same.stride), strict=True):
        total = max((-(-extent // stride) - 1) * stride + kernel - extent, 0)
        pads.append((total // 2, total - total // 2))
    plain = nn.Conv2d(
        same.in_channels, same.out_channels, same.kernel_size, same.stride, groups=same.groups, bias=False
    )
    plain.weight, plain.bias = same.weight, same.bias
    return nn.Sequential(nn.ZeroPad2d((*pads[0], *pads[1])), plain)
