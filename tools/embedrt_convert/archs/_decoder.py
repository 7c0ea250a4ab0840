"""The halves of a layer of text generators, which many encoders of texts are made from.

Root-mean-square norms, queries in groups that share keys and values, norms of single heads, rotary positions, and
gated units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.archs._config import head_columns, number, positive
from embedrt_convert.archs._rotary import Rotation
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError

Array = NDArray[np.float32]

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class Decoder:
    """Appends ops on rows of `hidden` columns to a program. A source is a weight's name without its last part.

    `shift` is added to the weights of norms; `bias` says whether the linear layers around attention have one.
    """

    program: Program
    weights: Weights
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    epsilon: float
    bias: bool
    shift: float = 0.0

    @classmethod
    def of(cls, program: Program, weights: Weights, config: Mapping[str, Any], shift: float = 0.0) -> Decoder:
        """Raises ConversionError for a config.json without its sizes, or with groups of queries that are not alike."""
        heads = positive(config, "num_attention_heads")
        kv_heads = heads if config.get("num_key_value_heads") is None else positive(config, "num_key_value_heads")
        if heads % kv_heads:
            raise ConversionError(
                f"config.json has num_key_value_heads {kv_heads}, which does not divide num_attention_heads {heads}"
            )
        head_dim = head_columns(config) if config.get("head_dim") is None else positive(config, "head_dim")
        hidden, inner = positive(config, "hidden_size"), positive(config, "intermediate_size")
        epsilon, bias = number(config, "rms_norm_eps", 1e-6), bool(config.get("attention_bias"))
        return cls(program, weights, hidden, inner, heads, kv_heads, head_dim, epsilon, bias, shift)

    def norm(self, x: int, source: str, name: str) -> int:
        weight = self._norm_weight(source, self.hidden)
        return self.program.op("norm", x, name=name, weight=weight, kind="rms", epsilon=self.epsilon)

    def attention(
        self, x: int, *residual: int, source: str, name: str, rotation: Rotation, scale: float, mask: str, window: int
    ) -> int:
        """Attention of the rows of x, plus `residual`. Heads of queries and keys are normed, and then turned."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        widths = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
        parts = [self._linear(f"{source}.{part}", n, self.hidden) for part, n in widths.items()]
        weight = np.concatenate([weight for weight, _ in parts])
        biases = [bias for _, bias in parts if bias is not None]
        bias = np.concatenate(biases) if biases else None
        y = self.program.op("linear", x, name=f"{name}.qkv", weight=weight, bias=bias)
        heads: dict[str, Any] = {"heads": self.heads, "kv_heads": self.kv_heads}
        query, key = (self._norm_weight(f"{source}.{part}_norm", self.head_dim) for part in "qk")
        norms: dict[str, Any] = {"query": query, "key": key, "kind": "rms", "epsilon": self.epsilon}
        y = self.program.op("head_norm", y, name=f"{name}.heads", **norms, **heads)
        y = self.program.op("rope", y, cos=rotation[0], sin=rotation[1], **heads)
        y = self.program.op("attention", y, scale=scale, precision="float32", mask=mask, window=window, **heads)
        weight, bias = self._linear(f"{source}.o_proj", self.hidden, queries)
        return self.program.op("linear", y, *residual, name=f"{name}.attention_out", weight=weight, bias=bias)

    def feed_forward(self, x: int, *residual: int, source: str, name: str, activation: str) -> int:
        """activation(gate) · up, then back to `hidden` columns, plus `residual`."""
        both = [self.weights.take(f"{source}.{part}_proj.weight", self.inner, self.hidden) for part in ("gate", "up")]
        y = self.program.op("linear", x, name=f"{name}.ffn_in", weight=np.concatenate(both))
        y = self.program.op("glu", y, activation=activation)
        down = self.weights.take(f"{source}.down_proj.weight", self.hidden, self.inner)
        return self.program.op("linear", y, *residual, name=f"{name}.ffn_out", weight=down)

    def _norm_weight(self, source: str, columns: int) -> Array:
        weight = self.weights.take(f"{source}.weight", columns)
        return weight + np.float32(self.shift) if self.shift else weight

    def _linear(self, source: str, n: int, k: int) -> tuple[Array, Array | None]:
        return self.weights.take(f"{source}.weight", n, k), self.weights.take(
            f"{source}.bias", n
        ) if self.bias else None


def layer_types(config: Mapping[str, Any], otherwise: Callable[[int], str]) -> list[str]:
    """FULL or SLIDING for each layer; `otherwise` says it for a config.json that does not. Raises ConversionError."""
    layers = positive(config, "num_hidden_layers")
    types = config.get("layer_types")
    if types is None:
        types = [otherwise(layer) for layer in range(layers)]
    if not isinstance(types, list) or len(types) != layers or not {FULL, SLIDING}.issuperset(map(str, types)):
        raise ConversionError(f"config.json must have layer_types, {FULL} or {SLIDING} for each of {layers} layers")
    return types


def sliding_window(config: Mapping[str, Any]) -> int:
    """The number that config.json must have where layers slide. Raises ConversionError for 1: a row alone."""
    sliding = positive(config, "sliding_window")
    if sliding < 2:
        raise ConversionError(f"config.json has sliding_window {sliding}; it must be at least 2")
    return sliding
