"""How near w8a8 is to fp32 by each observer, on training data that did not fix the ranges.

The default observer is chosen here, so no evaluation data is looked at. Models: two that int8_models.py
trains on digits and, with ../shared, the CIFAR ResNet-20 and MLPerf Tiny's ResNet-8. Figures: output
signal over quantization noise in dB, and churn, the share of samples whose best class changes, each
against the fp32 file in the same runtime.

Goal: the default is, in the mean over models and runtimes, within 0.5 dB of the best observer. Needs the
extra edgebench[torch], and [tensorflow] for ResNet-8.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import int8_models
import numpy as np
from bench import Goal, arguments, finish, machine, table

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import DEFAULT_METHOD, Method
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import local_target
from edgebench.exporters import parity, quantize_onnx, quantize_tflite
from edgebench.exporters.conversion import convert
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.quantizers import QuantizationJob
from edgebench.exporters.source import open_source

SLACK_DB = 0.5
HELD_BACK = 2000
QUANTIZERS = {Format.ONNX: quantize_onnx.quantize, Format.TFLITE: quantize_tflite.quantize}


@dataclass(frozen=True, slots=True)
class Trial:
    """A model and training samples, preprocessed, that do not fix its ranges."""

    case: int8_models.Case
    held_back: np.ndarray


def trials(folder: Path, *, quick: bool) -> Iterator[Trial]:
    """Yield the models; quick: the first alone."""
    for name in ("convolutional", "depthwise")[: 1 if quick else 2]:
        case = int8_models.digits(folder, name)
        yield Trial(case, int8_models.digits_held_back())
    if quick or not int8_models.ASSETS.is_dir():
        return
    images = int8_models.cifar_held_back(HELD_BACK)
    yield Trial(int8_models.resnet("resnet20", "resnet20-12fca82f.th"), int8_models.normalised(images))
    yield Trial(int8_models.resnet8(), images.astype(np.float32))


def each(measured: Iterator[Trial], folder: Path) -> Iterator[tuple[Trial, Format, Path]]:
    """Yield each trial with each runtime, and a new folder for its files."""
    for index, trial in enumerate(measured):
        for fmt in (Format.ONNX, Format.TFLITE):
            own = folder / f"{index}-{fmt}"
            own.mkdir()
            yield trial, fmt, own


def measure(trial: Trial, fmt: Format, folder: Path) -> dict[Method, tuple[float, float]]:
    """Return SQNR in dB and churn in per cent by observer."""
    case = trial.case
    shape = (1, *case.images.shape[1:])
    source = open_source(case.source, weights=case.weights, input_shapes=[shape])
    base = convert(source, fmt, folder, None, None).base
    write_samples(folder / "samples", len(case.calibration), [[case.calibration]])
    wanted = parity.answers(base, fmt, (trial.held_back,))
    figures = {}
    for method in Method:
        ranges = find_ranges(RangesJob(base, fmt, folder / "samples", method)).table
        out = folder / f"{method}.{fmt}"
        job = QuantizationJob(base, out, Precision.W8A8, local_target(), ranges)
        with contextlib.redirect_stdout(io.StringIO()):  # ai-edge-quantizer prints sizes
            QUANTIZERS[fmt](replace(job, samples=folder / "samples", method=method))
        found = parity.compare("held back", wanted, parity.answers(out, fmt, (trial.held_back,)))
        agreement = 1.0 if found.agreement is None else found.agreement
        figures[method] = (float("inf") if found.sqnr_db is None else found.sqnr_db, 100 * (1 - agreement))
    return figures


def main() -> None:
    """Measure all models, print the table, exit by the goal."""
    options = arguments(__doc__).parse_args()
    rows, figures = [], []
    with tempfile.TemporaryDirectory(prefix="edgebench-bench-") as name:
        for trial, fmt, folder in each(trials(Path(name), quick=options.quick), Path(name)):
            found = measure(trial, fmt, folder)
            cells = [f"{found[method][0]:.1f} / {found[method][1]:.2f}" for method in Method]
            rows.append([f"{trial.case.name} {fmt}", str(len(trial.held_back)), *cells])
            figures.append({"model": trial.case.name, "format": fmt, "figures": found})
    means = {method: float(np.mean([entry["figures"][method][0] for entry in figures])) for method in Method}
    rows.append(["mean", "", *(f"{means[method]:.1f}" for method in Method)])
    print(f"{machine()}; {local_target()}; dB of signal over noise / churn in %\n")
    print(table(["model", "samples", *map(str, Method)], rows), "\n", sep="")
    behind = max(means.values()) - means[DEFAULT_METHOD]
    goal = Goal(f"dB that {DEFAULT_METHOD} is behind the best", behind, f"<= {SLACK_DB}", behind <= SLACK_DB)
    plain: list[dict[str, Any]] = [
        {**entry, "figures": {str(m): f for m, f in entry["figures"].items()}} for entry in figures
    ]
    finish("observers", {"cases": plain}, [goal], options.json)


if __name__ == "__main__":
    main()
