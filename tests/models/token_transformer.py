"""A small text model as PyTorch users write them: tokens and a mask in, scores out. `file.py:factory`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

WORDS, TOKENS, WIDTH, HEADS, CLASSES = 500, 16, 64, 4, 5


def infinite() -> nn.Module:
    """Return the model whose mask is −∞."""
    return _seeded(-math.inf)


def huge() -> nn.Module:
    """Return the model whose mask is the smallest float32."""
    return _seeded(torch.finfo(torch.float32).min)


def texts(count: int, seed: int) -> dict[str, np.ndarray]:
    """Return input_ids and attention_mask int64 [count, 16] of texts of 6 to 16 tokens, padded with 0."""
    rng = np.random.default_rng(seed)
    mask = (np.arange(TOKENS) < rng.integers(6, TOKENS + 1, (count, 1))).astype(np.int64)
    return {"input_ids": rng.integers(1, WORDS, (count, TOKENS)) * mask, "attention_mask": mask}


def _seeded(hidden: float) -> nn.Module:
    torch.manual_seed(0)
    return _Text(hidden).eval()


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project, self.join = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.grow, self.shrink = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        with torch.no_grad():  # as trained ones have it: a channel that is large, and weights that are small
            self.first.weight[7] = 40
            self.grow.weight[:, 7] /= 40

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        heads = self.project(x).unflatten(2, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        scores = heads[0] @ heads[1].transpose(-1, -2) / (WIDTH // HEADS) ** 0.5 + mask
        seen = (scores.softmax(-1) @ heads[2]).transpose(1, 2).flatten(2)
        x = self.first(x + self.join(seen))
        return self.second(x + self.shrink(functional.gelu(self.grow(x))))


class _Text(nn.Module):
    def __init__(self, hidden: float) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.layers = nn.ModuleList(_Layer() for _ in range(2))
        self.classes = nn.Linear(WIDTH, CLASSES)
        self.hidden = hidden

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        kept = attention_mask.to(torch.float32)
        mask = torch.where(kept[:, None, None] > 0, 0.0, self.hidden)
        x = self.words(input_ids) + self.places.weight
        for layer in self.layers:
            x = layer(x, mask)
        return self.classes((x * kept[..., None]).sum(1) / kept.sum(1, keepdim=True))
