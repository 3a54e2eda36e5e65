"""How near an artifact's answers, in its own runtime, are to its source's on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgebench.artifact import Format, Parity, Precision
from edgebench.errors import ExportError
from edgebench.exporters import onnx_file, tflite_file
from edgebench.exporters.real_values import onnx_runnable, tflite_runnable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.exporters.samples import Array

_BATCH = 32
_LEAST_SQNR_DB = {Precision.FP32: 40.0, Precision.FP16: 20.0}
"""A faithful fp32 conversion shows 90 dB and more, fp16 about 60; below these the graph is another one."""
_SAME = 1e-4
"""Absolute differences up to this are rounding, however small the signal is."""
_DOUBTFUL_DB = {Precision.W8A16: 20.0}
"""Quantized answers with more noise in their power are worth a word; others' bound is a tenth, 10 dB."""
_MATRIX = 2


def answers(path: Path, fmt: Format, samples: Sequence[Array]) -> list[NDArray[np.float32]]:
    """Return the artifact's real-valued outputs, float32[N, ...] each, for real-valued samples.

    Raises ModelError where its runtime cannot load or run it, DataError where the samples do not fit.
    """
    if fmt is Format.ONNX:
        opened = onnx_runnable(onnx_file.open_session(path, path.name), largest=_BATCH)
    else:
        opened = tflite_runnable(tflite_file.open_interpreter(path, path.name))
    return opened.answers(samples)


def against_source(
    data: str, precision: Precision, reference: Sequence[Array], given: Sequence[Array]
) -> tuple[Parity | None, tuple[str, ...]]:
    """Return the figures of the outputs, None where none can be compared, and what the user has to be told.

    Where the values decide how many rows an output has, as behind NonMaxSuppression, what noise lets through
    has no row of the source's to be compared with; fp32 has no such noise. Raises as `compare` and `check`.
    """
    noisy = precision is not Precision.FP32 and len(reference) == len(given)
    other = _of_other_lengths(reference, given) if noisy else {}
    notes = tuple(f"output {place} is not compared with the source's: {why}" for place, why in other.items())
    if other and len(other) == len(reference):
        return None, notes
    kept = [[array for place, array in enumerate(side) if place not in other] for side in (reference, given)]
    figures = compare(data, *kept)
    return figures, (*notes, *check(figures, precision))


def _of_other_lengths(reference: Sequence[Array], given: Sequence[Array]) -> dict[int, str]:
    """Return the outputs whose rows are of one form but not of one number, by place, with both numbers."""
    return {
        place: f"{len(got)} rows, in the source {len(wanted)}"
        for place, (wanted, got) in enumerate(zip(reference, given, strict=True))
        if wanted.shape[1:] == got.shape[1:] and len(wanted) != len(got)
    }


def compare(data: str, reference: Sequence[Array], given: Sequence[Array]) -> Parity:
    """Return the worst figures over all outputs, and the agreement of the first that scores classes.

    reference, given: float32[N, ...] each, output by output. data: where the samples came from.
    Raises ExportError where the outputs differ in number or shape, or are not finite.
    """
    if len(reference) != len(given):
        raise ExportError(f"the artifact has {len(given)} outputs, its source {len(reference)}")
    pairs = []
    for index, (wanted, got) in enumerate(zip(reference, given, strict=True)):
        if wanted.size != got.size or len(wanted) != len(got):
            raise ExportError(f"output {index} has shape {got.shape}, in the source {wanted.shape}")
        if not bool(np.isfinite(got).all()):
            raise ExportError(f"output {index} of the artifact holds NaN or infinity")
        pairs.append((wanted.astype(np.float64).ravel(), got.astype(np.float64).ravel()))
    ratios = [ratio for wanted, got in pairs if (ratio := _sqnr_db(wanted, got)) is not None]
    return Parity(
        data=data,
        samples=len(reference[0]),
        max_abs_error=max(float(np.abs(wanted - got).max(initial=0.0)) for wanted, got in pairs),
        cosine=min(_cosine(wanted, got) for wanted, got in pairs),
        sqnr_db=min(ratios, default=None),
        agreement=_agreement(reference, given),
    )


def scoring(outputs: Sequence[Array]) -> int | None:
    """Return the place of the first output that has one score per class for each sample; None without one."""
    for index, values in enumerate(outputs):
        classes = [size for size in values.shape[1:] if size != 1]
        if len(classes) == 1 and values.ndim >= _MATRIX:
            return index
    return None


def check(parity: Parity, precision: Precision) -> tuple[str, ...]:
    """Return what the user has to be told of the figures.

    Raises ExportError where an fp32 or fp16 artifact is another function than its source.
    """
    ratio = parity.sqnr_db
    if ratio is None or parity.max_abs_error <= _SAME:
        return ()
    least = _LEAST_SQNR_DB.get(precision)
    if least is not None and ratio < least:
        raise ExportError(
            f"the outputs are wrong: {ratio:.1f} dB of signal over error on {parity.samples} samples of "
            f"{parity.data} (at least {least:.0f} dB expected), largest error {parity.max_abs_error:.3g}",
            hint="the converter changed the model; try another format, or report it to the converter",
        )
    if ratio < _DOUBTFUL_DB.get(precision, 10.0):
        note = f"only {ratio:.1f} dB of signal over error on {parity.samples} samples of {parity.data}"
        return (f"{note}: do the calibration data and its preprocessing fit the model?",)
    return ()


def _sqnr_db(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> float | None:
    error = float(np.square(wanted - got).sum())
    if error == 0:
        return None
    signal = float(np.square(wanted).sum())
    return 10 * float(np.log10(signal / error)) if signal > 0 else -float(10 * np.log10(1 + error))


def _cosine(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    norms = float(np.linalg.norm(wanted) * np.linalg.norm(got))
    if norms == 0:
        return 1.0 if bool((wanted == got).all()) else 0.0
    return float(np.clip(wanted @ got / norms, -1.0, 1.0))


def _agreement(reference: Sequence[Array], given: Sequence[Array]) -> float | None:
    index = scoring(reference)
    if index is None:
        return None
    wanted, got = (values[index].reshape(len(values[index]), -1) for values in (reference, given))
    return float((wanted.argmax(1) == got.argmax(1)).mean())
