"""Tiny random convolutional networks of transformers, timm and torchvision, and what each says its outputs are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cpu_torchvision  # noqa: F401  (before timm and torchvision)
import numpy as np
import timm.models.convnext as timm_convnext
import timm.models.efficientnet as timm_efficientnet
import timm.models.mobilenetv3 as timm_mobilenetv3
import timm.models.resnet as timm_resnet
import torch
import torchvision.models as tv
import transformers
from torch import nn

from embedrt_convert.inputs import architectures
from embedrt_convert.inputs.checkpoint import Checkpoint

CLASSES = 7
Outputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Peer:
    """A network, the config that goes with its weights, and its outputs for normalised pixels [n, 3, h, w]."""

    model: nn.Module
    config: dict[str, Any]
    outputs: Callable[[torch.Tensor], Outputs]


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights, statistics and biases that make every part of the network matter.

    The statistics are near those that BatchNorm would see. With any others, ReLU6 makes a deep network chaotic: the
    rounding of its weights grows from layer to layer.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(like: torch.Tensor, scale: float) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator) * scale

    norms = [module for module in model.eval().modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                # Small sums before BatchNorm, so that its epsilon is seen.
                scale = 0.2 if norms and module.bias is None else 1.5
                module.weight.copy_(normal(module.weight, scale / module.weight[0].numel() ** 0.5))
                if module.bias is not None:
                    module.bias.copy_(normal(module.bias, 0.3))
            elif isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
                module.weight.copy_(1 + normal(module.weight, 0.2))
                module.bias.copy_(normal(module.bias, 0.3))
        for name, parameter in model.named_parameters():
            if name.endswith(("gamma", "layer_scale", "layer_scale_parameter")):
                parameter.copy_(0.5 + normal(parameter, 0.3))
        for module in norms:
            module.train().momentum = 1.0
        model(torch.randn((4, 3, 64, 64), generator=generator))
        for module in norms:
            module.eval()
            module.running_mean.add_(normal(module.running_mean, 0.2) * module.running_var.sqrt())
            spread = 0.4 + torch.rand(module.running_var.shape, generator=generator)
            module.running_var.mul_(spread).add_(module.running_var.mean() / 2)
    return model


def checkpoint(peer: Peer, height: int, width: int, *, classifier: bool = True) -> Checkpoint:
    """The network's weights, with pixels normalised as ImageNet's are."""
    preset = architectures.find("torchvision:resnet50").preset
    return Checkpoint(
        config=peer.config,
        tensors={name: tensor.numpy() for name, tensor in peer.model.state_dict().items()},
        text=None,
        modules=(),
        licence="unknown",
        image=preset.image((height, width)),
        classifier=classifier,
    )


def expected(peer: Peer, pixels: np.ndarray, made: Checkpoint) -> dict[str, np.ndarray]:
    """The network's outputs in float64: [n, columns], or [n · height · width, columns]."""
    assert made.image is not None
    normalised = pixels * np.array(made.image.scale) + np.array(made.image.offset)
    model = peer.model.double()
    with torch.no_grad():
        outputs = peer.outputs(torch.from_numpy(normalised).permute(0, 3, 1, 2).contiguous())
    model.float()
    rows = {name: value.permute(0, 2, 3, 1) if value.dim() == 4 else value for name, value in outputs.items()}
    return {name: value.reshape(-1, value.shape[-1]).numpy() for name, value in rows.items()}


def transformers_peer(kind: str, **settings: Any) -> Peer:
    """`kind` is what the class names begin with."""
    config = getattr(transformers, f"{kind}Config")(num_labels=CLASSES, **settings)
    model = randomise(getattr(transformers, f"{kind}ForImageClassification")(config))
    base = getattr(model, model.base_model_prefix)

    def outputs(x: torch.Tensor) -> Outputs:
        made = base(x)
        pooled = made.pooler_output.flatten(1)
        found = {"image_embedding": pooled, "patch_embeddings": made.last_hidden_state, "logits": model(x).logits}
        means = made.last_hidden_state.mean((2, 3))
        return found if torch.allclose(means, pooled) else {**found, "patch_mean": means}

    return Peer(model, config.to_dict(), outputs)


def timm_peer(arch: str, model: nn.Module) -> Peer:
    """A network of timm's that is as `arch` is, but for its widths and depths."""
    randomise(model)

    def outputs(x: torch.Tensor) -> Outputs:
        features = model.forward_features(x)
        pooled = model.forward_head(features, pre_logits=True)
        found = {"image_embedding": pooled, "patch_embeddings": features, "logits": model(x)}
        means = features.mean((2, 3))
        return (
            found if means.shape == pooled.shape and torch.allclose(means, pooled) else {**found, "patch_mean": means}
        )

    return Peer(model, dict(architectures.find(f"timm:{arch}").config), outputs)


