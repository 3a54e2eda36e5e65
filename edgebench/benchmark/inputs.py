"""What the model is given: samples made into the arrays of whole calls, on the host.

**From a sample to a tensor.** Preprocessing gives real values; where the model's input is quantized,
they become q = round(real / scale) + zero point, clipped to the type. One exception, so that data
recorded at a quantized model's border can be used as it is: where no preprocessing is declared and the
stored array already has the model's integer type, it is handed over as stored.

**From tensors to calls.** A model takes `batch` samples a call, in its first dimension; the last call is
filled up by repeating its last sample, and the answers to the filling are dropped. A model whose input
has no dimension for the batch takes one sample a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgebench.artifact import Format, TensorSpec
from edgebench.datasets import Preprocessing, preprocess
from edgebench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.artifact import Artifact
    from edgebench.datasets import Dataset

    Array = NDArray[np.generic]

LARGEST_BATCH = 32
"""Samples a call where the model leaves it free and latency is not at stake."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """How samples become calls. batch: samples a call. axis: whether the tensors have a batch dimension."""

    batch: int
    axis: bool = True


def grouping(artifact: Artifact, dataset: Dataset | None, *, largest: int) -> Grouping:
    """Return how this model takes samples; `largest` where it leaves the batch free.

    Raises DataError where the data's samples do not have the shape that the model takes.
    """
    shapes = [spec.shape for spec in artifact.inputs]
    if dataset is not None:
        samples = _sample_shapes(artifact, dataset)
        if all(_matches(sample, shape) for sample, shape in zip(samples, shapes, strict=True)):
            return Grouping(1, axis=False)
        for sample, spec in zip(samples, artifact.inputs, strict=True):
            if not (spec.shape and _matches(sample, spec.shape[1:])):
                raise _misfit(artifact, spec, sample)
    fixed = {shape[0] for shape in shapes if shape and shape[0] > 0}
    if len(fixed) > 1:  # inputs that share no batch: each is one call's tensor as it stands
        return Grouping(1, axis=False)
    if fixed:
        return Grouping(fixed.pop())
    return Grouping(1 if artifact.format is Format.TFLITE else largest)


def check_classes(artifact: Artifact, dataset: Dataset) -> None:
    """Raise DataError where the labels name more classes than the model's answer can have."""
    if dataset.labels is None or not artifact.outputs:
        return
    free = [size for size in artifact.outputs[0].shape[1:] if size != 1]
    highest = int(dataset.labels.max())
    if len(free) == 1 and 0 < free[0] <= highest:
        raise DataError(
            f"{dataset.spec}: label {highest} does not fit {artifact.id}, which has {free[0]} classes",
            hint="labels count from 0; is this the data the model was trained for?",
        )


def sample_tensors(artifact: Artifact, dataset: Dataset, indices: Sequence[int]) -> tuple[Array, ...]:
    """Return the samples as the model takes them: one array per input, [len(indices), *shape], its dtype.

    Raises DataError where a value does not fit the type.
    """
    real = preprocess(dataset, artifact.preprocessing, indices)
    declared = artifact.preprocessing != Preprocessing()
    return tuple(
        _as_tensor(
            dataset.inputs[i][list(indices)], real[i], spec, declared=declared and i == 0, data=dataset.spec
        )
        for i, spec in enumerate(artifact.inputs)
    )


def random_tensors(artifact: Artifact, count: int, seed: int) -> tuple[Array, ...]:
    """Return `count` random samples: −1…1 for floats, the whole range for quantized integers, else 0 or 1.

    Raises DataError where the model leaves a dimension other than the batch free.
    """
    source = np.random.default_rng(seed)
    tensors = []
    for spec in artifact.inputs:
        shape = spec.shape[1:]
        if any(size < 1 for size in shape):
            raise DataError(
                f"{artifact.id}: input {spec.name} has free dimensions {_words(spec.shape)}",
                hint="give --data, whose samples say their size",
            )
        tensors.append(_random(source, (count, *shape), spec))
    return tuple(tensors)


