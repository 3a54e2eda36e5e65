"""Pruning by magnitude: the smallest weights of the whole model become zero."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from edgebench.compression.training import prunable


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning did. sparsity: share of zeros among the prunable weights, 0–1."""

    weights: int
    zeros: int
    sparsity: float
    per_layer: dict[str, float]


def prune(model: nn.Module, *, sparsity: float) -> tuple[nn.Module, Pruned]:
    """Return a copy of `model` whose smallest weights, over all layers together, are zero.

    sparsity: share of the convolution and linear weights to zero, 0 or more and less than 1. Han et
    al.: Learning both Weights and Connections for Efficient Neural Networks, 2015, with one
    threshold for all layers. Raises ValueError for another sparsity.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity {sparsity} is not 0 or more and less than 1")
    model = copy.deepcopy(model)
    layers = dict(prunable(model))
    if layers:
        _zero_smallest(layers, sparsity)
    return model, measure(model)


def measure(model: nn.Module) -> Pruned:
    """Return how many of the prunable weights are zero, in all and per layer."""
    layers = dict(prunable(model))
    weights = sum(weight.numel() for weight in layers.values())
    zeros = sum(int((weight == 0).sum()) for weight in layers.values())
    per_layer = {name: float((weight == 0).float().mean()) for name, weight in layers.items()}
    return Pruned(weights, zeros, zeros / weights if weights else 0.0, per_layer)


def _zero_smallest(layers: dict[str, torch.Tensor], sparsity: float) -> None:
    magnitudes = torch.cat([weight.detach().abs().flatten() for weight in layers.values()])
    count = round(sparsity * len(magnitudes))
    keep = torch.ones(len(magnitudes), dtype=torch.bool)
    keep[torch.argsort(magnitudes, stable=True)[:count]] = False
    with torch.no_grad():
        for weight, mask in zip(
            layers.values(), keep.split([w.numel() for w in layers.values()]), strict=True
        ):
            weight.mul_(mask.view_as(weight))
