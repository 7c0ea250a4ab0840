"""Encoders that norm after each addition and turn queries and keys by their positions: what several families are.

They differ in names, in which linear layers have a bias, and in the feed-forward layer, plain or gated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import WORDS
from embedrt_convert.archs._rotary import Array, Rotation
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import IDS, Program

_TYPES = "embeddings.token_type_embeddings.weight"


class Part(NamedTuple):
    """A linear layer: one `part` of `of` equal ones, by rows, of the weight and bias `name`."""

    name: str
    part: int = 0
    of: int = 1


def split(name: str, of: int) -> tuple[Part, ...]:
    return tuple(Part(name, part, of) for part in range(of))


@dataclass(frozen=True)
class Names:
    """Where a checkpoint has what. All but `layers` and `norm`, the embeddings', stand below `layers`.<number>.

    `qkv` are query, key and value; `ffn_in` is one layer, or the one that goes through the activation and its factor.
    """

    layers: str
    norm: str
    qkv: tuple[Part, ...]
    attention_out: str
    attention_norm: str
    ffn_in: tuple[Part, ...]
    ffn_out: str
    ffn_norm: str


# transformers' own, for checkpoints that were saved with them; it writes the published ones unless told otherwise.
_NATIVE = Names(
    layers="layers",
    norm="embeddings.LayerNorm",
    qkv=(Part("self_attn.q_proj"), Part("self_attn.k_proj"), Part("self_attn.v_proj")),
    attention_out="self_attn.o_proj",
    attention_norm="post_attention_layernorm",
    ffn_in=(Part("mlp.fc1"),),
    ffn_out="mlp.fc2",
    ffn_norm="post_mlp_layernorm",
)


def named(weights: Weights, published: Names) -> Names:
    """The names that the checkpoint uses: `published` or transformers' own."""
    if not weights.has(f"{_NATIVE.layers}.0.{_NATIVE.attention_out}.weight"):
        return published
    if len(published.ffn_in) == 1:
        return _NATIVE
    return replace(_NATIVE, ffn_in=(Part("mlp.gate_proj"), Part("mlp.up_proj")), ffn_out="mlp.down_proj")


class Biases(NamedTuple):
    """Which linear layers have one."""

    qkv: bool
    attention_out: bool
    ffn_in: bool
    ffn_out: bool


def words_and_types(program: Program, weights: Weights, hidden: int, types: int, typed: bool) -> int:
    """Rows of words and, where there are any, of types. Every token has type 0 unless calls say them (`typed`)."""
    words = weights.take(WORDS, program.vocabulary, hidden)
    kinds = weights.take(_TYPES, types, hidden) if types else None
    typed = typed and types > 1
    if kinds is not None and not typed:
        words = words + kinds[0]
    x = program.op("lookup", IDS, name="embeddings.word", table=words)
    if not typed:
        return x
    return program.op("add", x, program.op("lookup", IDS, name="embeddings.type", table=kinds, index="type"))


def _as_it_is(rows: Array) -> Array:
    return rows


@dataclass(frozen=True)
class RotaryEncoder:
    """The encoder. `epsilon` and `norm` (layer or rms) are the norms'; `inner` the columns between feed-forward layers.

    `order` puts rows of queries and keys into the order in which `rope` pairs them.
    """

    program: Program
    weights: Weights
    names: Names
    biases: Biases
    hidden: int
    heads: int
    inner: int
    activation: str
    epsilon: float
    rotation: Rotation
    norm: str = "layer"
    order: Callable[[Array], Array] = _as_it_is

    def encoder(self, layers: int, types: int, typed: bool) -> Encoder:
        """Everything from the ids on; `types` are the rows of the table of token types, `typed` if calls say them."""
        x = words_and_types(self.program, self.weights, self.hidden, types, typed)
        x = self._norm(x, self.names.norm, "embeddings.norm")
        for number in range(layers):
            x = self._layer(x, f"{self.names.layers}.{number}", f"layer.{number}")
        return Encoder(self.program, x, self.hidden, self.weights)

    def _layer(self, x: int, at: str, name: str) -> int:
        program, names, biases, hidden = self.program, self.names, self.biases, self.hidden
        parts = [self._part(at, part, hidden, biases.qkv) for part in names.qkv]
        parts[:2] = [(self.order(weight), self.order(bias)) for weight, bias in parts[:2]]
        weight, bias = (np.concatenate(each) for each in zip(*parts, strict=True))
        y = program.op("linear", x, name=f"{name}.qkv", weight=weight, bias=bias)
        y = program.op("rope", y, cos=self.rotation[0], sin=self.rotation[1], heads=self.heads)
        scale = 1 / math.sqrt(hidden // self.heads)
        y = program.op("attention", y, heads=self.heads, scale=scale, precision="float32")
        weight, bias = self._part(at, Part(names.attention_out), hidden, biases.attention_out)
        y = program.op("linear", y, x, name=f"{name}.attention_out", weight=weight, bias=bias)
        x = self._norm(y, f"{at}.{names.attention_norm}", f"{name}.attention_norm")

        parts = [self._part(at, part, self.inner, biases.ffn_in) for part in names.ffn_in]
        weight, bias = (np.concatenate(each) for each in zip(*parts, strict=True))
        gated = len(parts) == 2
        act = "none" if gated else self.activation
        y = program.op("linear", x, name=f"{name}.ffn_in", weight=weight, bias=bias, activation=act)
        if gated:
            y = program.op("glu", y, activation=self.activation)
        weight, bias = self._part(at, Part(names.ffn_out), hidden, biases.ffn_out, k=self.inner)
        y = program.op("linear", y, x, name=f"{name}.ffn_out", weight=weight, bias=bias)
        return self._norm(y, f"{at}.{names.ffn_norm}", f"{name}.ffn_norm")

    def _part(self, at: str, part: Part, n: int, bias: bool, *, k: int | None = None) -> tuple[Array, Array]:
        rows = slice(part.part * n, (part.part + 1) * n)
        weight = self.weights.take(f"{at}.{part.name}.weight", n * part.of, k or self.hidden)[rows]
        if not bias:
            return weight, np.zeros(n, np.float32)
        return weight, self.weights.take(f"{at}.{part.name}.bias", n * part.of)[rows]

    def _norm(self, x: int, source: str, name: str) -> int:
        weight = self.weights.take(f"{source}.weight", self.hidden)
        bias = self.weights.take(f"{source}.bias", self.hidden) if self.norm == "layer" else None
        return self.program.op("norm", x, name=name, weight=weight, bias=bias, kind=self.norm, epsilon=self.epsilon)
