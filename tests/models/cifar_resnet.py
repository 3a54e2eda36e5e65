"""The residual networks for CIFAR-10 of He et al., Deep Residual Learning, 2015, section 4.2.

Shortcuts between stages are of option A: every second pixel, and zeros for the new channels. The
names of the parts are those of the published checkpoints, so that their weights fit.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut without weights."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shrinks = stride != 1 or before != channels
        self.pad = (channels - before) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return float32[N, channels, H / stride, W / stride]."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.shrinks:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return functional.relu(y + x)


class ResNet(nn.Module):
    """Three stages of `depth` blocks with 16, 32 and 64 channels."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, depth, 1)
        self.layer2 = self._stage(16, 32, depth, 2)
        self.layer3 = self._stage(32, 64, depth, 2)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def _stage(before: int, channels: int, depth: int, stride: int) -> nn.Sequential:
        first = Block(before, channels, stride)
        return nn.Sequential(first, *(Block(channels, channels, 1) for _ in range(depth - 1)))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits float32[N, 10] of images float32[N, 3, 32, 32], normalised per channel."""
        x = functional.relu(self.bn1(self.conv1(image)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def resnet20() -> nn.Module:
    """Return the network of 20 layers, 0.27 million weights."""
    return ResNet(3)


def resnet56() -> nn.Module:
    """Return the network of 56 layers, 0.85 million weights."""
    return ResNet(9)
