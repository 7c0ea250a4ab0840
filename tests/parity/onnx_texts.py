"""Tiny random text encoders, as the exporters of torch see them: tensors in by name, tensors out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cpu_torchvision  # noqa: F401  (before timm and torchvision)
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from onnx_toy import LibraryEncoder, Recurrent, ToyEncoder
from torch import nn

VOCABULARY, LONGEST = 203, 48
_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 56,
    "max_position_embeddings": LONGEST,
}


@dataclass(frozen=True)
class TextModel:
    """A module that takes `inputs` by name, int64 [texts, tokens], and returns one tensor for each of `outputs`.

    A text begins with `bos` and ends with `eos` where they are not None, and holds neither between. Nor does it hold
    `pad`.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    vocabulary: int = VOCABULARY
    max_tokens: int = LONGEST
    bos: int | None = None
    eos: int | None = None
    pad: int | None = None
    kind = "text"
    dynamic = (0, 1)

    def text(self, length: int, seed: int) -> NDArray[np.int64]:
        """Token ids [length]: a text that the model could be given."""
        taken = (self.bos, self.eos, self.pad)
        words = [word for word in range(self.vocabulary) if word not in taken]
        ids = np.random.default_rng(seed).choice(words, length)
        if self.bos is not None:
            ids[0] = self.bos
        if self.eos is not None:
            ids[-1] = self.eos
        return ids

    def feeds(self, ids: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """One text alone [1, tokens], under the names of the graph's inputs."""
        made = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
            "position_ids": np.arange(len(ids)),
        }
        return {name: made[name][None] for name in self.inputs}

    def batch(self, texts: list[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
        """Texts of any lengths, padded on the right."""
        longest = max(map(len, texts))
        pad = self.pad or 0
        made: dict[str, list[NDArray[np.int64]]] = {name: [] for name in self.inputs}
        for ids in texts:
            for name, value in self.feeds(ids).items():
                filler = pad if name == "input_ids" else 0
                made[name].append(np.pad(value[0], (0, longest - len(ids)), constant_values=filler))
        return {name: np.stack(rows) for name, rows in made.items()}

    def example(self) -> dict[str, torch.Tensor]:
        texts = self.batch([self.text(9, 1), self.text(6, 2)])
        return {name: torch.from_numpy(value) for name, value in texts.items()}

    def expected(self, ids: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """What torch makes of one text."""
        with torch.no_grad():
            made = self.module(**{name: torch.from_numpy(value) for name, value in self.feeds(ids).items()})
        tensors = made if isinstance(made, tuple) else (made,)
        return {name: tensor.numpy()[0] for name, tensor in zip(self.outputs, tensors, strict=True)}

    def calibration(self) -> list[dict[str, NDArray[np.int64]]]:
        """What ranges are measured on: texts of many lengths."""
        return [self.feeds(self.text(length, 100 + length)) for length in range(2, self.max_tokens, 3)]

    def inputs_to_compare(self) -> list[NDArray[np.int64]]:
        """Texts of the shortest length to the longest."""
        shortest = 1 if self.bos is None else 2
        lengths = [shortest, 2, 3, 7, 16, self.max_tokens - 1, self.max_tokens]
        return [self.text(length, number) for number, length in enumerate(lengths)]

    def about(self) -> dict[str, Any]:
        names = ("kind", "inputs", "outputs", "vocabulary", "max_tokens", "bos", "eos", "pad")
        return {name: getattr(self, name) for name in names}


class Selected(nn.Module):
    """A model of transformers that returns some of its outputs, as a tuple."""

    def __init__(self, model: nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.outputs = outputs

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        others = {"token_type_ids": token_type_ids, "position_ids": position_ids}
        given = {name: value for name, value in others.items() if value is not None}
        made = self.model(input_ids=input_ids, attention_mask=attention_mask, **given)
        return tuple(getattr(made, name) for name in self.outputs)


class Sentences(nn.Module):
    """What sentence-transformers makes of a model: the masked mean of its tokens, at length 1."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        weights = attention_mask.unsqueeze(-1).expand(tokens.size()).to(tokens.dtype)
        mean = (tokens * weights).sum(1) / torch.clamp(weights.sum(1), min=1e-9)
        return tokens, nn.functional.normalize(mean, p=2, dim=1)


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights large enough that every part of the model matters; no bias is zero and no norm's weight is one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.eval().parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(noise * 0.15)
            else:
                parameter.add_(noise * 0.1)
    return model


_MASKED = ("input_ids", "attention_mask")
_TYPED = (*_MASKED, "token_type_ids")
_TOKENS = ("last_hidden_state",)


def _transformers(kind: str, attention: str, outputs: tuple[str, ...] = _TOKENS, **config: Any) -> nn.Module:
    """`kind` is what the class names begin with."""
    settings = getattr(transformers, f"{kind}Config")(**config)
    model = getattr(transformers, f"{kind}Model")._from_config(settings, attn_implementation=attention)
    return randomise(Selected(model, outputs))


def bert(attention: str = "sdpa", inputs: tuple[str, ...] = _TYPED, outputs: tuple[str, ...] = _TOKENS) -> TextModel:
    return TextModel(_transformers("Bert", attention, outputs, **_SIZES), inputs, outputs)


def bert_of_letters() -> TextModel:
    """Fewer ids than positions."""
    model = _transformers("Bert", "sdpa", **{**_SIZES, "vocab_size": 30})
    return TextModel(model, _TYPED, _TOKENS, vocabulary=30)


def bert_sentences() -> TextModel:
    model = randomise(Sentences(transformers.BertModel(transformers.BertConfig(**_SIZES))))
    return TextModel(model, _TYPED, ("token_embeddings", "sentence_embedding"))


def _from_second_position(kind: str, attention: str) -> TextModel:
    """Positions are counted over the ids that are not padding, from 2."""
    sizes = {**_SIZES, "max_position_embeddings": LONGEST + 2, "pad_token_id": 1}
    return TextModel(_transformers(kind, attention, **sizes), _MASKED, _TOKENS, pad=1)


def roberta(attention: str = "sdpa") -> TextModel:
    return _from_second_position("Roberta", attention)


def mpnet(attention: str = "eager") -> TextModel:
    return _from_second_position("MPNet", attention)


def distilbert(attention: str = "sdpa") -> TextModel:
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 56, "max_position_embeddings": LONGEST}
    model = _transformers("DistilBert", attention, vocab_size=VOCABULARY, **sizes)
    return TextModel(model, _MASKED, _TOKENS)


def clip_text(attention: str = "sdpa", eos: int = VOCABULARY - 1) -> TextModel:
    """The text's vector is that at its end. `eos` 2 is what old configs say: the end is then the largest id."""
    config = transformers.CLIPTextConfig(**_SIZES, projection_dim=24, eos_token_id=eos, bos_token_id=VOCABULARY - 2)
    model = transformers.CLIPTextModelWithProjection._from_config(config, attn_implementation=attention)
    outputs = ("text_embeds", "last_hidden_state")
    return TextModel(
        randomise(Selected(model, outputs)), _MASKED, outputs, bos=VOCABULARY - 2, eos=VOCABULARY - 1, pad=1
    )


def toy(**settings: Any) -> TextModel:
    return _own(ToyEncoder(VOCABULARY, LONGEST, **settings))


def torch_encoder(*, norm_first: bool) -> TextModel:
    return _own(LibraryEncoder(VOCABULARY, LONGEST, norm_first=norm_first))


def lstm() -> TextModel:
    return _own(Recurrent(VOCABULARY))


def _own(module: nn.Module) -> TextModel:
    return TextModel(randomise(module), _MASKED, ("sentence_embedding",))


def electra() -> TextModel:
    """Embeddings narrower than the layers."""
    return TextModel(_transformers("Electra", "sdpa", embedding_size=20, **_SIZES), _TYPED, _TOKENS)


def albert() -> TextModel:
    """Layers that share their weights."""
    return TextModel(_transformers("Albert", "eager", embedding_size=20, **_SIZES), _TYPED, _TOKENS)


def xlm_roberta() -> TextModel:
    return _from_second_position("XLMRoberta", "sdpa")


def t5() -> TextModel:
    """Relative positions, by buckets of distance; root mean square norms; GEGLU."""
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 56, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"}
    buckets = {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 20}
    config = transformers.T5Config(vocab_size=VOCABULARY, **sizes, **buckets)
    return TextModel(randomise(Selected(transformers.T5EncoderModel(config), _TOKENS)), _MASKED, _TOKENS)


def modernbert() -> TextModel:
    """Rotary positions, a window in two of three layers, GEGLU, no biases."""
    sizes = {**_SIZES, "num_hidden_layers": 3, "local_attention": 8}
    special = {f"{name}_token_id": number for number, name in enumerate(("pad", "bos", "eos", "cls", "sep"))}
    return TextModel(_transformers("ModernBert", "sdpa", **sizes, **special), _MASKED, _TOKENS)
