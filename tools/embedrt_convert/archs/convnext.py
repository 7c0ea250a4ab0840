"""ConvNeXt: depthwise convolutions, LayerNorm and two linear layers; names of transformers, timm and torchvision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from embedrt_convert.archs._config import activation, number, refuse_unless
from embedrt_convert.archs._conv import Pads
from embedrt_convert.archs._network import Grid, Layer, Network, stage_lengths
from embedrt_convert.archs._spelling import lower_spelled
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("convnext",)

_STAGES = 4
_EPSILON = 1e-6  # of every LayerNorm but the last, which transformers has its own for


@dataclass(frozen=True)
class _Names:
    """How a library names the layers. `norm` and `down` are those between stages; `blocks` is the prefix of a stage's.

    The parts of a block come after its own prefix; `scale` is the factor of each column, which may be left out.
    """

    stem: str
    stem_norm: str
    norm: Callable[[int], str]
    down: Callable[[int], str]
    blocks: Callable[[int], str]
    depthwise: str
    block_norm: str
    widen: str
    narrow: str
    scale: str
    last_norm: str


_TRANSFORMERS = _Names(
    stem="embeddings.patch_embeddings",
    stem_norm="embeddings.layernorm",
    norm=lambda stage: f"encoder.stages.{stage}.downsampling_layer.0",
    down=lambda stage: f"encoder.stages.{stage}.downsampling_layer.1",
    blocks=lambda stage: f"encoder.stages.{stage}.layers",
    depthwise="dwconv",
    block_norm="layernorm",
    widen="pwconv1",
    narrow="pwconv2",
    scale="layer_scale_parameter",
    last_norm="layernorm",
)
_TIMM = _Names(
    stem="stem.0",
    stem_norm="stem.1",
    norm=lambda stage: f"stages.{stage}.downsample.0",
    down=lambda stage: f"stages.{stage}.downsample.1",
    blocks=lambda stage: f"stages.{stage}.blocks",
    depthwise="conv_dw",
    block_norm="norm",
    widen="mlp.fc1",
    narrow="mlp.fc2",
    scale="gamma",
    last_norm="head.norm",
)
_TORCHVISION = _Names(
    stem="features.0.0",
    stem_norm="features.0.1",
    norm=lambda stage: f"features.{2 * stage}.0",
    down=lambda stage: f"features.{2 * stage}.1",
    blocks=lambda stage: f"features.{2 * stage + 1}",
    depthwise="block.0",
    block_norm="block.2",
    widen="block.3",
    narrow="block.5",
    scale="layer_scale",
    last_norm="classifier.0",
)


def lower_images(checkpoint: Checkpoint) -> Program:
    """Outputs: image_embedding, the normalised mean of the last feature map; patch_embeddings; patch_mean; logits."""
    return lower_spelled(checkpoint, {"transformers": _transformers, "timm": _timm, "torchvision": _torchvision})


def _transformers(checkpoint: Checkpoint) -> Program:
    config = checkpoint.config
    refuse_unless(config, num_channels=3)
    net = Network(checkpoint, anchor="embeddings.patch_embeddings.weight", classifier="classifier")
    return _lower(net, _TRANSFORMERS, activation(config), number(config, "layer_norm_eps", 1e-12))


def _timm(checkpoint: Checkpoint) -> Program:
    return _lower(Network(checkpoint, anchor="stem.0.weight", classifier="head.fc"), _TIMM)


def _torchvision(checkpoint: Checkpoint) -> Program:
    return _lower(Network(checkpoint, anchor="features.0.0.weight", classifier="classifier.2"), _TORCHVISION)


def _lower(net: Network, names: _Names, act: str = "gelu", epsilon: float = _EPSILON) -> Program:
    x = _patches(net, net.pixels, names.stem)
    x = net.norm(x, names.stem_norm, _EPSILON)
    prefixes = [names.blocks(stage) for stage in range(_STAGES)]
    for stage, length in enumerate(stage_lengths(net.weights, prefixes, f"{names.depthwise}.weight")):
        if stage > 0:
            x = _patches(net, net.norm(x, names.norm(stage), _EPSILON), names.down(stage))
        for i in range(length):
            x = _block(net, names, x, f"{prefixes[stage]}.{i}", act)
    means = net.pool(x)
    embedding = net.norm_row(means, names.last_norm, x.columns, epsilon)
    return net.finish(x, means, embedding, x.columns)


def _patches(net: Network, x: Grid, name: str) -> Grid:
    """A convolution of windows that touch each other."""

    def none(height: int, width: int, kernel: int, stride: int) -> Pads:
        return (0, 0, 0, 0)

    kernel = net.weights.shape(f"{name}.weight")[-1]
    return net.conv(x, Layer(name), stride=kernel, padding=none)


def _block(net: Network, names: _Names, x: Grid, at: str, act: str) -> Grid:
    y = net.depthwise(x, Layer(f"{at}.{names.depthwise}"))
    y = net.norm(y, f"{at}.{names.block_norm}", _EPSILON)
    widen, narrow = f"{at}.{names.widen}", f"{at}.{names.narrow}"
    wide = net.linear(y.value, widen, x.columns, activation=act)
    scale = f"{at}.{names.scale}" if net.weights.has(f"{at}.{names.scale}") else None
    value = net.linear(wide, narrow, net.rows(widen), x.columns, residual=x.value, scale=scale)
    return Grid(value, x.height, x.width, x.columns)
