"""The parts of the search for float layers that run in worker processes: plain data in, plain data out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.artifact import Format
from edgebench.benchmark.accuracy import correct
from edgebench.calibration.samples import SampleStore
from edgebench.errors import DataError
from edgebench.exporters import parity
from edgebench.exporters.mixed_graph import READERS
from edgebench.exporters.quantizers import QUANTIZERS, QuantizationJob
from edgebench.exporters.stages import named_function
from edgebench.storage import from_plain, size_bytes, storage_errors, to_plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = 1e12
"""Stands for the noise of answers that are no numbers."""


def reference(arguments: dict[str, Any]) -> Any:
    """Return the LayerGraph of the fp32 file, and how many samples it answers rightly, plain.

    Writes which, bool[N], to `out`. arguments: job, format, samples (a SampleStore's folder), labels (a
    file), out. Raises DataError where its answers are no classes, or the labels others.
    """
    job = from_plain(QuantizationJob, arguments["job"], what="quantization")
    right = _right(job.base, arguments)
    out = Path(arguments["out"])
    with storage_errors(out):
        np.save(out, right)
    read = named_function(READERS[Format(arguments["format"])])
    return to_plain({"graph": read(job), "right": int(right.sum())})


def trial(arguments: dict[str, Any]) -> Any:
    """Return lost, won, samples and size_bytes of a quantized file beside the fp32 file.

    arguments: job, format, samples, labels, reference (the file that `reference` wrote).
    """
    job = from_plain(QuantizationJob, arguments["job"], what="trial")
    named_function(QUANTIZERS[Format(arguments["format"])])(job)
    before, after = np.load(arguments["reference"], allow_pickle=False), _right(job.out, arguments)
    return {
        "lost": int((before & ~after).sum()),
        "won": int((~before & after).sum()),
        "samples": len(before),
        "size_bytes": size_bytes(job.out),
    }


def noise(arguments: dict[str, Any]) -> Any:
    """Return, for each set of float layers, the error power over the signal power of the answers.

    arguments: job, format, floats (sets of tensors), samples, count (of them).
    """
    job, fmt = from_plain(QuantizationJob, arguments["job"], what="noise"), Format(arguments["format"])
    inputs = [array[: arguments["count"]] for array in SampleStore(Path(arguments["samples"])).mapped()]
    wanted = _scores(job.base, fmt, inputs)
    quantize, found = named_function(QUANTIZERS[fmt]), []
    for floats in arguments["floats"]:
        quantize(replace(job, floats=tuple(floats)))
        off = _scores(job.out, fmt, inputs) - wanted
        ratio = float(np.square(off).sum() / max(float(np.square(wanted).sum()), 1e-30))
        found.append(min(_LARGEST, ratio))
    return found


def _right(path: Path, arguments: dict[str, Any]) -> NDArray[np.bool_]:
    """Return which held-back samples a file answers rightly."""
    inputs = SampleStore(Path(arguments["samples"])).mapped()
    labels = np.load(arguments["labels"], allow_pickle=False)
    scores = _scores(path, Format(arguments["format"]), inputs)
    if labels.max() >= scores.shape[1]:
        raise DataError(
            f"label {labels.max()} does not fit the model, which has {scores.shape[1]} classes",
            hint="labels count from 0; is this the data the model was trained for?",
        )
    return correct(scores.astype(np.float32), labels)


def _scores(path: Path, fmt: Format, inputs: list[Any]) -> NDArray[np.float64]:
    """Return the scores of the classes, float64[N, C]. Raises DataError where no output is such."""
    answers = parity.answers(path, fmt, inputs)
    index = parity.scoring(answers)
    if index is None:
        raise DataError(
            "a budget on the drop is about top-1 accuracy, and no output is one score per class",
            hint="leave it out, and judge the outputs by what the model is for",
        )
    return answers[index].reshape(len(answers[index]), -1).astype(np.float64)
