"""The real samples that a conversion gets, and the source's answers to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import TensorSpec
from edgebench.errors import DataError, ModelError
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_RANDOM = 8
"""Random samples that answers are compared on where there are no real ones."""
_AT_ONCE = 32
"""Samples in one call of the source: enough to be quick, few enough for any model's activations."""


def read_samples(path: Path | None) -> tuple[Array, ...]:
    """Return the arrays in_0, in_1, … of `path`, each [N, ...]; none where there is no file."""
    import numpy as np

    if path is None:
        return ()
    with np.load(path, allow_pickle=False) as stored:
        return tuple(stored[f"in_{index}"] for index in range(len(stored.files)))


def full_shapes(
    model: str, inputs: Sequence[TensorSpec], given: Sequence[Sequence[int]], samples: Sequence[Array]
) -> tuple[tuple[int, ...], ...]:
    """Return the shape of each input with batch 1 and no dimension open.

    What the model leaves open comes from `given` (--input-shape, with or without the batch), else
    from the samples. Raises ModelError where neither says it, where `given` contradicts the model,
    or where the batch is fixed above 1.
    """
    if len(given) > len(inputs):
        raise ModelError(f"{model}: takes {len(inputs)} inputs, --input-shape gives {len(given)}")
    known = [_with_batch(model, spec, shape) for spec, shape in zip(inputs, given, strict=False)]
    known += [(1, *sample.shape[1:]) for sample in samples[len(known) :]]
    return tuple(_full(model, spec, known[i] if i < len(known) else ()) for i, spec in enumerate(inputs))


def _with_batch(model: str, spec: TensorSpec, given: Sequence[int]) -> tuple[int, ...]:
    shape = (1, *given) if len(given) == len(spec.shape) - 1 else tuple(given)
    if not _fits(shape[1:], spec.shape[1:]) or bool(shape) != bool(spec.shape):
        raise ModelError(
            f"{model}: the input {spec.name} has the shape {list(spec.shape)}, "
            f"which --input-shape {','.join(map(str, given))} does not fit",
            hint="a dimension of -1 is open, the others are fixed by the model",
        )
    return shape


def _full(model: str, spec: TensorSpec, known: tuple[int, ...]) -> tuple[int, ...]:
    if spec.shape and spec.shape[0] > 1:
        raise ModelError(
            f"{model}: the batch of the input {spec.name} is fixed at {spec.shape[0]}",
            hint="save the model with an open batch dimension",
        )
    open_axes = [axis for axis, size in enumerate(spec.shape) if size < 0 and axis]
    if open_axes and len(known) != len(spec.shape):
        raise ModelError(
            f"{model}: the input {spec.name} leaves dimensions open: {list(spec.shape)}",
            hint=f"say them with --input-shape, such as --input-shape 1{',224' * (len(spec.shape) - 1)}",
        )
    return tuple(1 if i == 0 else known[i] if i in open_axes else n for i, n in enumerate(spec.shape))


def _fits(given: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape without its batch is one that the model takes; -1 takes any size."""
    return len(given) == len(wanted) and all(w in (-1, g) for g, w in zip(given, wanted, strict=True))


def write_reference(
    out: Path,
    samples: Sequence[Array],
    inputs: Sequence[TensorSpec],
    answer: Callable[[list[Array]], Sequence[Array]],
) -> Path:
    """Write the source's answers out_0, out_1, … (float32[N, ...]) beside `out`; return the file.

    answer: the source, from arrays [n, ...] of the inputs' dtypes to its outputs. An open batch is fed
    32 samples at a time, a fixed one of 1 one at a time. Raises DataError where the samples do not
    fit the model.
    """
    import numpy as np

    check_fit(samples, inputs)
    cast = [array.astype(spec.dtype) for array, spec in zip(samples, inputs, strict=True)]
    at_once = _AT_ONCE if all(spec.shape[:1] == (-1,) for spec in inputs) else 1
    parts = [[array[i : i + at_once] for array in cast] for i in range(0, len(cast[0]), at_once)]
    answers = [[np.atleast_1d(np.asarray(y, np.float32)) for y in answer(part)] for part in parts]
    joined: dict[str, Any] = {
        f"out_{i}": np.concatenate(ys) for i, ys in enumerate(zip(*answers, strict=True))
    }
    path = out.with_name(f"{out.name}.reference.npz")
    with storage_errors(path):
        np.savez(path, **joined)
    return path


def check_fit(samples: Sequence[Array], inputs: Sequence[TensorSpec]) -> None:
    """Raise DataError where the samples [N, ...] are not as many, or not shaped, as the inputs ask."""
    if len(samples) != len(inputs):
        names = ", ".join(spec.name for spec in inputs)
        raise DataError(f"the model takes {len(inputs)} inputs ({names}), the data has {len(samples)}")
    for array, spec in zip(samples, inputs, strict=True):
        given, wanted = array.shape[1:], spec.shape[1:]
        if not _fits(given, wanted):
            raise DataError(
                f"the model's input {spec.name} takes samples of shape {list(wanted)}, "
                f"the data's have {list(given)}"
            )


def samples_or_random(
    given: Path | None, out: Path, shapes: Sequence[Sequence[int]], inputs: Sequence[TensorSpec]
) -> tuple[Path, tuple[Array, ...]]:
    """Return the file of samples and its arrays: the given one, else random numbers written beside `out`.

    shapes: of each input with batch 1. Floats are normally distributed, integers are 0 or 1.
    """
    import numpy as np

    if given is not None:
        return given, read_samples(given)
    source = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for index, (shape, spec) in enumerate(zip(shapes, inputs, strict=True)):
        full = (_RANDOM, *shape[1:])
        floats = np.dtype(spec.dtype).kind == "f"
        values = source.normal(size=full) if floats else source.integers(0, 2, full)
        arrays[f"in_{index}"] = values.astype(spec.dtype)
    path = out.with_name(f"{out.name}.samples.npz")
    with storage_errors(path):
        np.savez(path, **arrays)
    return path, tuple(arrays.values())
