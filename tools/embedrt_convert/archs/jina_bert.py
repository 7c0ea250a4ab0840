"""Jina v2: BERT with ALiBi instead of positions, and gated feed-forward layers. It goes by the model_type of BERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._bias import alibi
from embedrt_convert.archs._config import activation, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import BERT, IGNORED, WORDS, layer, logits_of_first
from embedrt_convert.archs._rotary_encoder import words_and_types
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program, Tensor
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ()

_GATES = {"geglu": "gelu", "reglu": "relu"}
# A weight that only the variant for code has: norms of whole rows of queries and of keys.
_QUERY_NORM = "encoder.layer.0.attention.self.layer_norm_q.weight"


def serves(config: Mapping[str, Any]) -> bool:
    """Whether this is Jina's, and not BERT."""
    return config.get("model_type") == "bert" and config.get("position_embedding_type") == "alibi"


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(config, is_decoder=False, add_cross_attention=False, pruned_heads={})
    kind = config.get("feed_forward_type", "original")
    if kind != "original" and kind not in _GATES:
        raise ConversionError(f"config.json has feed_forward_type {kind!r}; known: original, {', '.join(_GATES)}")
    weights = Weights(checkpoint.tensors, anchor=WORDS, ignored=IGNORED)
    if weights.has(_QUERY_NORM):
        raise ConversionError(f"the checkpoint has {_QUERY_NORM}: norms of queries and keys are not supported")
    positions, inner = positive(config, "max_position_embeddings"), positive(config, "intermediate_size")
    program = Program(positive(config, "vocab_size"), positions)
    layers = Transformer.of(program, weights, config, 1e-12)
    x = words_and_types(program, weights, layers.hidden, positive(config, "type_vocab_size"), checkpoint.typed)
    x = layers.norm(x, "embeddings.LayerNorm", "embeddings.norm")
    distances = Tensor("alibi", "matrix_f32", alibi(layers.heads, positions))
    for number in range(positive(config, "num_hidden_layers")):
        source, name = f"encoder.layer.{number}", f"layer.{number}"
        if kind == "original":
            act = activation(config)
            x = layer(layers, x, source, name, inner=inner, activation=act, distances=distances)
        else:
            x = _gated_layer(layers, x, source, name, inner=inner, activation=_GATES[kind], distances=distances)
    return Encoder(program, x, layers.hidden, weights)


def _gated_layer(
    layers: Transformer, x: int, source: str, name: str, *, inner: int, activation: str, distances: Tensor
) -> int:
    query, key, value, output = (f"{source}.{part}" for part in BERT.attention)
    y = layers.attention(x, x, sources=(query, key, value, output), name=name, distances=distances)
    x = layers.norm(y, f"{source}.{BERT.attention_norm}", f"{name}.attention_norm")
    gated, hidden = f"{source}.mlp.gated_layers", layers.hidden
    y = layers.linear(x, source=gated, name=f"{name}.ffn_in", n=2 * inner, k=hidden, bias=False)
    y = layers.program.op("glu", y, activation=activation)
    y = layers.linear(y, x, source=f"{source}.mlp.wo", name=f"{name}.ffn_out", n=hidden, k=inner)
    return layers.norm(y, f"{source}.mlp.layernorm", f"{name}.ffn_norm")


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of JinaBertForSequenceClassification. Raises ConversionError."""
    return logits_of_first(encoder, labels, "pooler.dense", "classifier", "tanh", pooler=True)