def calls(tensors: Sequence[Array], group: Grouping) -> tuple[Array, ...]:
    """Return arrays [calls, *shape of one call], the last call filled up with its last sample."""
    if not group.axis:
        return tuple(np.ascontiguousarray(tensor) for tensor in tensors)
    count = len(tensors[0])
    padded = -(-count // group.batch) * group.batch
    order = np.minimum(np.arange(padded), count - 1)
    return tuple(
        np.ascontiguousarray(tensor[order]).reshape(-1, group.batch, *tensor.shape[1:]) for tensor in tensors
    )


def logits(output: Array, count: int, group: Grouping, spec: TensorSpec, what: str) -> NDArray[np.float32]:
    """Return the answers of all calls as float32[count, C], dequantized.

    output: [calls, *shape of one answer], as the model gave it. Raises DataError where that is not
    one score per class for each sample.
    """
    per_call = output.shape[1:]
    if group.axis and (not per_call or per_call[0] != group.batch):
        raise DataError(f"{what}: its answer {_words(per_call)} is not one per sample", hint=_CLASSIFIERS)
    flat = output.reshape(-1, *per_call[1:]) if group.axis else output
    classes = [size for size in flat.shape[1:] if size != 1]
    if len(classes) != 1:
        raise DataError(
            f"{what}: its answer {_words(per_call)} is not one score per class", hint=_CLASSIFIERS
        )
    return _real(flat.reshape(len(flat), classes[0])[:count], output, spec)


def numbers(output: Array, count: int, group: Grouping, spec: TensorSpec, what: str) -> NDArray[np.float32]:
    """Return the answers of all calls as float32[count, C], dequantized: the numbers of a regression.

    As `logits`, for any number of values of a sample. Raises DataError where they are not one row a sample.
    """
    per_call = output.shape[1:]
    if group.axis and (not per_call or per_call[0] != group.batch):
        raise DataError(f"{what}: its answer {_words(per_call)} is not one per sample")
    flat = output.reshape(-1, *per_call[1:]) if group.axis else output
    return _real(flat.reshape(len(flat), -1)[:count], output, spec)


def _real(values: Array, output: Array, spec: TensorSpec) -> NDArray[np.float32]:
    given = values.astype(np.float32)
    if spec.quantization is not None and np.issubdtype(output.dtype, np.integer):
        return spec.quantization.real(given)
    return given


_CLASSIFIERS = (
    "accuracy is measured for classifiers, and for numbers called `targets`; leave the labels out to measure "
    "latency alone"
)


def _sample_shapes(artifact: Artifact, dataset: Dataset) -> list[tuple[int, ...]]:
    if len(dataset.inputs) != len(artifact.inputs):
        names = ", ".join(spec.name for spec in artifact.inputs)
        raise DataError(
            f"{dataset.spec}: has {len(dataset.inputs)} inputs, {artifact.id} takes {len(artifact.inputs)}",
            hint=f"the model's inputs are {names}, in this order",
        )
    return [array.shape[1:] for array in preprocess(dataset, artifact.preprocessing, [0])]


def _matches(sample: Sequence[int], shape: Sequence[int]) -> bool:
    return len(sample) == len(shape) and all(b in (a, -1) for a, b in zip(sample, shape, strict=True))


def _misfit(artifact: Artifact, spec: TensorSpec, sample: Sequence[int]) -> DataError:
    wanted = spec.shape[1:]
    hint = "declare resize or layout in the preprocessing, or give other data"
    if len(sample) == len(wanted) == 3 and (sample[2], *sample[:2]) == tuple(wanted):  # noqa: PLR2004 - an image
        hint = "the model takes channels first: declare layout: nchw in the preprocessing"
    return DataError(
        f"{artifact.id}: takes samples of {_words(wanted)} as {spec.name}, the data gives {_words(sample)}",
        hint=hint,
    )


def _as_tensor(stored: Array, real: Array, spec: TensorSpec, *, declared: bool, data: str) -> Array:
    wanted = np.dtype(spec.dtype)
    if not np.issubdtype(wanted, np.integer):
        return real.astype(wanted)
    if not declared and stored.dtype == wanted:
        return stored
    if spec.quantization is not None:
        return spec.quantization.stored(real, spec.dtype)
    whole = stored if not declared and np.issubdtype(stored.dtype, np.integer) else real
    cast: Array = whole.astype(wanted)
    if not np.array_equal(cast, whole):
        raise DataError(
            f"{data}: values do not fit {spec.name}, which takes {wanted} without scale",
            hint="give whole numbers in its range",
        )
    return cast


def _random(source: np.random.Generator, shape: tuple[int, ...], spec: TensorSpec) -> Array:
    dtype = np.dtype(spec.dtype)
    if np.issubdtype(dtype, np.floating):
        return source.uniform(-1.0, 1.0, shape).astype(dtype)
    if np.issubdtype(dtype, np.integer) and spec.quantization is not None:
        limits = np.iinfo(dtype)
        return source.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return source.integers(0, 2, shape).astype(dtype)


def _words(shape: Sequence[int]) -> str:
    return "[" + ", ".join("free" if size < 1 else str(size) for size in shape) + "]"
