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
    from the samples. Raises ModelError where neither says it, or where the batch is fixed above 1.
    """
    known = [(1, *shape[-(len(spec.shape) - 1) :]) for spec, shape in zip(inputs, given, strict=False)]
    known += [(1, *sample.shape[1:]) for sample in samples[len(known) :]]
    return tuple(_full(model, spec, known[i] if i < len(known) else ()) for i, spec in enumerate(inputs))


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


def write_reference(
    out: Path,
    samples: Sequence[Array],
    inputs: Sequence[TensorSpec],
    answer: Callable[[list[Array]], Sequence[Array]],
) -> Path | None:
    """Write the source's answers out_0, out_1, … (float32[N, ...]) beside `out`; return the file.

    answer: the source, from arrays [n, ...] of the inputs' dtypes to its outputs. A fixed batch of 1
    is fed one sample at a time. None where there are no samples. Raises DataError where they do not
    fit the model.
    """
    import numpy as np

    if not samples:
        return None
    _check_fit(samples, inputs)
    cast = [array.astype(spec.dtype) for array, spec in zip(samples, inputs, strict=True)]
    whole = all(spec.shape[:1] == (-1,) for spec in inputs)
    parts = [cast] if whole else [[array[i : i + 1] for array in cast] for i in range(len(cast[0]))]
    answers = [[np.asarray(y, np.float32) for y in answer(part)] for part in parts]
    joined: dict[str, Any] = {
        f"out_{i}": np.concatenate(ys) for i, ys in enumerate(zip(*answers, strict=True))
    }
    path = out.with_name(f"{out.name}.reference.npz")
    with storage_errors(path):
        np.savez(path, **joined)
    return path


def _check_fit(samples: Sequence[Array], inputs: Sequence[TensorSpec]) -> None:
    if len(samples) != len(inputs):
        names = ", ".join(spec.name for spec in inputs)
        raise DataError(f"the model takes {len(inputs)} inputs ({names}), the data has {len(samples)}")
    for array, spec in zip(samples, inputs, strict=True):
        given, wanted = array.shape[1:], spec.shape[1:]
        fits = len(given) == len(wanted) and all(w in (-1, g) for g, w in zip(given, wanted, strict=True))
        if not fits:
            raise DataError(
                f"the model's input {spec.name} takes samples of shape {list(wanted)}, "
                f"the data's have {list(given)}"
            )
