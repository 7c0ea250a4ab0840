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
    """One projection for queries, keys and values, and an einsum or two."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        texts, tokens, width = x.shape
        q, k, v = self.qkv(x).view(texts, tokens, 3, self.heads, width // self.heads).unbind(2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / (width // self.heads) ** 0.5
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

    def __init__(self, width: int, heads: int, *, library: bool, gated: bool) -> None:
        super().__init__()
        self.first_norm = RootMeanSquareNorm(width)
        self.mixer = LibraryAttention(width, heads) if library else HandAttention(width, heads)
        self.second_norm = RootMeanSquareNorm(width)
        self.mlp = GatedMlp(width, 40) if gated else PlainMlp(width, 72)

    def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        x = x + self.mixer(self.first_norm(x), keep)
        return x + self.mlp(self.second_norm(x))


class ToyEncoder(nn.Module):
    """Ids and mask to one vector of length 1: `library` is torch's attention, `gated` a SwiGLU in place of a GELU."""

    def __init__(
        self, vocabulary: int, max_tokens: int, *, library: bool, gated: bool, width: int = 32, heads: int = 4
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(max_tokens, width)
        self.blocks = nn.ModuleList(Block(width, heads, library=library, gated=gated) for _ in range(2))
        self.last_norm = RootMeanSquareNorm(width)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        keep = attention_mask.bool()
        x = self.words(input_ids) + self.places(torch.arange(input_ids.shape[1], device=input_ids.device))
        for block in self.blocks:
            x = block(x, keep)
        weights = attention_mask[:, :, None].to(x.dtype)
        mean = (self.last_norm(x) * weights).sum(1) / weights.sum(1)
        return functional.normalize(mean, dim=-1)
