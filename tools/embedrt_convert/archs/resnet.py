"""ResNet with basic or bottleneck blocks, by the names of transformers, timm and torchvision.

The stride is in the 3x3 convolution ("v1.5"), unless a config of transformers puts it into the first 1x1.
"""

from __future__ import annotations

from dataclasses import dataclass

from embedrt_convert.archs._config import activation, refuse_unless
from embedrt_convert.archs._network import Grid, Layer, Network, stage_lengths
from embedrt_convert.archs._spelling import lower_spelled
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("resnet",)

_STAGES = 4


@dataclass(frozen=True)
class _Block:
    """Convolutions one after the other, the `strided`-th with the block's stride, and what the input passes through."""

    convs: list[Layer]
    shortcut: Layer | None
    stride: int
    strided: int


def lower_images(checkpoint: Checkpoint) -> Program:
    """Outputs: image_embedding, the mean of the last feature map; patch_embeddings; logits."""
    return lower_spelled(checkpoint, {"transformers": _transformers, "timm": _named, "torchvision": _named})


def _transformers(checkpoint: Checkpoint) -> Program:
    config = checkpoint.config
    refuse_unless(config, num_channels=3)
    net = Network(checkpoint, anchor="embedder.embedder.convolution.weight", classifier="classifier.1")

    def layer(at: str) -> Layer:
        return Layer(f"{at}.convolution", f"{at}.normalization")

    (count,) = stage_lengths(net.weights, ["encoder.stages"], "layers.0.layer.0.convolution.weight")
    stages = [f"encoder.stages.{stage}.layers" for stage in range(count)]
    blocks = []
    for stage, length in enumerate(stage_lengths(net.weights, stages, "layer.0.convolution.weight")):
        for i in range(length):
            at = f"{stages[stage]}.{i}"
            convs = [layer(f"{at}.layer.{part}") for part in range(3)]
            if not net.weights.has(f"{convs[2].conv}.weight"):
                convs.pop()
            shortcut = layer(f"{at}.shortcut") if net.weights.has(f"{at}.shortcut.convolution.weight") else None
            shrinks = i == 0 and (stage > 0 or config.get("downsample_in_first_stage", False))
            first = len(convs) == 2 or config.get("downsample_in_bottleneck", False)
            blocks.append(_Block(convs, shortcut, 2 if shrinks else 1, 0 if first else 1))
    return _lower(net, layer("embedder.embedder"), blocks, activation(config, default="relu"))


def _named(checkpoint: Checkpoint) -> Program:
    """By the names that timm and torchvision share."""
    # `conv1.weight` is the end of other names too.
    net = Network(checkpoint, anchor="layer1.0.conv1.weight", classifier="fc")
    stages = [f"layer{stage + 1}" for stage in range(_STAGES)]
    blocks = [
        _named_block(net.weights, f"{stages[stage]}.{i}", 2 if stage > 0 and i == 0 else 1)
        for stage, length in enumerate(stage_lengths(net.weights, stages, "conv1.weight"))
        for i in range(length)
    ]
    return _lower(net, Layer("conv1", "bn1"), blocks, "relu")


def _named_block(weights: Weights, at: str, stride: int) -> _Block:
    convs = [Layer(f"{at}.conv{part}", f"{at}.bn{part}") for part in (1, 2, 3)]
    if not weights.has(f"{at}.conv3.weight"):
        convs.pop()
    shortcut = Layer(f"{at}.downsample.0", f"{at}.downsample.1") if weights.has(f"{at}.downsample.0.weight") else None
    return _Block(convs, shortcut, stride, 0 if len(convs) == 2 else 1)


def _lower(net: Network, stem: Layer, blocks: list[_Block], act: str) -> Program:
    x = net.max_pool(net.conv(net.pixels, stem, stride=2, activation=act), 3, 2)
    for block in blocks:
        x = _lower_block(net, x, block, act)
    pooled = net.pool(x)
    return net.finish(x, pooled, pooled, x.columns)


def _lower_block(net: Network, x: Grid, block: _Block, act: str) -> Grid:
    # `act` is the stem's and the block's own; within a block it is ReLU, whatever the config says.
    y, last = x, block.convs[-1]
    for number, layer in enumerate(block.convs[:-1]):
        y = net.conv(y, layer, stride=block.stride if number == block.strided else 1, activation="relu")
    shortcut = x if block.shortcut is None else net.conv(x, block.shortcut, stride=block.stride)
    if (shortcut.height, shortcut.width, shortcut.columns) != (y.height, y.width, net.rows(last.conv)):
        raise ConversionError(f"the block of {last.conv} needs a shortcut that the checkpoint does not have")
    return net.conv(y, last, shortcut, activation=act)
