"""Small models that the export tests make themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        return self.head(torch.relu(self.norm(self.conv(image))).mean((2, 3)))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(4, 3)

    def forward(self, zebra, apple):
        return {"second": self.mix(zebra), "first": zebra * 2 + apple}


class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(1, 16) + 1


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens, mask):
        return self.head((self.embed(tokens) * mask[..., None]).mean(1))


class Eigen(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x @ x.transpose(-1, -2)).real


def seeded(make):
    torch.manual_seed(3)
    return make()


def build():
    return seeded(Net)


def two():
    return seeded(Two)


def text():
    return seeded(Text)


def eigen():
    return Eigen()


def fixed():
    return Fixed()


def nothing():
    return None


def fails():
    raise RuntimeError("no such luck")


def with_example():
    net = seeded(Net)
    net.example_inputs = (torch.zeros(1, 3, 8, 8),)
    return net
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a file of PyTorch factories."""
    path = tmp_path / "nets.py"
    path.write_text(MODEL)
    return path
