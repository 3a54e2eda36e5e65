"""Real values in, real values out: a file of any arithmetic run on samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.artifact import TensorSpec
from edgebench.exporters import onnx_file, tflite_file
from edgebench.exporters.samples import check_fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.exporters.samples import Array

    Call = Callable[[list[Array]], Sequence[Array]]


@dataclass(frozen=True, slots=True)
class Runnable:
    """A file, opened in its runtime.

    inputs, outputs: as the file stores them. call: the runtime, from what the inputs store to what the
    outputs do. largest: samples in a call where the batch is open.
    """

    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    call: Call
    largest: int

    def answers(self, samples: Sequence[Array]) -> list[NDArray[np.float32]]:
        """Return the real-valued answers, float32[N, ...] for each output.

        samples: real values [N, ...] for each input. A batch that is fixed is filled up with the last
        sample. Raises DataError where the samples do not fit.
        """
        check_fit(samples, self.inputs)
        stored = [stored_values(array, spec) for array, spec in zip(samples, self.inputs, strict=True)]
        fixed = max([spec.shape[0] for spec in self.inputs if spec.shape], default=1)
        step = fixed if fixed > 0 else self.largest
        parts = []
        for start in range(0, len(samples[0]), step):
            own = range(start, min(start + step, len(samples[0])))
            filled = fixed > len(own)
            order = [*own, *[own[-1]] * (fixed - len(own))] if filled else [*own]
            given = [np.atleast_1d(answer) for answer in self.real([array[order] for array in stored])]
            parts.append([y[: len(own)] for y in given] if filled else given)
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def real(self, values: list[Array]) -> list[NDArray[np.float32]]:
        """Return real-valued answers to one call's values, which are as the inputs store them."""
        return [real_values(y, spec) for y, spec in zip(self.call(values), self.outputs, strict=True)]


def onnx_runnable(session: Any, *, largest: int) -> Runnable:
    """Return what an ONNX Runtime session runs."""
    return Runnable(
        onnx_file.session_specs(session.get_inputs()),
        onnx_file.session_specs(session.get_outputs()),
        lambda values: onnx_file.answer(session, values),
        largest,
    )


def tflite_runnable(interpreter: Any) -> Runnable:
    """Return what a LiteRT interpreter runs: one sample a call."""
    inputs, outputs = tflite_file.tensor_specs(interpreter)
    return Runnable(inputs, outputs, lambda values: tflite_file.answer(interpreter, values), 1)


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