def torchvision_peer(arch: str, model: nn.Module) -> Peer:
    """A network of torchvision's that is as `arch` is, but for its widths and depths."""
    randomise(model)
    # The last feature map, and what the last linear layer takes.
    seen: Outputs = {}
    features = model.features if hasattr(model, "features") else model.layer4
    features.register_forward_hook(lambda module, inputs, output: seen.update(patch_embeddings=output))
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    last.register_forward_pre_hook(lambda module, inputs: seen.update(image_embedding=inputs[0]))

    def outputs(x: torch.Tensor) -> Outputs:
        found = {"logits": model(x), **seen}
        means, pooled = found["patch_embeddings"].mean((2, 3)), found["image_embedding"]
        return (
            found if means.shape == pooled.shape and torch.allclose(means, pooled) else {**found, "patch_mean": means}
        )

    return Peer(model, dict(architectures.find(f"torchvision:{arch}").config), outputs)


def _timm_resnet(arch: str, block: type[nn.Module], layers: tuple[int, ...], **settings: Any) -> Peer:
    model = timm_resnet.ResNet(block, layers, channels=(8, 12, 16, 20), stem_width=8, num_classes=CLASSES, **settings)
    return timm_peer(arch, model)


def _timm_efficientnet(arch: str, generate: Callable[..., nn.Module], width: float, **settings: Any) -> Peer:
    return timm_peer(arch, generate(arch, channel_multiplier=width, num_classes=CLASSES, **settings))


def _timm_mobilenet_v3(arch: str, **settings: Any) -> Peer:
    return _timm_efficientnet(arch, timm_mobilenetv3._gen_mobilenet_v3, 0.35, **settings)


def _timm_convnext(arch: str, **settings: Any) -> Peer:
    model = timm_convnext.ConvNeXt(depths=(1, 2, 1, 1), dims=(12, 16, 20, 24), num_classes=CLASSES, **settings)
    return timm_peer(arch, model)


def _torchvision_convnext() -> Peer:
    widths = [(12, 16, 2), (16, 20, 1), (20, 24, 1), (24, None, 2)]
    blocks = [tv.convnext.CNBlockConfig(*each) for each in widths]
    return torchvision_peer("convnext_tiny", tv.convnext.ConvNeXt(blocks, layer_scale=1.0, num_classes=CLASSES))


def _torchvision_mobilenet_v3(size: str) -> Peer:
    blocks, last = tv.mobilenetv3._mobilenet_v3_conf(f"mobilenet_v3_{size}", width_mult=0.35)
    return torchvision_peer(f"mobilenet_v3_{size}", tv.MobileNetV3(blocks, last, num_classes=CLASSES))


def _torchvision_efficientnet(arch: str, like: str, width: float, depth: float, **settings: Any) -> Peer:
    blocks, last = tv.efficientnet._efficientnet_conf(like, width_mult=width, depth_mult=depth)
    model = tv.efficientnet.EfficientNet(blocks, 0.0, last_channel=last, num_classes=CLASSES, **settings)
    return torchvision_peer(arch, model)


_TF = {"bn_eps": 1e-3, "pad_type": "same"}
_KERAS_NORM = partial(nn.BatchNorm2d, eps=1e-3)
_HF_RESNET = {"embedding_size": 10, "hidden_sizes": [12, 16, 24, 32], "depths": [1, 2, 1, 1]}
_HF_CONVNEXT = {"hidden_sizes": [12, 16, 20, 24], "depths": [1, 2, 1, 1], "layer_norm_eps": 0.1}
_HF_EFFICIENTNET = {"width_coefficient": 0.25, "depth_coefficient": 1.1, "hidden_dim": 320}

