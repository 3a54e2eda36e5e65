"""Real values in, real values out: a file of any arithmetic run on samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgebench.artifact import TensorSpec
from edgebench.exporters.samples import check_fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.exporters.samples import Array

    Call = Callable[[list[Array]], Sequence[Array]]


def run_in_calls(
    samples: Sequence[Array],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    call: Call,
    *,
    largest: int,
) -> list[NDArray[np.float32]]:
    """Return an artifact's real-valued answers, float32[N, ...] for each output.

    samples: real values [N, ...] for each input. call: the runtime, from what the file's inputs store to
    what its outputs do. largest: samples in a call where the batch is open; one that is fixed is filled up
    with the last sample. Raises DataError where the samples do not fit.
    """
    check_fit(samples, inputs)
    stored = [stored_values(array, spec) for array, spec in zip(samples, inputs, strict=True)]
    fixed = max([spec.shape[0] for spec in inputs if spec.shape], default=1)
    step = fixed if fixed > 0 else largest
    parts = []
    for start in range(0, len(samples[0]), step):
        own = range(start, min(start + step, len(samples[0])))
        filled = fixed > len(own)
        order = [*own, *[own[-1]] * (fixed - len(own))] if filled else [*own]
        given = call([array[order] for array in stored])
        answers = [real_values(y, spec) for y, spec in zip(given, outputs, strict=True)]
        parts.append([y[: len(own)] for y in answers] if filled else answers)
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def stored_values(real: Array, spec: TensorSpec) -> Array:
    """Return real values as an artifact's input takes them."""
    if spec.quantization is not None:
        return spec.quantization.stored(real, spec.dtype)
    return real.astype(spec.dtype)


def real_values(stored: Array, spec: TensorSpec) -> NDArray[np.float32]:
    """Return what an artifact's output gave as real values."""
    if spec.quantization is not None and stored.dtype.kind in "iu":
        return spec.quantization.real(stored)
    return stored.astype(np.float32)
