"""Inverted residuals: widen with a 1x1 convolution, look around with a depthwise one, gate, and narrow again.

MobileNetV2, MobileNetV3 and EfficientNet are made of them. A family describes its blocks, in the names of whoever wrote
the checkpoint; kernels and widths are what the weights' shapes say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from embedrt_convert.archs._network import Grid, Layer, Network, Padding, stage_lengths
from embedrt_convert.archs._weights import Weights
from embedrt_convert.errors import ConversionError


@dataclass(frozen=True)
class Names:
    """The layers of a block. `squeeze` are the two layers of squeeze-and-excitation."""

    expand: Layer | None
    depthwise: Layer
    squeeze: tuple[str, str] | None
    project: Layer


@dataclass(frozen=True)
class Block:
    """A block whose depthwise convolution has `stride`.

    `skip` adds the block's input to its output where the stride is 1 and both are as wide. `squeeze_activation` and
    `gate` are those of squeeze-and-excitation.
    """

    names: Names
    stride: int
    activation: str
    squeeze_activation: str = "relu"
    gate: str = "sigmoid"
    skip: bool = True
    padding: Padding | None = None


def lower_blocks(net: Network, x: Grid, blocks: Iterable[Block]) -> Grid:
    for block in blocks:
        x = _lower_block(net, x, block)
    return x


def _lower_block(net: Network, x: Grid, block: Block) -> Grid:
    names, y = block.names, x
    if names.expand is not None:
        y = net.conv(y, names.expand, activation=block.activation)
    y = net.depthwise(y, names.depthwise, stride=block.stride, activation=block.activation, padding=block.padding)
    if names.squeeze is not None:
        y = net.squeeze_excite(y, *names.squeeze, activation=block.squeeze_activation, gate=block.gate)
    same = block.stride == 1 and net.rows(names.project.conv) == x.columns
    return net.conv(y, names.project, *([x] if block.skip and same else []))


def strides_of(lengths: Sequence[int], strides: Sequence[int], spelling: str) -> list[int]:
    """The stride of every block: a stage's own for its first, 1 for the rest. Raises ConversionError."""
    if len(lengths) != len(strides) or 0 in lengths:
        raise ConversionError(
            f"{spelling} has {len(strides)} stages of blocks; the checkpoint has the blocks {lengths}"
        )
    return [stride if i == 0 else 1 for length, stride in zip(lengths, strides, strict=True) for i in range(length)]


def timm_blocks(weights: Weights, stages: int) -> list[list[Names]]:
    """The blocks of `stages` stages as timm names them."""
    lengths = stage_lengths(weights, [f"blocks.{stage}" for stage in range(stages)], "conv_dw.weight")
    return [
        [_timm_block(weights, f"blocks.{stage}.{i}") for i in range(length)] for stage, length in enumerate(lengths)
    ]


def _timm_block(weights: Weights, at: str) -> Names:
    squeeze = (f"{at}.se.conv_reduce", f"{at}.se.conv_expand") if weights.has(f"{at}.se.conv_reduce.weight") else None
    depthwise, project = f"{at}.conv_dw", f"{at}.conv_pwl"
    if weights.has(f"{project}.weight"):
        expand = Layer(f"{at}.conv_pw", f"{at}.bn1")
        return Names(expand, Layer(depthwise, f"{at}.bn2"), squeeze, Layer(project, f"{at}.bn3"))
    # A separable block: the pointwise convolution narrows, and there is nothing before the depthwise one.
    return Names(None, Layer(depthwise, f"{at}.bn1"), squeeze, Layer(f"{at}.conv_pw", f"{at}.bn2"))


def torchvision_block(weights: Weights, at: str) -> Names:
    """A block of torchvision's MobileNetV3 or EfficientNet: a sequence in which some parts may be left out."""
    parts = [f"{at}.block.{i}" for i in range(4)]
    convs = [Layer(f"{part}.0", f"{part}.1") for part in parts if weights.has(f"{part}.0.weight")]
    gates = [(f"{part}.fc1", f"{part}.fc2") for part in parts if weights.has(f"{part}.fc1.weight")]
    if not 2 <= len(convs) <= 3:
        raise ConversionError(f"{at}.block is no inverted residual: it has {len(convs)} convolutions")
    return Names(convs[0] if len(convs) == 3 else None, convs[-2], gates[0] if gates else None, convs[-1])
