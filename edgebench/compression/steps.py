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
from edgebench.torch_model import build_module
from edgebench.torch_weights import check_finite, require_torch, write_weights
from edgebench.user_code import failure_place

if TYPE_CHECKING:
    import torch


_SMALL_SAMPLE = 1024
"""Values of a sample up to which training takes one thread: between small layers PyTorch's threads wait for
each other longer than they work. With two threads on two busy cores the digits took seven times as long."""


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
    require_torch()
    from edgebench.compression import training

    job = _job(arguments)
    x, y = _data(job)
    model = _model(job)
    _check_fit(job.model, model, job, x, y)
    model, fit = training.train(model, x, y, training.Recipe(job.epochs, job.seed))
    return _finish(model, job, asdict(fit))


def distil(arguments: dict[str, Any]) -> dict[str, Any]:
    """Train a model on its teacher's answers; return loss, accuracies and seconds."""
    require_torch()
    from edgebench.compression import training

    job = _job(arguments)
    if job.teacher is None:
        raise ModelError("distilling needs a teacher", hint="name one under compress.distil.teacher")
    x, y = _data(job)
    weights = Path(job.teacher_weights) if job.teacher_weights else None
    teacher = build_module(job.teacher, base=Path(job.base), weights=weights, seed=job.seed)
    model = _model(job)
    classes = {
        spec: _check_fit(spec, m, job, x, y) for spec, m in ((job.teacher, teacher), (job.model, model))
    }
    if len(set(classes.values())) > 1:
        told = " and ".join(f"{spec} {count}" for spec, count in classes.items())
        raise ModelError(f"teacher and student tell unlike numbers of classes: {told}")
    recipe = training.Recipe(job.epochs, job.seed)
    model, fit = training.distil(model, teacher, x, y, recipe, temperature=job.temperature, alpha=job.alpha)
    return _finish(model, job, {**asdict(fit), "teacher_accuracy": training.accuracy(teacher, x, y)})


def prune(arguments: dict[str, Any]) -> dict[str, Any]:
    """Set the smallest weights to zero; return the sparsity, in all and per layer."""
    require_torch()
    from edgebench.compression import pruning

    job = _job(arguments)
    model, pruned = pruning.prune(_model(job), sparsity=job.sparsity)
    if not pruned.weights:
        raise ModelError(
            f"{job.model}: has no convolution and no linear layer to prune", hint="leave out compress.prune"
        )
    return _finish(model, job, asdict(pruned))


def finetune(arguments: dict[str, Any]) -> dict[str, Any]:
    """Train with zero weights kept at zero; return loss, accuracy, seconds and the sparsity kept."""
    require_torch()
    from edgebench.compression import pruning, training

    job = _job(arguments)
    x, y = _data(job)
    model = _model(job)
    _check_fit(job.model, model, job, x, y)
    recipe = training.Recipe(job.epochs, job.seed, learning_rate=5e-4)
    model, fit = training.finetune(model, x, y, recipe)
    return _finish(model, job, {**asdict(fit), "sparsity": pruning.measure(model).sparsity})


def _job(arguments: dict[str, Any]) -> StepJob:
    return from_plain(StepJob, arguments, what="compression step")


def _model(job: StepJob) -> torch.nn.Module:
    weights = Path(job.weights) if job.weights else None
    return build_module(job.model, base=Path(job.base), weights=weights, seed=job.seed)


def _data(job: StepJob) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    dataset = load_dataset(job.data, base=Path(job.base), preprocessing=job.preprocessing)
    if dataset.labels is None:
        raise DataError(f"{job.data}: has no labels to train on", hint="name them y")
    (x, *others) = preprocess(dataset, job.preprocessing)
    if others:
        raise DataError(f"{job.data}: has {1 + len(others)} inputs; training takes models of one input")
    if x[0].size <= _SMALL_SAMPLE:
        torch.set_num_threads(1)
    return torch.from_numpy(x), torch.from_numpy(dataset.labels)


def _check_fit(spec: str, model: torch.nn.Module, job: StepJob, x: torch.Tensor, y: torch.Tensor) -> int:
    """Return how many classes the model tells. Raises where it does not take the data or its labels."""
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            answer = model(x[:2])
    except Exception as err:  # whatever the user's module raises
        shape = list(x.shape[1:])
        raise ModelError(
            f"{spec}: does not take the samples of {job.data}, {shape} each: {failure_place(err)}",
            hint="data.preprocessing, such as layout: nchw, makes a model's input of a stored sample",
        ) from err
    finally:
        model.train(was_training)
    if not isinstance(answer, torch.Tensor) or answer.ndim != 2:  # noqa: PLR2004 - samples and classes
        found = list(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise ModelError(f"{spec}: answers {found}, not [samples, classes]: only classifiers are trained")
    classes = int(answer.shape[1])
    if int(y.max()) >= classes:
        raise DataError(f"{job.data}: the label {int(y.max())} has no class: {spec} tells {classes}")
    return classes


def _finish(model: torch.nn.Module, job: StepJob, record: dict[str, Any]) -> dict[str, Any]:
    check_finite(model, f"{job.model}, trained on {job.data}")
    write_weights(model, Path(job.out))
    return record
