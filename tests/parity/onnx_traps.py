"""Small text encoders that are nearly something known: each differs in one piece, which may be easy to overlook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx_texts import TextModel, randomise
from torch import nn
from torch.nn import functional

VOCABULARY, LONGEST, WIDTH, HEADS = 61, 48, 32, 4
_PADDING, _FIRST, _LAST, _OTHER = 1, 2, 3, 4  # ids that mean something to some of the models
Pieces = dict[str, Callable[..., torch.Tensor]]


class Encoder(nn.Module):
    """One layer. `pieces` take the place of its own: each is called with the module and what it is given below."""

    def __init__(self, pieces: Pieces) -> None:
        super().__init__()
        self.pieces = pieces
        self.words, self.more = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(LONGEST + 2, WIDTH)
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 40), nn.Linear(40, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def _piece(self, name: str, default: Callable[[], torch.Tensor], *given: Any) -> torch.Tensor:
        return self.pieces[name](self, *given) if name in self.pieces else default()

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).transpose(1, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        place = torch.arange(input_ids.shape[1])
        x = self._piece("embed", lambda: self.words(input_ids) + self.places(place), input_ids, place)
        q, k = self._heads(self.q(x)), self._heads(self.k(x))
        v = self._heads(self.v(self._piece("values", lambda: x, x)))
        scores = self._piece("scores", lambda: q @ k.transpose(2, 3) / 8**0.5, q, k, place)
        keep = attention_mask[:, None, None, :].bool()
        keep = self._piece("keep", lambda: keep, keep, place, input_ids)
        scores = scores.masked_fill(~keep, -1e9)
        mixed = self._piece("weights", lambda: scores.softmax(-1), scores) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        x = self._piece("norm", lambda: self.norm(x), x)
        x = x + self.down(self._piece("act", lambda: functional.gelu(self.up(x)), self.up(x)))
        weights = attention_mask[:, :, None].float()
        return self._piece("pool", lambda: (x * weights).sum(1) / weights.sum(1), x, weights, input_ids)


class Trap(TextModel):
    """Texts as tokenizers make them, with the ids that mean something, of every length."""

    def text(self, length: int, seed: int) -> NDArray[np.int64]:
        rng = np.random.default_rng(seed)
        ids = np.where(rng.random(length) < 0.3, rng.integers(0, 6, length), rng.integers(0, self.vocabulary, length))
        ids[ids == _PADDING] = _OTHER
        ids[0], ids[-1] = _FIRST, _LAST
        return ids

    def inputs_to_compare(self) -> list[NDArray[np.int64]]:
        return [self.text(length, length) for length in range(1, self.max_tokens + 1)]


def trap(name: str) -> Trap:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = randomise(Encoder(TRAPS[name]))
    return Trap(module, ("input_ids", "attention_mask"), ("sentence_embedding",), VOCABULARY, LONGEST, pad=_PADDING)


def _mean(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (x * weights).sum(1) / weights.sum(1).clamp(min=1)


def _distance(place: torch.Tensor) -> torch.Tensor:
    return (place[:, None] - place).abs()


def _centred(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean(-1, keepdim=True)


def _normalised(x: torch.Tensor) -> torch.Tensor:
    return functional.normalize(x, dim=-1)


TRAPS: dict[str, Pieces] = {
    "none": {},
    # What the ids decide other than by a table.
    "ids modulo": {"embed": lambda m, ids, place: m.words(ids % 5) + m.places(place)},
    "ids clamped": {"embed": lambda m, ids, place: m.words(ids.clamp(max=40)) + m.places(place)},
    "ids replaced": {"embed": lambda m, ids, place: m.words(torch.where(ids == _OTHER, 5, ids)) + m.places(place)},
    "ids shifted": {"embed": lambda m, ids, place: m.words(torch.roll(ids, 1, 1)) + m.places(place)},
    "ids flipped": {"embed": lambda m, ids, place: m.words(ids.flip(1)) + m.places(place)},
    "two tables": {"embed": lambda m, ids, place: m.words(ids) + m.more(ids) + m.places(place)},
    "pairs of ids": {"embed": lambda m, ids, place: m.words(ids) + m.more(torch.roll(ids, 1, 1)) + m.places(place)},
    "an id is nothing": {"embed": lambda m, ids, place: (m.words(ids) + m.places(place)) * (ids != _OTHER)[..., None]},
    "sentences counted": {"embed": lambda m, ids, place: m.words(ids) + m.places((ids == _LAST).long().cumsum(1))},
    "words counted": {"embed": lambda m, ids, place: m.words(ids) + m.places((ids != _PADDING).long().cumsum(1))},
    "share of an id": {
        "embed": lambda m, ids, place: m.words(ids) * (1 - (ids == _OTHER).float().mean(1))[:, None, None]
    },
    "key by id": {"keep": lambda m, keep, place, ids: keep & (ids != _OTHER)[:, None, None, :]},
    "mean without ends": {"pool": lambda m, x, w, ids: _mean(x, w * ((ids != _FIRST) & (ids != _LAST))[..., None])},
    # What the length decides.
    "by length": {"embed": lambda m, ids, place: m.words(ids) / ids.shape[1] + m.places(place)},
    "places from the end": {"embed": lambda m, ids, place: m.words(ids) + m.places(place.flip(0))},
    "places stretched": {"embed": lambda m, ids, place: m.words(ids) + m.places(place * 40 // ids.shape[1])},
    "distance by length": {
        "scores": lambda m, q, k, place: q @ k.transpose(2, 3) - 3.0 * _distance(place) / k.shape[2]
    },
    "scores by length": {"scores": lambda m, q, k, place: q @ k.transpose(2, 3) * torch.ones(()) / k.shape[2]},
    "mean and one": {"pool": lambda m, x, w, ids: (x * w).sum(1) / (w.sum(1) + 1)},
    "mean by the limit": {"pool": lambda m, x, w, ids: (x * w).sum(1) / LONGEST},
    # Attention.
    "keys of two heads swapped": {"scores": lambda m, q, k, place: q @ k.flip(1).transpose(2, 3)},
    "squared distance": {"scores": lambda m, q, k, place: -((q[:, :, :, None] - k[:, :, None]) ** 2).sum(-1)},
    "softcap": {"scores": lambda m, q, k, place: torch.tanh(q @ k.transpose(2, 3) / 5) * 5},
    "bias by key": {"scores": lambda m, q, k, place: q @ k.transpose(2, 3) + place * 0.1},
    "bias by both": {"scores": lambda m, q, k, place: q @ k.transpose(2, 3) + 0.01 * place[:, None] * place},
    "uneven window": {
        "keep": lambda m, keep, place, ids: keep & (place >= place[:, None] - 5) & (place <= place[:, None] + 3)
    },
    "blocks": {"keep": lambda m, keep, place, ids: keep & (place // 8 == place[:, None] // 8)},
    "every other key": {"keep": lambda m, keep, place, ids: keep & (_distance(place) % 2 == 0)},
    "window and first": {"keep": lambda m, keep, place, ids: keep & ((_distance(place) <= 3) | (place == 0))},
    "twenty keys": {"keep": lambda m, keep, place, ids: keep & (place < 20)},
    "softmax over heads": {"weights": lambda m, scores: scores.softmax(1)},
    "softmax over queries": {"weights": lambda m, scores: scores.softmax(2)},
    "softmax and one": {"weights": lambda m, scores: scores.exp() / (1 + scores.exp().sum(-1, keepdim=True))},
    "weights scaled": {"weights": lambda m, scores: scores.softmax(-1) * 0.9},
    "values of the first": {"values": lambda m, x: x[:, :1].expand_as(x)},
    # Norms.
    "deviation and epsilon": {"norm": lambda m, x: _centred(x) / (x.std(-1, keepdim=True, unbiased=False) + 0.1)},
    "unbiased deviation": {"norm": lambda m, x: _centred(x) / (x.var(-1, keepdim=True) + 1e-5).sqrt()},
    "centred, not its square": {"norm": lambda m, x: _centred(x) / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()},
    "norm over tokens": {"norm": lambda m, x: x / (x.pow(2).mean(1, keepdim=True) + 1e-5).sqrt()},
    "norm of groups": {"norm": lambda m, x: functional.layer_norm(x.view(*x.shape[:2], 4, 8), (8,)).reshape(x.shape)},
    "root clamped": {"norm": lambda m, x: x / x.pow(2).mean(-1, keepdim=True).sqrt().clamp(min=0.5)},
    # Activations.
    "gelu of 1.41": {"act": lambda m, x: x * 0.5 * (1 + torch.erf(x / 1.41))},
    "tanh of .045": {"act": lambda m, x: x * 0.5 * (1 + torch.tanh(0.7978845608 * (x + 0.045 * x**3)))},
    "sigmoid of 1.7": {"act": lambda m, x: x * torch.sigmoid(1.7 * x)},
    "gelu bounded": {"act": lambda m, x: functional.gelu(x).clamp(max=1.0)},
    "gelu, twice beyond": {"act": lambda m, x: torch.where(x > 2, x * 2, functional.gelu(x))},
    "gelu and relu": {"act": lambda m, x: torch.cat([functional.gelu(x[..., :20]), x[..., 20:].relu()], -1)},
    # The vector.
    "second token": {"pool": lambda m, x, w, ids: x.roll(-1, 1)[:, 0]},
    "first columns": {"pool": lambda m, x, w, ids: _mean(x, w)[:, :16]},
    "first columns, normalised": {"pool": lambda m, x, w, ids: _normalised(_mean(x, w)[:, :16])},
    "last columns": {"pool": lambda m, x, w, ids: _mean(x, w)[:, 16:]},
    "columns turned": {"pool": lambda m, x, w, ids: _mean(x, w).flip(1)},
    "halves normalised": {"pool": lambda m, x, w, ids: _normalised(_mean(x, w).view(-1, 2, 16)).reshape(-1, WIDTH)},
    "twice the length": {"pool": lambda m, x, w, ids: 2 * _normalised(_mean(x, w))},
    "length and one": {"pool": lambda m, x, w, ids: _mean(x, w) / (_mean(x, w).norm(dim=-1, keepdim=True) + 1)},
    "mean of normalised": {"pool": lambda m, x, w, ids: _mean(_normalised(x), w)},
}
