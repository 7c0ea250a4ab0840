"""EfficientNet and EfficientNet-Lite, by the names of transformers, timm, torchvision and efficientnet_(lite_)pytorch.

Lite is the same network without squeeze-and-excitation, with ReLU6: its weights have no such layers, and who read the
checkpoint says the activation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._config import activation, number, refuse_unless
from embedrt_convert.archs._conv import Pads
from embedrt_convert.archs._inverted import Block, Names, lower_blocks, strides_of, timm_blocks, torchvision_block
from embedrt_convert.archs._network import PADDINGS, Grid, Layer, Network, half_pads, stage_lengths
from embedrt_convert.archs._spelling import lower_spelled
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("efficientnet",)

_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_POOLING = ("mean", "max")


def lower_images(checkpoint: Checkpoint) -> Program:
    """Outputs: image_embedding, the last feature map pooled; patch_embeddings; patch_mean where it differs; logits."""
    spellings = {
        "transformers": _transformers,
        "timm": _timm,
        "torchvision": _torchvision,
        "efficientnet_pytorch": _efficientnet_pytorch,
        "efficientnet_lite_pytorch": _efficientnet_pytorch,
    }
    return lower_spelled(checkpoint, spellings)


def _transformers(checkpoint: Checkpoint) -> Program:
    config = checkpoint.config
    refuse_unless(config, num_channels=3)
    epsilon = number(config, "batch_norm_eps", 1e-3)
    net = Network(checkpoint, anchor="embeddings.convolution.weight", classifier="classifier", epsilon=epsilon)
    act = activation(config, default="swish")
    pooling = config.get("pooling_type", "mean")
    if pooling not in _POOLING:
        raise ConversionError(f"config.json has pooling_type {pooling!r}; known: {', '.join(_POOLING)}")
    x = net.conv(
        net.pixels,
        Layer("embeddings.convolution", "embeddings.batchnorm"),
        stride=2,
        activation=act,
        padding=lambda height, width, kernel, stride: (0, 0, 1, 1),
    )
    x = lower_blocks(net, x, _transformers_blocks(net.weights, config, act))
    x = net.conv(x, Layer("encoder.top_conv", "encoder.top_bn"), activation=act)
    pooled = net.pool(x, pooling)
    return net.finish(x, pooled if pooling == "mean" else net.pool(x), pooled, x.columns)


def _transformers_blocks(weights: Weights, config: Mapping[str, Any], act: str) -> list[Block]:
    deeper = number(config, "depth_coefficient", 3.1)
    strides = _list(config, "strides", _STRIDES)
    repeats = _list(config, "num_block_repeats", (1, 2, 2, 3, 3, 4, 1))
    symmetric = _list(config, "depthwise_padding", ())
    if len(strides) != len(repeats):
        raise ConversionError(f"config.json has {len(strides)} strides for {len(repeats)} num_block_repeats")
    lengths = [math.ceil(deeper * repeat) for repeat in repeats]
    blocks: list[Block] = []
    for length, stride in zip(lengths, strides, strict=True):
        for i in range(length):
            index = len(blocks)
            block = Block(
                _transformers_names(weights, f"encoder.blocks.{index}"),
                stride if i == 0 else 1,
                act,
                squeeze_activation=act,
                skip=i > 0,
                padding=half_pads if index in symmetric else _late_pads,
            )
            blocks.append(block)
    return blocks


def _transformers_names(weights: Weights, at: str) -> Names:
    expand = Layer(f"{at}.expansion.expand_conv", f"{at}.expansion.expand_bn")
    return Names(
        expand if weights.has(f"{expand.conv}.weight") else None,
        Layer(f"{at}.depthwise_conv.depthwise_conv", f"{at}.depthwise_conv.depthwise_norm"),
        (f"{at}.squeeze_excite.reduce", f"{at}.squeeze_excite.expand"),
        Layer(f"{at}.projection.project_conv", f"{at}.projection.project_bn"),
    )


def _late_pads(height: int, width: int, kernel: int, stride: int) -> Pads:
    """One pixel less at the top and left of a window with stride 2, whatever the image's size: Keras has it so."""
    if stride == 1:
        return half_pads(height, width, kernel, stride)
    return kernel // 2 - 1, kernel // 2 - 1, kernel // 2, kernel // 2


