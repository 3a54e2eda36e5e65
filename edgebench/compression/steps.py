"""Compression as steps on files: weights in, weights and a record out, each alone in a process.

Every step takes plain data and returns plain data, so that it runs in a worker process; what it
wrote is whole or absent, so that a killed pipeline repeats one step at most.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.datasets import Preprocessing, load_dataset, preprocess
from edgebench.errors import DataError, ModelError
from edgebench.storage import from_plain
from edgebench.torch_weights import load_into, require_torch, write_weights
from edgebench.user_code import load_function

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class StepJob:
    """One step. model: `file.py:factory`. base: where its relative paths start. out: .safetensors.

    weights: to start from; None for the factory's own. data: the training data's spec string.
    """

    model: str
    base: str
    out: str
    data: str
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    weights: str | None = None
    seed: int = 0
    epochs: int = 0
    teacher: str | None = None
    teacher_weights: str | None = None
    temperature: float = 4.0
    alpha: float = 0.7
    sparsity: float = 0.0


def train(arguments: dict[str, Any]) -> dict[str, Any]:
    """Train a model on labels; return loss, accuracy on the training set and seconds."""
    from edgebench.compression import training

    job = _job(arguments)
    x, y = _data(job)
    model, fit = training.train(_model(job), x, y, training.Recipe(job.epochs, job.seed))
    return _finish(model, job, asdict(fit))


def distil(arguments: dict[str, Any]) -> dict[str, Any]:
    """Train a model on its teacher's answers; return loss, accuracies and seconds."""
    from edgebench.compression import training

    job = _job(arguments)
    if job.teacher is None:
        raise ModelError("distilling needs a teacher", hint="name one under compress.distil.teacher")
    x, y = _data(job)
    teacher = _build(job.teacher, job.base, job.teacher_weights, job.seed)
    recipe = training.Recipe(job.epochs, job.seed)
    model, fit = training.distil(
        _model(job), teacher, x, y, recipe, temperature=job.temperature, alpha=job.alpha
    )
    return _finish(model, job, {**asdict(fit), "teacher_accuracy": training.accuracy(teacher, x, y)})


def prune(arguments: dict[str, Any]) -> dict[str, Any]:
    """Set the smallest weights to zero; return the sparsity, in all and per layer."""
    require_torch()
    from edgebench.compression import pruning

    job = _job(arguments)
    model, pruned = pruning.prune(_model(job), sparsity=job.sparsity)
    return _finish(model, job, asdict(pruned))


def finetune(arguments: dict[str, Any]) -> dict[str, Any]:
    """Train with zero weights kept at zero; return loss, accuracy, seconds and the sparsity kept."""
    from edgebench.compression import pruning, training

    job = _job(arguments)
    x, y = _data(job)
    model, fit = training.finetune(
        _model(job), x, y, training.Recipe(job.epochs, job.seed, learning_rate=5e-4)
    )
    return _finish(model, job, {**asdict(fit), "sparsity": pruning.measure(model).sparsity})


def _job(arguments: dict[str, Any]) -> StepJob:
    return from_plain(StepJob, arguments, what="compression step")


def _model(job: StepJob) -> torch.nn.Module:
    return _build(job.model, job.base, job.weights, job.seed)


def _build(spec: str, base: str, weights: str | None, seed: int) -> torch.nn.Module:
    require_torch()
    import torch

    torch.manual_seed(seed)
    model = load_function(spec, base=Path(base))()
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"{spec}: returned {type(model).__name__}, not a torch.nn.Module")
    if weights is not None:
        load_into(model, Path(weights))
    return model


def _data(job: StepJob) -> tuple[torch.Tensor, torch.Tensor]:
    require_torch()
    import torch

    dataset = load_dataset(job.data, base=Path(job.base), preprocessing=job.preprocessing)
    if dataset.labels is None:
        raise DataError(f"{job.data}: has no labels to train on", hint="name them y")
    (x, *others) = preprocess(dataset, job.preprocessing)
    if others:
        raise DataError(f"{job.data}: has {1 + len(others)} inputs; training takes models of one input")
    return torch.from_numpy(x), torch.from_numpy(dataset.labels)


def _finish(model: torch.nn.Module, job: StepJob, record: dict[str, Any]) -> dict[str, Any]:
    write_weights(model, Path(job.out))
    return record
