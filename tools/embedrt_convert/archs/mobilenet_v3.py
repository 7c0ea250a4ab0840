"""MobileNetV3, large and small: inverted residuals with hard swish, by the names of timm and torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedrt_convert.archs._inverted import Block, Names, lower_blocks, strides_of, timm_blocks, torchvision_block
from embedrt_convert.archs._network import PADDINGS, Grid, Layer, Network
from embedrt_convert.archs._spelling import lower_spelled
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("mobilenet_v3",)


@dataclass(frozen=True)
class _Size:
    """The stages after the stem; the first `relu_stages` have ReLU whatever the rest has."""

    lengths: tuple[int, ...]
    strides: tuple[int, ...]
    relu_stages: int


_SIZES = {
    "large": _Size((1, 2, 3, 4, 2, 3), (1, 2, 2, 2, 1, 2), 3),
    "small": _Size((1, 2, 3, 2, 3), (2, 2, 2, 1, 2), 2),
}


def lower_images(checkpoint: Checkpoint) -> Program:
    """Outputs: image_embedding, what the last linear layer takes; patch_embeddings; patch_mean; logits."""
    return lower_spelled(checkpoint, {"timm": _timm, "torchvision": _torchvision})


def _timm(checkpoint: Checkpoint) -> Program:
    config = checkpoint.config
    net = _network(checkpoint, "conv_stem.weight", "classifier")
    count = len(_SIZES[config["size"]].strides)
    stages = timm_blocks(net.weights, count)
    x = _features(
        net, config, Layer("conv_stem", "bn1"), stages, Layer(f"blocks.{count}.0.conv", f"blocks.{count}.0.bn1")
    )
    return _finish(net, x, "conv_head", config["hidden_act"])


def _torchvision(checkpoint: Checkpoint) -> Program:
    config = checkpoint.config
    net = _network(checkpoint, "features.0.0.weight", "classifier.3")
    stages: list[list[Names]] = []
    number = 1
    for length in _SIZES[config["size"]].lengths:
        stages.append([torchvision_block(net.weights, f"features.{number + i}") for i in range(length)])
        number += length
    stem, head = Layer("features.0.0", "features.0.1"), Layer(f"features.{number}.0", f"features.{number}.1")
    return _finish(net, _features(net, config, stem, stages, head), "classifier.0", config["hidden_act"])


def _network(checkpoint: Checkpoint, anchor: str, classifier: str) -> Network:
    config = checkpoint.config
    return Network(
        checkpoint,
        anchor=anchor,
        classifier=classifier,
        epsilon=config["batch_norm_eps"],
        padding=PADDINGS[config["padding"]],
    )


def _features(net: Network, config: Mapping[str, Any], stem: Layer, stages: list[list[Names]], head: Layer) -> Grid:
    size, act = _SIZES[config["size"]], config["hidden_act"]
    strides = iter(strides_of([len(stage) for stage in stages], size.strides, f"MobileNetV3 {config['size']}"))
    x = net.conv(net.pixels, stem, stride=2, activation=act)
    for number, stage in enumerate(stages):
        own = "relu" if number < size.relu_stages else act
        x = lower_blocks(net, x, [Block(names, next(strides), own, gate="hard_sigmoid") for names in stage])
    return net.conv(x, head, activation=act)


def _finish(net: Network, x: Grid, hidden: str, act: str) -> Program:
    means = net.pool(x)
    embedding = net.linear(means, hidden, x.columns, activation=act)
    return net.finish(x, means, embedding, net.rows(hidden))