def _list(config: Mapping[str, Any], key: str, default: tuple[int, ...]) -> list[int]:
    value = config.get(key, default)
    if not isinstance(value, list | tuple) or not all(type(each) is int for each in value):
        raise ConversionError(f"config.json must have {key} as a list of whole numbers; it has {value!r}")
    return list(value)


def _timm(checkpoint: Checkpoint) -> Program:
    net = _network(checkpoint, "conv_stem.weight", "classifier")
    stages = timm_blocks(net.weights, len(_STRIDES))
    return _lower(net, checkpoint.config, Layer("conv_stem", "bn1"), stages, Layer("conv_head", "bn2"))


def _torchvision(checkpoint: Checkpoint) -> Program:
    net = _network(checkpoint, "features.0.0.weight", "classifier.1")
    at = [f"features.{stage}" for stage in range(1, len(_STRIDES) + 1)]
    lengths = stage_lengths(net.weights, at, "block.0.0.weight")
    stages = [
        [torchvision_block(net.weights, f"{stage}.{i}") for i in range(length)]
        for stage, length in zip(at, lengths, strict=True)
    ]
    stem, head = Layer("features.0.0", "features.0.1"), Layer("features.8.0", "features.8.1")
    return _lower(net, checkpoint.config, stem, stages, head)


def _efficientnet_pytorch(checkpoint: Checkpoint) -> Program:
    net = _network(checkpoint, "_conv_stem.weight", "_fc")
    (length,) = stage_lengths(net.weights, ["_blocks"], "_depthwise_conv.weight")
    stages: list[list[Names]] = []
    width = 0
    for i in range(length):
        names = _efficientnet_pytorch_names(net.weights, f"_blocks.{i}")
        # Blocks are numbered through: a stage begins where the width changes.
        if net.rows(names.project.conv) != width:
            stages.append([])
        width = net.rows(names.project.conv)
        stages[-1].append(names)
    return _lower(net, checkpoint.config, Layer("_conv_stem", "_bn0"), stages, Layer("_conv_head", "_bn1"))


def _efficientnet_pytorch_names(weights: Weights, at: str) -> Names:
    expand = Layer(f"{at}._expand_conv", f"{at}._bn0") if weights.has(f"{at}._expand_conv.weight") else None
    squeeze = (f"{at}._se_reduce", f"{at}._se_expand") if weights.has(f"{at}._se_reduce.weight") else None
    return Names(
        expand,
        Layer(f"{at}._depthwise_conv", f"{at}._bn1"),
        squeeze,
        Layer(f"{at}._project_conv", f"{at}._bn2"),
    )


def _network(checkpoint: Checkpoint, anchor: str, classifier: str) -> Network:
    config = checkpoint.config
    return Network(
        checkpoint,
        anchor=anchor,
        classifier=classifier,
        epsilon=config["batch_norm_eps"],
        padding=PADDINGS[config["padding"]],
    )


def _lower(net: Network, config: Mapping[str, Any], stem: Layer, stages: list[list[Names]], head: Layer) -> Program:
    act = activation(config)
    strides = strides_of([len(stage) for stage in stages], _STRIDES, "EfficientNet")
    x: Grid = net.conv(net.pixels, stem, stride=2, activation=act)
    names = [block for stage in stages for block in stage]
    blocks = [Block(each, stride, act, act) for each, stride in zip(names, strides, strict=True)]
    x = net.conv(lower_blocks(net, x, blocks), head, activation=act)
    pooled = net.pool(x)
    return net.finish(x, pooled, pooled, x.columns)
