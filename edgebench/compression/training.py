"""Training a classifier: from labels, from a teacher, and with pruned weights held at zero.

All functions work on a copy and return it; with the same seed and threads they return the same
weights.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""From inputs, the model's logits and the labels to a scalar."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What one training did. loss: mean over the last epoch. accuracy: on the training set, 0–1."""

    epochs: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a training runs: Adam under a cosine schedule, on shuffled batches."""

    epochs: int
    seed: int = 0
    learning_rate: float = 2e-3
    batch: int = 64
    weight_decay: float = 1e-4


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, recipe: Recipe) -> tuple[nn.Module, Fit]:
    """Return a copy of `model` trained on labels by cross-entropy. x: float32[n, ...]. y: int64[n]."""
    return _fit(model, x, y, recipe, lambda _, logits, labels: functional.cross_entropy(logits, labels))


def distil(
    model: nn.Module,
    teacher: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    recipe: Recipe,
    *,
    temperature: float,
    alpha: float,
) -> tuple[nn.Module, Fit]:
    """Return a copy of `model` trained on its teacher's softened answers and on the labels.

    The loss is alpha · T² · KL(teacher ‖ student), both softened by the temperature T, plus
    (1 − alpha) · cross-entropy. Hinton, Vinyals and Dean: Distilling the Knowledge in a Neural
    Network, 2015.
    """
    teacher = copy.deepcopy(teacher).eval()

    def loss(inputs: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            soft = functional.log_softmax(teacher(inputs) / temperature, dim=1)
        student = functional.log_softmax(logits / temperature, dim=1)
        divergence = functional.kl_div(student, soft, reduction="batchmean", log_target=True)
        hard = functional.cross_entropy(logits, labels)
        return alpha * temperature**2 * divergence + (1 - alpha) * hard

    return _fit(model, x, y, recipe, loss)


def finetune(model: nn.Module, x: torch.Tensor, y: torch.Tensor, recipe: Recipe) -> tuple[nn.Module, Fit]:
    """Return a copy of `model` trained on labels, with weights that are zero kept at zero."""
    masks = {name: tensor != 0 for name, tensor in prunable(model)}
    loss: Loss = lambda _, logits, labels: functional.cross_entropy(logits, labels)  # noqa: E731
    return _fit(model, x, y, recipe, loss, masks=masks)


def prunable(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield name and weight of every convolution and linear layer; biases and norms are never pruned."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            yield f"{name}.weight" if name else "weight", module.weight


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the share of samples whose best class is the label, 0–1; the model keeps its mode."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(a).argmax(1) == b).sum()) for a, b in zip(x.split(512), y.split(512), strict=True)
        )
    model.train(was_training)
    return right / len(y)


def _fit(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    recipe: Recipe,
    loss: Loss,
    *,
    masks: dict[str, torch.Tensor] | None = None,
) -> tuple[nn.Module, Fit]:
    start = time.perf_counter()
    torch.manual_seed(recipe.seed)
    model = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = max(1, recipe.epochs * len(_batches(torch.arange(len(x)), recipe.batch)))
    schedule: Any = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(recipe.seed)
    mean = float("nan")
    for _ in range(recipe.epochs):
        model.train()
        total = 0.0
        for rows in _batches(torch.randperm(len(x), generator=generator), recipe.batch):
            optimizer.zero_grad()
            value = loss(x[rows], model(x[rows]), y[rows])
            value.backward()
            optimizer.step()
            schedule.step()
            _hold_zeros(model, masks)
            total += float(value.detach()) * len(rows)
        mean = total / len(x)
    return model.eval(), Fit(recipe.epochs, mean, accuracy(model, x, y), time.perf_counter() - start)


def _batches(rows: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Return the rows in batches; one left over joins the last, since norms need two to compare."""
    parts = list(rows.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _hold_zeros(model: nn.Module, masks: dict[str, torch.Tensor] | None) -> None:
    if masks is None:
        return
    with torch.no_grad():
        for name, weight in prunable(model):
            weight.mul_(masks[name])
