"""MobileNetV2 at 224×224 (Sandler et al., 2018) with random weights: for time and memory, not accuracy."""

from __future__ import annotations

import torch
from torch import nn

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and first stride of each stage: table 2 of the paper."""


def unit(before: int, channels: int, size: int, stride: int, groups: int = 1) -> nn.Sequential:
    """Return convolution, batch normalization and ReLU6."""
    convolution = nn.Conv2d(before, channels, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; add the input where shapes allow."""

    def __init__(self, before: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = before * expansion
        expand = [] if expansion == 1 else [unit(before, hidden, 1, 1)]
        project = [nn.Conv2d(hidden, channels, 1, bias=False), nn.BatchNorm2d(channels)]
        self.body = nn.Sequential(*expand, unit(hidden, hidden, 3, stride, hidden), *project)
        self.adds = stride == 1 and before == channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return float32[N, channels, H / stride, W / stride]."""
        return x + self.body(x) if self.adds else self.body(x)


def build() -> nn.Module:
    """Return the network, its normalizations fitted to noise so that activations keep their scale."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [unit(3, 32, 3, 2)]
    before = 32
    for expansion, channels, blocks, first in STAGES:
        for index in range(blocks):
            layers.append(InvertedResidual(before, channels, first if index == 0 else 1, expansion))
            before = channels
    layers += [unit(before, 1280, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    network = nn.Sequential(*layers)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 224, 224))
    return network.eval()
