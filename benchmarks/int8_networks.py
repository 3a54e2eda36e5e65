"""The networks that int8_accuracy.py trains or fills with published weights; each call builds a new one."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def convolutional() -> nn.Module:
    """Return two convolutions and two dense layers for digits, float32[N, 1, 8, 8] → [N, 10]."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def depthwise() -> nn.Module:
    """Return inverted residuals as in MobileNetV2, with ReLU6, for digits [N, 1, 8, 8] → [N, 10]."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU6(),
        _Inverted(32, 32, 1),
        _Inverted(32, 48, 2),
        _Inverted(48, 48, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, 10),
    )


def transformer() -> nn.Module:
    """Return two layers of attention over the eight rows of a digit, [N, 1, 8, 8] → [N, 10]."""
    return _Transformer()


def resnet20() -> nn.Module:
    """Return the network of 20 layers of He et al. 2015, section 4.2, [N, 3, 32, 32] → [N, 10]."""
    return _ResNet(3)


def resnet56() -> nn.Module:
    """Return the network of 56 layers."""
    return _ResNet(9)


class _Inverted(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        wide = 4 * before
        self.body = nn.Sequential(
            nn.Conv2d(before, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.adds = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return x + y if self.adds else y


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.grow, self.shrink = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, rows, width = x.shape
        parts = self.project(self.before(x)).reshape(count, rows, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = (query @ key.transpose(-1, -2)) * (width // self.heads) ** -0.5
        seen = (scores.softmax(-1) @ value).transpose(1, 2).reshape(count, rows, width)
        x = x + self.join(seen)
        return x + self.shrink(functional.gelu(self.grow(self.after(x))))


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 64)
        self.place = nn.Parameter(torch.randn(1, 8, 64) * 0.1)
        self.layers = nn.Sequential(_Attention(64, 4), _Attention(64, 4))
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.embed(image.reshape(-1, 8, 8)) + self.place
        return self.head(self.norm(self.layers(x)).mean(1))


class _Block(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shrinks = stride != 1 or before != channels
        self.pad = (channels - before) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.shrinks:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return functional.relu(y + x)


class _ResNet(nn.Module):
    """The names of the parts are those of the published checkpoints."""

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
        first = _Block(before, channels, stride)
        return nn.Sequential(first, *(_Block(channels, channels, 1) for _ in range(depth - 1)))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(image)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))
