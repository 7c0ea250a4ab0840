"""Image networks layer by layer: each convolution with its BatchNorm folded, and the size of every grid followed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.archs._conv import Array, Pads, conv, depthwise, output_size, same_pads, window
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import PIXELS, Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

# Of a window: (height, width, kernel, stride) -> its padding.
Padding = Callable[[int, int, int, int], Pads]


def half_pads(height: int, width: int, kernel: int, stride: int) -> Pads:
    """PyTorch's padding of half a kernel on every side."""
    return (kernel // 2,) * 4


PADDINGS: dict[str, Padding] = {"half": half_pads, "same": same_pads}


@dataclass(frozen=True)
class Grid:
    """A value of the program: `columns` numbers for each of height · width places."""

    value: int
    height: int
    width: int
    columns: int


@dataclass(frozen=True)
class Layer:
    """A convolution by the prefix of its weights, and of the BatchNorm after it; without one it has a bias."""

    conv: str
    norm: str | None = None


class Network:
    """The program of a network of images while it grows.

    `anchor` is a weight that every checkpoint of the spelling has; `classifier` is the prefix of the linear layer
    that makes logits, which no other output depends on; `epsilon` is that of every BatchNorm.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        anchor: str,
        classifier: str,
        epsilon: float = 1e-5,
        padding: Padding = half_pads,
    ) -> None:
        assert checkpoint.image is not None
        self._checkpoint = checkpoint
        self._image = checkpoint.image
        self._classifier = classifier
        self._epsilon = epsilon
        self._padding = padding
        ignored = (r".*\.num_batches_tracked", rf"{re.escape(classifier)}\.(weight|bias)")
        self.weights = Weights(checkpoint.tensors, anchor=anchor, ignored=ignored)
        self.program = Program(0, 0, image_size=(self._image.height, self._image.width))
        self.pixels = Grid(PIXELS, self._image.height, self._image.width, 3)

    def conv(
        self,
        x: Grid,
        layer: Layer,
        *residual: Grid,
        stride: int = 1,
        activation: str = "none",
        padding: Padding | None = None,
    ) -> Grid:
        """activation(conv(x) + residual)."""
        n, _, kernel, _ = self._window(layer)
        weight, bias = self._folded(layer, n, x.columns, kernel, kernel)
        pads = self._pads(x, kernel, stride, padding)
        value = conv(
            self.program,
            x.value,
            *(each.value for each in residual),
            name=layer.conv,
            weight=weight,
            bias=bias,
            stride=stride,
            pads=pads,
            activation=activation,
            image=self._image,
        )
        return Grid(value, *output_size(x.height, x.width, kernel, stride, pads), n)

    def depthwise(
        self, x: Grid, layer: Layer, *, stride: int = 1, activation: str = "none", padding: Padding | None = None
    ) -> Grid:
        kernel = self._window(layer)[2]
        weight, bias = self._folded(layer, x.columns, 1, kernel, kernel)
        pads = self._pads(x, kernel, stride, padding)
        value = depthwise(
            self.program,
            x.value,
            name=layer.conv,
            weight=weight,
            bias=bias,
            stride=stride,
            pads=pads,
            activation=activation,
        )
        return Grid(value, *output_size(x.height, x.width, kernel, stride, pads), x.columns)

    def max_pool(self, x: Grid, kernel: int, stride: int) -> Grid:
        pads = half_pads(x.height, x.width, kernel, stride)
        value = self.program.op("max_pool", x.value, name="max_pool", **window(kernel, stride, pads))
        return Grid(value, *output_size(x.height, x.width, kernel, stride, pads), x.columns)

    def squeeze_excite(self, x: Grid, reduce: str, expand: str, *, activation: str, gate: str) -> Grid:
        """Each column of an image times a factor that its means decide."""
        means = self.pool(x)
        squeezed = self.linear(means, reduce, x.columns, activation=activation)
        factors = self.linear(squeezed, expand, self.rows(reduce), x.columns, activation=gate)
        return Grid(self.program.op("gate", x.value, factors), x.height, x.width, x.columns)

    def pool(self, x: Grid, kind: str = "mean") -> int:
        return self.program.op("pool", x.value, kind=kind)

    def rows(self, name: str) -> int:
        """How many columns the layer `name` makes."""
        return self.weights.shape(f"{name}.weight")[0]

    def linear(
        self,
        x: int,
        name: str,
        columns: int,
        rows: int | None = None,
        *,
        activation: str = "none",
        residual: int | None = None,
        scale: str | None = None,
    ) -> int:
        """activation(scale · (a linear layer, or a 1x1 convolution, of `columns` numbers with a bias)) + residual."""
        n = rows or self.rows(name)
        weight = self.weights.take(f"{name}.weight", n, columns, *self.weights.shape(f"{name}.weight")[2:])
        weight, bias = weight.reshape(n, columns), self.weights.take(f"{name}.bias", n)
        if scale is not None:
            factor = self.weights.take(scale, n, *self.weights.shape(scale)[1:]).reshape(n)
            weight, bias = weight * factor[:, None], bias * factor
        inputs = [x] if residual is None else [x, residual]
        return self.program.op("linear", *inputs, name=name, weight=weight, bias=bias, activation=activation)

    def norm(self, x: Grid, name: str, epsilon: float) -> Grid:
        """LayerNorm of the columns of each place."""
        return Grid(self.norm_row(x.value, name, x.columns, epsilon), x.height, x.width, x.columns)

    def norm_row(self, x: int, name: str, columns: int, epsilon: float) -> int:
        weight, bias = (self.weights.take(f"{name}.{part}", columns) for part in ("weight", "bias"))
        return self.program.op("norm", x, name=name, weight=weight, bias=bias, epsilon=epsilon)

    def finish(self, features: Grid, pooled: int, embedding: int, columns: int) -> Program:
        """Name the outputs and account for every weight; `embedding` has `columns` numbers."""
        outputs = {"image_embedding": embedding, "patch_embeddings": features.value}
        if pooled != embedding:
            outputs["patch_mean"] = pooled
        self.weights.finish()
        if self._checkpoint.classifier:
            outputs["logits"] = self._logits(embedding, columns)
        self.program.outputs = outputs
        return self.program

    def _logits(self, x: int, columns: int) -> int:
        # Some spellings have it outside the prefix of the network itself.
        name = self._classifier
        head = Weights(self._checkpoint.tensors, anchor=f"{name}.weight", ignored=())
        n = head.shape(f"{name}.weight")[0]
        labels = self._image.labels
        if labels is not None and len(labels) != n:
            raise ConversionError(f"there are {len(labels)} labels for the {n} columns of {name}.weight")
        weight, bias = head.take(f"{name}.weight", n, columns), head.take(f"{name}.bias", n)
        return self.program.op("linear", x, name="classifier", weight=weight, bias=bias)

    def _window(self, layer: Layer) -> tuple[int, ...]:
        name = f"{layer.conv}.weight"
        shape = self.weights.shape(name)
        if len(shape) != 4 or shape[2] != shape[3]:
            raise ConversionError(f"weight {name} has the shape {list(shape)}, which is no square convolution")
        return shape

    def _pads(self, x: Grid, kernel: int, stride: int, padding: Padding | None) -> Pads:
        pads = (padding or self._padding)(x.height, x.width, kernel, stride)
        if min(output_size(x.height, x.width, kernel, stride, pads)) < 1:
            raise ConversionError(
                f"images of {self._image.height} x {self._image.width} are too small for this network: "
                f"{x.height} x {x.width} is left before a window of {kernel} x {kernel}"
            )
        return pads

    def _folded(self, layer: Layer, *shape: int) -> tuple[Array, Array]:
        weight, n = self.weights.take(f"{layer.conv}.weight", *shape), shape[0]
        if layer.norm is None:
            return weight, self.weights.take(f"{layer.conv}.bias", n)
        gamma, beta, mean, variance = (
            self.weights.take(f"{layer.norm}.{part}", n).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        if variance.min() < 0:
            raise ConversionError(f"weight {layer.norm}.running_var has values below 0")
        factor: NDArray[np.float64] = gamma / np.sqrt(variance + self._epsilon)
        if self.weights.has(f"{layer.conv}.bias"):
            mean = mean - self.weights.take(f"{layer.conv}.bias", n)
        folded = weight * factor.reshape(-1, 1, 1, 1)
        return folded.astype(np.float32), (beta - mean * factor).astype(np.float32)


def stage_lengths(weights: Weights, stages: Sequence[str], block: str) -> list[int]:
    """How many blocks each stage has: `{stage}.0.{block}`, `{stage}.1.{block}` … are weights."""
    lengths = []
    for stage in stages:
        length = 0
        while weights.has(f"{stage}.{length}.{block}"):
            length += 1
        lengths.append(length)
    return lengths
