"""A text encoder as someone writes it for himself: no library's names, no library's config."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class RootMeanSquareNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)


class GatedMlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_and_up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_and_up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * up)


class PlainMlp(nn.Sequential):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__(nn.Linear(width, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, width))


class HandAttention(nn.Module):
    """One projection for queries, keys and values, and an einsum or two.

    Positions are "learned" elsewhere, or "rotary" (halves of a head turn), or "alibi" (far keys weigh less).
    """

    def __init__(self, width: int, heads: int, positions: str) -> None:
        super().__init__()
        self.heads = heads
        self.positions = positions
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width, bias=False)

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of [texts, tokens, heads, columns] turned by their positions."""
        half = x.shape[-1] // 2
        speeds = 100.0 ** (-torch.arange(half, device=x.device) / half)
        angles = torch.arange(x.shape[1], device=x.device)[:, None] * speeds
        cos, sin = (torch.cat([each, each], -1)[:, None] for each in (angles.cos(), angles.sin()))
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

    def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        texts, tokens, width = x.shape
        q, k, v = self.qkv(x).view(texts, tokens, 3, self.heads, width // self.heads).unbind(2)
        if self.positions == "rotary":
            q, k = self.turned(q), self.turned(k)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / (width // self.heads) ** 0.5
        if self.positions == "alibi":
            slopes = 2.0 ** -torch.arange(1, self.heads + 1, device=x.device)
            place = torch.arange(tokens, device=x.device)
            scores = scores - slopes[:, None, None] * (place[:, None] - place).abs()
        weights = scores.masked_fill(~keep[:, None, None, :], float("-inf")).softmax(-1)
        return self.out(torch.einsum("bhqk,bkhd->bqhd", weights, v).reshape(texts, tokens, width))


class LibraryAttention(nn.Module):
    """torch's own module."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, key_padding_mask=~keep, need_weights=False)[0]


class Block(nn.Module):
    """Norms before each half."""

    def __init__(self, width: int, mixer: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.first_norm = RootMeanSquareNorm(width)
        self.mixer = mixer
        self.second_norm = RootMeanSquareNorm(width)
        self.mlp = mlp

    def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        x = x + self.mixer(self.first_norm(x), keep)
        return x + self.mlp(self.second_norm(x))


def pooled(x: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """The mean of the tokens that are not padding, at length 1."""
    weights = attention_mask[:, :, None].to(x.dtype)
    return functional.normalize((x * weights).sum(1) / weights.sum(1), dim=-1)


class ToyEncoder(nn.Module):
    """Ids and mask to one vector of length 1: `library` is torch's attention, `gated` a SwiGLU in place of a GELU."""

    def __init__(
        self,
        vocabulary: int,
        max_tokens: int,
        *,
        library: bool = False,
        gated: bool = False,
        positions: str = "learned",
        width: int = 32,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(max_tokens, width) if positions == "learned" else None
        self.blocks = nn.ModuleList(
            Block(
                width,
                LibraryAttention(width, heads) if library else HandAttention(width, heads, positions),
                GatedMlp(width, 40) if gated else PlainMlp(width, 72),
            )
            for _ in range(2)
        )
        self.last_norm = RootMeanSquareNorm(width)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        keep = attention_mask.bool()
        x = self.words(input_ids)
        if self.places is not None:
            x = x + self.places(torch.arange(input_ids.shape[1], device=input_ids.device))
        for block in self.blocks:
            x = block(x, keep)
        return pooled(self.last_norm(x), attention_mask)


class LibraryEncoder(nn.Module):
    """torch's own encoder, with norms before each half or after."""

    def __init__(self, vocabulary: int, max_tokens: int, *, norm_first: bool, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(torch.zeros(max_tokens, width))
        layer = nn.TransformerEncoderLayer(width, heads, 56, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.words(input_ids) + self.places[: input_ids.shape[1]]
        return pooled(self.encoder(x, src_key_padding_mask=attention_mask == 0), attention_mask)


class Recurrent(nn.Module):
    """No transformer at all."""

    def __init__(self, vocabulary: int, width: int = 32) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return pooled(self.lstm(self.words(input_ids))[0], attention_mask)
