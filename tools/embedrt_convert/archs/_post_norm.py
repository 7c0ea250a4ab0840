"""Transformers that norm after each half of a layer: BERT's embeddings and layers, by any family's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedrt_convert.archs._config import positive
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.builder import IDS, Tensor

WORDS = "embeddings.word_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_TYPES = "embeddings.token_type_embeddings.weight"

# What else checkpoints hold that the vectors of tokens do not depend on: poolers, buffers, and heads by their names.
IGNORED = (
    r"pooler\.(dense\.)?(weight|bias)",
    r"embeddings\.(position|token_type)_ids",
    r"(cls|lm_head|classifier|qa_outputs)\..*",
)


@dataclass(frozen=True)
class Names:
    """What a layer's weights are called within it; those of attention are query, key, value and output."""

    attention: tuple[str, str, str, str]
    attention_norm: str
    feed_forward: tuple[str, str]
    feed_forward_norm: str


BERT = Names(
    ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
    "attention.output.LayerNorm",
    ("intermediate.dense", "output.dense"),
    "output.LayerNorm",
)


def embeddings(
    layers: Transformer, config: Mapping[str, Any], *, first: int = 0, types: bool = True, typed: bool = False
) -> int:
    """Words, positions and types, normed: rows of `layers.hidden` columns.

    `first` is the row of the position table that a text's first token takes; `types` whether the family has them;
    `typed` whether calls say them, as for pairs of texts. Otherwise every token has type 0.
    """
    program, weights, columns = layers.program, layers.weights, layers.hidden
    table = weights.take(_POSITIONS, positive(config, "max_position_embeddings"), columns)[first:]
    kinds = weights.take(_TYPES, positive(config, "type_vocab_size"), columns) if types else None
    typed = typed and kinds is not None and len(kinds) > 1
    if kinds is not None and not typed:
        table = table + kinds[0]
    vocabulary = weights.take(WORDS, positive(config, "vocab_size"), columns)
    words = program.op("lookup", IDS, name="embeddings.word", table=vocabulary)
    where = program.op("lookup", IDS, name="embeddings.position", table=table, index="position")
    x = program.op("add", words, where)
    if typed:
        x = program.op("add", x, program.op("lookup", IDS, name="embeddings.type", table=kinds, index="type"))
    return layers.norm(x, "embeddings.LayerNorm", "embeddings.norm")


def layer(
    layers: Transformer,
    x: int,
    source: str,
    name: str,
    *,
    names: Names = BERT,
    inner: int,
    activation: str,
    distances: Tensor | None = None,
) -> int:
    """One layer. `source` stands before its weights' names, `name` before those that they get in the program."""
    query, key, value, output = (f"{source}.{part}" for part in names.attention)
    first, second = (f"{source}.{part}" for part in names.feed_forward)
    y = layers.attention(x, x, sources=(query, key, value, output), name=name, distances=distances)
    x = layers.norm(y, f"{source}.{names.attention_norm}", f"{name}.attention_norm")
    y = layers.feed_forward(x, x, sources=(first, second), name=name, inner=inner, activation=activation)
    return layers.norm(y, f"{source}.{names.feed_forward_norm}", f"{name}.ffn_norm")


def logits_of_first(encoder: Encoder, labels: int, first: str, second: str, act: str, *, pooler: bool = False) -> int:
    """Logits [segments, labels]: two linear layers on the vector of a text's first token, `act` between them.

    `first` and `second` are their names; `pooler` says that the first one is the encoder's own.
    """
    program, weights, hidden = encoder.program, encoder.weights, encoder.hidden
    x = program.op("pool", encoder.rows, kind="first")
    for source, n, activation, outside in ((first, hidden, act, not pooler), (second, labels, "none", True)):
        weight = weights.take(f"{source}.weight", n, hidden, outside=outside)
        bias = weights.take(f"{source}.bias", n, outside=outside)
        x = program.op("linear", x, name=source, weight=weight, bias=bias, activation=activation)
    return x
