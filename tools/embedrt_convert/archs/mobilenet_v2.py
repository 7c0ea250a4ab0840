"""MobileNetV2: inverted residuals with ReLU6, by the names of transformers, timm and torchvision."""

from __future__ import annotations

from embedrt_convert.archs._config import activation, number, refuse_unless
from embedrt_convert.archs._inverted import Block, Names, lower_blocks, strides_of, timm_blocks
from embedrt_convert.archs._network import PADDINGS, Layer, Network
from embedrt_convert.archs._spelling import lower_spelled
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("mobilenet_v2",)

# The stages after the stem.
_LENGTHS = (1, 2, 3, 4, 3, 3, 1)
_STRIDES = (1, 2, 2, 2, 1, 2, 1)


def lower_images(checkpoint: Checkpoint) -> Program:
    """Outputs: image_embedding, the mean of the last feature map; patch_embeddings; logits."""
    return lower_spelled(checkpoint, {"transformers": _transformers, "timm": _timm, "torchvision": _torchvision})


def _transformers(checkpoint: Checkpoint) -> Program:
    config = checkpoint.config
    refuse_unless(config, output_stride=32, num_channels=3)
    net = Network(
        checkpoint,
        anchor="conv_stem.first_conv.convolution.weight",
        classifier="classifier",
        epsilon=number(config, "layer_norm_eps", 1e-3),
        padding=PADDINGS["same" if config.get("tf_padding", True) else "half"],
    )

    def layer(at: str) -> Layer:
        return Layer(f"{at}.convolution", f"{at}.normalization")

    def names(at: str) -> Names:
        widens = net.weights.has(f"{at}.expand_1x1.convolution.weight")
        expand = layer(f"{at}.expand_1x1") if widens else None
        return Names(expand, layer(f"{at}.conv_3x3"), None, layer(f"{at}.reduce_1x1"))

    blocks = [names("conv_stem"), *(names(f"layer.{i}") for i in range(sum(_LENGTHS) - 1))]
    act = activation(config, default="relu6")
    return _lower(net, layer("conv_stem.first_conv"), blocks, list(_LENGTHS), layer("conv_1x1"), act, first_skips=False)


def _timm(checkpoint: Checkpoint) -> Program:
    net = Network(checkpoint, anchor="conv_stem.weight", classifier="classifier")
    stages = timm_blocks(net.weights, len(_STRIDES))
    blocks, lengths = [block for stage in stages for block in stage], [len(stage) for stage in stages]
    return _lower(net, Layer("conv_stem", "bn1"), blocks, lengths, Layer("conv_head", "bn2"))


def _torchvision(checkpoint: Checkpoint) -> Program:
    net = Network(checkpoint, anchor="features.0.0.weight", classifier="classifier.1")
    blocks = [_torchvision_block(net.weights, f"features.{i}.conv") for i in range(1, sum(_LENGTHS) + 1)]
    stem, head = Layer("features.0.0", "features.0.1"), Layer("features.18.0", "features.18.1")
    return _lower(net, stem, blocks, list(_LENGTHS), head)


def _torchvision_block(weights: Weights, at: str) -> Names:
    if weights.has(f"{at}.1.0.weight"):
        expand = Layer(f"{at}.0.0", f"{at}.0.1")
        return Names(expand, Layer(f"{at}.1.0", f"{at}.1.1"), None, Layer(f"{at}.2", f"{at}.3"))
    return Names(None, Layer(f"{at}.0.0", f"{at}.0.1"), None, Layer(f"{at}.1", f"{at}.2"))


def _lower(
    net: Network,
    stem: Layer,
    names: list[Names],
    lengths: list[int],
    head: Layer,
    act: str = "relu6",
    *,
    first_skips: bool = True,
) -> Program:
    strides = strides_of(lengths, _STRIDES, "MobileNetV2")
    x = net.conv(net.pixels, stem, stride=2, activation=act)
    blocks = [
        Block(each, stride, act, skip=first_skips or i > 0)
        for i, (each, stride) in enumerate(zip(names, strides, strict=True))
    ]
    x = net.conv(lower_blocks(net, x, blocks), head, activation=act)
    pooled = net.pool(x)
    return net.finish(x, pooled, pooled, x.columns)
