"""Nomic BERT: rotary positions and gated feed-forward layers; its config.json is in GPT-2's words or in BERT's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from embedrt_convert.archs._config import activation, head_columns, number, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import IGNORED, WORDS, logits_of_first
from embedrt_convert.archs._rotary import frequencies, paired, rotation, theta
from embedrt_convert.archs._rotary_encoder import Biases, Names, Part, RotaryEncoder, named, split
from embedrt_convert.archs._vocabulary import VocabularyHead, scores
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("nomic_bert",)

_PUBLISHED = Names(
    layers="encoder.layers",
    norm="emb_ln",
    qkv=split("attn.Wqkv", 3),
    attention_out="attn.out_proj",
    attention_norm="norm1",
    ffn_in=(Part("mlp.fc12"), Part("mlp.fc11")),
    ffn_out="mlp.fc2",
    ffn_norm="norm2",
)
# activation_function -> activation of the op, and whether there is a gate.
_ACTIVATIONS = {"swiglu": ("silu", True), "geglu": ("gelu", True), "glu": ("sigmoid", True), "gelu": ("gelu", False)}
# What would compute something else, and the value that does not.
_PLAIN = {
    "prenorm": False,
    "causal": False,
    "parallel_block": False,
    "use_rms_norm": False,
    "norm_mlp": False,
    "rotary_head_dim": False,
    "rotary_emb_scale_base": None,
}


def lower(checkpoint: Checkpoint) -> Encoder:
    """Raises ConversionError."""
    config = checkpoint.config
    weights = Weights(checkpoint.tensors, anchor=WORDS, ignored=IGNORED)
    lowering = _published if "n_embd" in config else _transformers
    return lowering(config, weights, checkpoint.typed)


def notes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What to tell who converts."""
    if "n_embd" not in config or _positions(config) == positive(config, "n_positions"):
        return ()
    return (
        f"longer texts than {_positions(config)} tokens turn by angles that depend on their length "
        "(rotary_scaling_factor): not supported, so that is the limit",
    )


def _positions(config: Mapping[str, Any]) -> int:
    positions, trained = positive(config, "n_positions"), positive(config, "max_trained_positions", 2048)
    return min(positions, trained) if config.get("rotary_scaling_factor", 1.0) else positions


def _published(config: Mapping[str, Any], weights: Weights, typed: bool) -> Encoder:
    for key in ("num_experts", "moe_every_n_layers"):
        if number(config, key, 0) > 0:
            raise ConversionError(f"config.json has {key} {config[key]}: a mixture of experts is not supported")
    hidden, heads, inner = (positive(config, key) for key in ("n_embd", "n_head", "n_inner"))
    refuse_unless(config, **_PLAIN, num_heads_kv=heads)
    columns = head_columns(config, "n_embd", "n_head")
    fraction = number(config, "rotary_emb_fraction", 0.0)
    turned = columns * fraction
    if turned not in range(2, columns + 1, 2):
        raise ConversionError(
            f"config.json has rotary_emb_fraction {fraction}: {turned} of a head's {columns} columns turn, where "
            "it must be an even number above 0"
        )
    function = config.get("activation_function")
    if function not in _ACTIVATIONS:
        raise ConversionError(f"config.json has activation_function {function!r}; known: {', '.join(_ACTIVATIONS)}")
    act, gated = _ACTIVATIONS[function]
    multiple = positive(config, "pad_vocab_size_multiple", 1)
    positions, interleaved = _positions(config), bool(config.get("rotary_emb_interleaved"))
    qkv_bias, *ffn_biases = (bool(config.get(f"{part}_bias", True)) for part in ("qkv_proj", "mlp_fc1", "mlp_fc2"))
    return RotaryEncoder(
        program=Program(_up_to(positive(config, "vocab_size"), multiple), positions),
        weights=weights,
        names=_PUBLISHED if gated else replace(_PUBLISHED, ffn_in=(Part("mlp.fc1"),)),
        biases=Biases(qkv_bias, qkv_bias, *ffn_biases),
        hidden=hidden,
        heads=heads,
        inner=_up_to(inner, 256) if gated else inner,
        activation=act,
        epsilon=number(config, "layer_norm_epsilon", 1e-5),
        rotation=rotation(frequencies(number(config, "rotary_emb_base", 1000.0), int(turned)), positions, columns),
        order=lambda rows: paired(rows, columns, int(turned), interleaved),
    ).encoder(positive(config, "n_layer"), int(number(config, "type_vocab_size", 2)), typed)


def _transformers(config: Mapping[str, Any], weights: Weights, typed: bool) -> Encoder:
    columns, positions = head_columns(config), positive(config, "max_position_embeddings")
    refuse_unless(config, head_dim=columns)
    return RotaryEncoder(
        program=Program(positive(config, "vocab_size"), positions),
        weights=weights,
        names=named(weights, _PUBLISHED),
        biases=Biases(False, False, False, False),
        hidden=positive(config, "hidden_size"),
        heads=positive(config, "num_attention_heads"),
        inner=positive(config, "intermediate_size"),
        activation=activation(config, default="silu"),
        epsilon=number(config, "layer_norm_eps", 1e-12),
        rotation=rotation(frequencies(theta(config, 1000.0), columns), positions, columns),
    ).encoder(positive(config, "num_hidden_layers"), positive(config, "type_vocab_size"), typed)


def _up_to(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of NomicBertForSequenceClassification. Raises ConversionError."""
    return logits_of_first(encoder, labels, "pooler.dense", "classifier", "tanh", pooler=True)


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of NomicBertForMaskedLM of transformers. Raises ConversionError."""
    at, act = "cls.predictions", activation(config, default="silu")
    names = (f"{at}.transform.dense", act, f"{at}.transform.layer_norm", f"{at}.decoder", f"{at}.bias")
    return scores(encoder, config, VocabularyHead(*names))
