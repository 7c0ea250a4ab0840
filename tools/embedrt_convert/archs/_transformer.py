"""The halves of a transformer layer, and its norms: what encoders of images and of texts are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.archs._config import head_columns, number, positive
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program, Tensor

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Transformer:
    """Appends ops on rows of `hidden` columns to a program. A source is a weight's name without its last part.

    `rms` norms by the root mean square, without a bias.
    """

    program: Program
    weights: Weights
    hidden: int
    heads: int
    epsilon: float
    rms: bool = False

    @classmethod
    def of(cls, program: Program, weights: Weights, config: Mapping[str, Any], epsilon: float) -> Transformer:
        """Raises ConversionError for a config.json without its sizes; `epsilon` is the norms' where it has none."""
        heads = positive(config, "hidden_size") // head_columns(config)
        return cls(program, weights, heads * head_columns(config), heads, number(config, "layer_norm_eps", epsilon))

    def norm(self, x: int, source: str, name: str) -> int:
        # TensorFlow's names live on in the oldest checkpoints.
        weight = self.weights.take(f"{source}.weight", self.hidden, older=f"{source}.gamma")
        bias = None if self.rms else self.weights.take(f"{source}.bias", self.hidden, older=f"{source}.beta")
        kind = "rms" if self.rms else "layer"
        return self.program.op("norm", x, name=name, weight=weight, bias=bias, kind=kind, epsilon=self.epsilon)

    def linear(
        self,
        x: int,
        *residual: int,
        source: str,
        name: str,
        n: int,
        k: int,
        activation: str = "none",
        bias: bool = True,
        scale: str | None = None,
    ) -> int:
        """activation(x · weightᵀ + bias) + residual. `scale` names a factor of each output, folded into both."""
        weight, shift = self._linear(source, n, k, bias)
        if scale is not None:
            factor = self.weights.take(scale, n)
            weight, shift = weight * factor[:, None], shift * factor
        return self.program.op("linear", x, *residual, name=name, weight=weight, bias=shift, activation=activation)

    def stacked(self, x: int, *, sources: Sequence[str], name: str, n: int, biases: Sequence[bool]) -> int:
        """Linear layers [n, hidden] of the same x side by side. `biases` says which of them have one."""
        parts = [self._linear(source, n, self.hidden, bias) for source, bias in zip(sources, biases, strict=True)]
        weight, bias = (np.concatenate(each) for each in zip(*parts, strict=True))
        return self.program.op("linear", x, name=name, weight=weight, bias=bias)

    def attention(
        self,
        x: int,
        residual: int,
        *,
        sources: tuple[str, str, str, str],
        name: str,
        biases: tuple[bool, bool, bool, bool] = (True, True, True, True),
        scale: str | None = None,
        mask: str = "none",
        rotation: tuple[Tensor, Tensor] | None = None,
        distances: Tensor | None = None,
    ) -> int:
        """Attention of the rows of x, plus `residual`. `sources` and `biases` are of query, key, value and output.

        `rotation` is (cos, sin), [positions, columns of a head]; `scale` as for `linear`, of the output; `distances`
        what is added to the scores (`_bias.py`).
        """
        qkv = self.stacked(x, sources=sources[:3], name=f"{name}.qkv", n=self.hidden, biases=biases[:3])
        if rotation is not None:
            qkv = self.program.op("rope", qkv, cos=rotation[0], sin=rotation[1], heads=self.heads)
        mixed = self.program.op(
            "attention",
            qkv,
            heads=self.heads,
            scale=1 / math.sqrt(self.hidden // self.heads),
            precision="float32",
            mask=mask,
            bias=distances,
        )
        return self.linear(
            mixed,
            residual,
            source=sources[3],
            name=f"{name}.attention_out",
            n=self.hidden,
            k=self.hidden,
            bias=biases[3],
            scale=scale,
        )

    def feed_forward(
        self,
        x: int,
        residual: int,
        *,
        sources: tuple[str, str],
        name: str,
        inner: int,
        activation: str,
        bias: bool = True,
        scale: str | None = None,
    ) -> int:
        """Two linear layers with `inner` columns between them, plus `residual`."""
        n = self.hidden
        y = self.linear(x, source=sources[0], name=f"{name}.ffn_in", n=inner, k=n, bias=bias, activation=activation)
        return self.linear(y, residual, source=sources[1], name=f"{name}.ffn_out", n=n, k=inner, bias=bias, scale=scale)

    def _linear(self, source: str, n: int, k: int, bias: bool) -> tuple[Array, Array]:
        weight = self.weights.take(f"{source}.weight", n, k)
        return weight, self.weights.take(f"{source}.bias", n) if bias else np.zeros(n, np.float32)