PEERS: dict[str, Callable[[], Peer]] = {
    "transformers resnet basic": partial(transformers_peer, "ResNet", layer_type="basic", **_HF_RESNET),
    "transformers resnet bottleneck": partial(transformers_peer, "ResNet", **_HF_RESNET),
    "transformers resnet v1": partial(
        transformers_peer, "ResNet", downsample_in_bottleneck=True, downsample_in_first_stage=True, **_HF_RESNET
    ),
    "transformers resnet gelu": partial(transformers_peer, "ResNet", hidden_act="gelu", **_HF_RESNET),
    "timm resnet18": partial(_timm_resnet, "resnet18", timm_resnet.BasicBlock, (2, 1, 1, 2)),
    "timm resnet50": partial(_timm_resnet, "resnet50", timm_resnet.Bottleneck, (1, 2, 1, 1)),
    "timm wide_resnet50_2": partial(
        _timm_resnet, "wide_resnet50_2", timm_resnet.Bottleneck, (1, 1, 2, 1), base_width=128
    ),
    "torchvision resnet18": lambda: torchvision_peer(
        "resnet18", tv.resnet.ResNet(tv.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)
    ),
    "torchvision resnet50": lambda: torchvision_peer(
        "resnet50", tv.resnet.ResNet(tv.resnet.Bottleneck, [1, 1, 1, 1], num_classes=CLASSES, width_per_group=16)
    ),
    "transformers mobilenet_v2": partial(transformers_peer, "MobileNetV2", depth_multiplier=0.35),
    "transformers mobilenet_v2 PyTorch's padding": partial(
        transformers_peer, "MobileNetV2", depth_multiplier=0.5, tf_padding=False, finegrained_output=False
    ),
    # The first block's input is as wide as its output, and yet not added to it.
    "transformers mobilenet_v2 narrow": partial(
        transformers_peer, "MobileNetV2", depth_multiplier=0.25, first_layer_is_expansion=False, hidden_act="relu"
    ),
    "timm mobilenetv2_035": partial(_timm_efficientnet, "mobilenetv2_035", timm_efficientnet._gen_mobilenet_v2, 0.25),
    "timm mobilenetv2_120d": partial(
        _timm_efficientnet,
        "mobilenetv2_120d",
        timm_efficientnet._gen_mobilenet_v2,
        0.3,
        depth_multiplier=1.4,
        fix_stem_head=True,
    ),
    "torchvision mobilenet_v2": lambda: torchvision_peer(
        "mobilenet_v2", tv.MobileNetV2(width_mult=0.35, num_classes=CLASSES)
    ),
    "transformers efficientnet": partial(transformers_peer, "EfficientNet", **_HF_EFFICIENTNET),
    "transformers efficientnet symmetric": partial(
        transformers_peer, "EfficientNet", depthwise_padding=[1, 5, 13], pooling_type="max", **_HF_EFFICIENTNET
    ),
    "timm efficientnet_b0": partial(_timm_efficientnet, "efficientnet_b0", timm_efficientnet._gen_efficientnet, 0.25),
    "timm tf_efficientnet_b1": partial(
        _timm_efficientnet,
        "tf_efficientnet_b1",
        timm_efficientnet._gen_efficientnet,
        0.25,
        depth_multiplier=1.1,
        **_TF,
    ),
    "timm efficientnet_lite0": partial(
        _timm_efficientnet, "efficientnet_lite0", timm_efficientnet._gen_efficientnet_lite, 0.25
    ),
    "timm tf_efficientnet_lite1": partial(
        _timm_efficientnet,
        "tf_efficientnet_lite1",
        timm_efficientnet._gen_efficientnet_lite,
        0.25,
        depth_multiplier=1.1,
        **_TF,
    ),
    "torchvision efficientnet_b0": partial(_torchvision_efficientnet, "efficientnet_b0", "efficientnet_b0", 0.25, 1.0),
    "torchvision efficientnet_b5": partial(
        _torchvision_efficientnet, "efficientnet_b5", "efficientnet_b5", 0.25, 1.1, norm_layer=_KERAS_NORM
    ),
    "timm mobilenetv3_large_100": partial(_timm_mobilenet_v3, "mobilenetv3_large_100"),
    "timm mobilenetv3_small_050": partial(_timm_mobilenet_v3, "mobilenetv3_small_050"),
    "timm tf_mobilenetv3_small_100": partial(_timm_mobilenet_v3, "tf_mobilenetv3_small_100", **_TF),
    "timm tf_mobilenetv3_large_minimal_100": partial(_timm_mobilenet_v3, "tf_mobilenetv3_large_minimal_100", **_TF),
    "torchvision mobilenet_v3_large": partial(_torchvision_mobilenet_v3, "large"),
    "torchvision mobilenet_v3_small": partial(_torchvision_mobilenet_v3, "small"),
    "transformers convnext": partial(transformers_peer, "ConvNext", **_HF_CONVNEXT),
    "transformers convnext without scales": partial(
        transformers_peer, "ConvNext", layer_scale_init_value=0.0, hidden_act="gelu_new", patch_size=3, **_HF_CONVNEXT
    ),
    "timm convnext_tiny": partial(_timm_convnext, "convnext_tiny"),
    "timm convnext_atto": partial(_timm_convnext, "convnext_atto", conv_mlp=True),
    "torchvision convnext_tiny": _torchvision_convnext,
}
