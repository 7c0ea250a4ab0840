"""Jina v3: rotary positions, and adapters for tasks, of which one is merged into the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.archs._config import activation, head_columns, number, positive, refuse_unless
from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.archs._post_norm import IGNORED, WORDS, logits_of_first
from embedrt_convert.archs._rotary import frequencies, rotation, theta
from embedrt_convert.archs._rotary_encoder import Biases, Names, Part, RotaryEncoder, named, split
from embedrt_convert.archs._vocabulary import VocabularyHead, scores
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("jina_embeddings_v3",)

_PUBLISHED = Names(
    layers="encoder.layers",
    norm="emb_ln",
    qkv=split("mixer.Wqkv", 3),
    attention_out="mixer.out_proj",
    attention_norm="norm1",
    ffn_in=(Part("mlp.fc1"),),
    ffn_out="mlp.fc2",
    ffn_norm="norm2",
)


def serves(config: Mapping[str, Any]) -> bool:
    """Whether this is the published checkpoint, which calls itself an XLM-RoBERTa."""
    return config.get("model_type") == "xlm-roberta" and config.get("position_embedding_type") == "rotary"


def tasks(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks that the checkpoint has adapters for. Raises ConversionError."""
    names = config.get("lora_adaptations") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConversionError(f"config.json has lora_adaptations {names!r}, which is no list of names")
    return tuple(names)


def lower(checkpoint: Checkpoint) -> Encoder:
    """The encoder, with the adapter of the checkpoint's task where it has one. Raises ConversionError."""
    config = checkpoint.config
    refuse_unless(
        config,
        is_decoder=False,
        add_cross_attention=False,
        rotary_emb_scale_base=None,
        rotary_emb_interleaved=False,
        rotary_emb_dim=head_columns(config),
    )
    tensors = _Merged(checkpoint.tensors, config, checkpoint.task)
    weights = Weights(tensors, anchor=WORDS, ignored=IGNORED)
    columns, positions = head_columns(config), positive(config, "max_position_embeddings")
    base = number(config, "rotary_emb_base", 10_000.0) if serves(config) else theta(config, 20_000.0)
    return RotaryEncoder(
        program=Program(positive(config, "vocab_size"), positions),
        weights=weights,
        names=named(weights, _PUBLISHED),
        biases=Biases(True, True, True, True),
        hidden=positive(config, "hidden_size"),
        heads=positive(config, "num_attention_heads"),
        inner=positive(config, "intermediate_size"),
        activation=activation(config),
        epsilon=number(config, "layer_norm_eps", 1e-5),
        rotation=rotation(frequencies(base, columns), positions, columns),
    ).encoder(positive(config, "num_hidden_layers"), positive(config, "type_vocab_size"), checkpoint.typed)


class _Merged(Mapping[str, NDArray[Any]]):
    """The tensors with weights that have adapters by their plain names, each made when it is asked for.

    With a task, its adapter is added: products of matrices whose shorter side is lora_rank, times lora_alpha / rank.
    """

    _ORIGINAL, _FACTORS = "parametrizations.weight.original", "parametrizations.weight.0.lora_"

    def __init__(self, tensors: Mapping[str, NDArray[Any]], config: Mapping[str, Any], task: str | None) -> None:
        self._tensors = tensors
        plain = (name for name in tensors if self._FACTORS not in name)
        self._names = {name.replace(self._ORIGINAL, "weight"): name for name in plain}
        self._task = None if task is None else tasks(config).index(task)
        if self._task is not None:
            self._tasks, self._rank = len(tasks(config)), positive(config, "lora_rank")
            self._scale = np.float32(number(config, "lora_alpha", 1.0) / self._rank)
            if not any(self._FACTORS in name for name in tensors):
                raise ConversionError(f"the checkpoint has no adapters, so none for the task {task}")

    def __getitem__(self, name: str) -> NDArray[Any]:
        full = self._names[name]
        tensor = self._tensors[full]
        if self._task is None or not full.endswith(self._ORIGINAL):
            return tensor
        at = full.replace(self._ORIGINAL, self._FACTORS)
        if f"{at}A" not in self._tensors or f"{at}B" not in self._tensors:
            raise ConversionError(f"the checkpoint has no {at}A and {at}B")
        a, b = (self._tensors[f"{at}{letter}"].astype(np.float32, copy=False) for letter in "AB")
        # A table's columns are what a linear layer's rows are: outputs.
        left, right = (a, b) if name.endswith("embeddings.weight") else (b, a)
        (n, k), (count, rank) = tensor.shape, (self._tasks, self._rank)
        if left.shape != (count, n, rank) or right.shape != (count, rank, k):
            raise ConversionError(f"{at}A {list(a.shape)} and {at}B {list(b.shape)} do not fit {list(tensor.shape)}")
        merged: NDArray[Any] = left[self._task] @ right[self._task] * self._scale + tensor
        return merged

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def classifier(encoder: Encoder, config: Mapping[str, Any], labels: int) -> int:
    """The logits [segments, labels] of JinaEmbeddingsV3ForSequenceClassification. Raises ConversionError."""
    return logits_of_first(encoder, labels, "classifier.dense", "classifier.out_proj", "tanh")


def vocabulary_logits(encoder: Encoder, config: Mapping[str, Any]) -> int:
    """[rows, vocabulary] of JinaEmbeddingsV3ForMaskedLM. Raises ConversionError."""
    dense, norm = "lm_head.dense", "lm_head.layer_norm"
    return scores(encoder, config, VocabularyHead(dense, "gelu", norm, "lm_head.decoder", "lm_head.bias"))
