"""Whether 8-bit products saturate on this processor, and what that costs with 8-bit and with 7-bit weights.

The same models are quantized for x86-vnni (8 bits) and for x86-avx2 (7 bits), and TFLite's way (8 bits).
Each file answers the same images in plain arithmetic (ONNX Runtime with its optimizations off, Q/DQ in
float), on this processor and, where valgrind is installed, on the one that it emulates: AVX2 without
VNNI, with the kernels that ONNX Runtime and LiteRT choose there. Figures: signal over noise and churn, the
share of images whose best class changes, both against fp32.

Goals: the processor's flags tell what its products do; the file for this processor answers as plain
arithmetic does; where products saturate, 7-bit weights are nearer to fp32 than 8-bit ones; TFLite files
answer alike everywhere. Needs edgebench[torch]; with ../shared the CIFAR ResNet-20 is measured too.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import int8_models
import numpy as np
from bench import Goal, arguments, finish, machine, table

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import DEFAULT_METHOD
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import Target, local_target
from edgebench.exporters import parity, quantize_onnx, quantize_tflite
from edgebench.exporters.conversion import convert
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.quantizers import QuantizationJob
from edgebench.exporters.source import open_source

_PROBE = Path(__file__).with_name("saturation_probe.py")
_FILES = {"8 bits, ONNX": "x86-vnni.onnx", "7 bits, ONNX": "x86-avx2.onnx", "8 bits, TFLite": "any.tflite"}
_OURS = {Target.X86_AVX2: "7 bits, ONNX"}
_PLAIN, _HERE, _EMULATED = "plain arithmetic", "this processor", "AVX2, emulated"
_SLACK_DB = 1.0
_QUICK, _IMAGES = 60, 300

Figures = dict[str, dict[str, tuple[float, float]]]
"""Where → which file → signal over noise in dB and churn in per cent."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's figures, and whether products saturate at each place."""

    model: str
    images: int
    figures: Figures
    saturates: dict[str, bool]


def cases(folder: Path, *, quick: bool) -> Iterator[int8_models.Case]:
    """Yield the models; quick: the first alone."""
    for name in ("convolutional", "depthwise")[: 1 if quick else 2]:
        yield int8_models.digits(folder, name)
    if not quick and int8_models.ASSETS.is_dir():
        yield int8_models.resnet("resnet20", "resnet20-12fca82f.th")


def quantized(
    case: int8_models.Case, fmt: Format, wanted: dict[str, tuple[Precision, Target]], folder: Path
) -> Path:
    """Write files of a case by the export's own steps, and return the fp32 file.

    wanted: precision and target by the file's name.
    """
    source = open_source(case.source, weights=case.weights, input_shapes=[(1, *case.images.shape[1:])])
    base = convert(source, fmt, folder, None, None).base
    samples = folder / f"samples-{fmt}"
    write_samples(samples, len(case.calibration), [[case.calibration]])
    ranges = find_ranges(RangesJob(base, fmt, samples, DEFAULT_METHOD)).table
    quantize = quantize_onnx.quantize if fmt is Format.ONNX else quantize_tflite.quantize
    for name, (precision, target) in wanted.items():
        job = QuantizationJob(base, folder / name, precision, target, ranges, samples=samples)
        with contextlib.redirect_stdout(io.StringIO()):  # ai-edge-quantizer prints its progress
            quantize(job)
    return base


def measure(case: int8_models.Case, folder: Path, *, images: int, emulate: bool) -> Measured:
    """Return the figures of one model."""
    folder.mkdir()
    targets = {f"{t}.onnx": (Precision.W8A8, t) for t in (Target.X86_VNNI, Target.X86_AVX2)}
    fp32 = quantized(case, Format.ONNX, targets, folder)
    quantized(case, Format.TFLITE, {"any.tflite": (Precision.W8A8, local_target())}, folder)
    made = [folder / name for name in _FILES.values()]
    samples = folder / "images.npy"
    np.save(samples, case.images[:images])
    wanted = probe([], samples, [fp32])[fp32.name]
    places = {_HERE: probe([], samples, made)}
    if emulate:
        places[_EMULATED] = probe(["valgrind", "--tool=none", "-q"], samples, made)
    figures = {
        _PLAIN: {label: plain(folder / _FILES[label], case.images[:images], wanted) for label in _ONNX}
    }
    for place, scores in places.items():
        figures[place] = {label: near(wanted, scores[name]) for label, name in _FILES.items()}
    saturates = {place: bool(scores["saturates"]) for place, scores in places.items()}
    return Measured(case.name, images, figures, saturates)


_ONNX = [label for label in _FILES if label.endswith("ONNX")]


def probe(prefix: Sequence[str], samples: Path, files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return what a process of its own, run by `prefix`, answers with each file."""
    out = samples.with_suffix(".npz")
    argv = [*prefix, sys.executable, str(_PROBE), str(samples), str(out), *map(str, files)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)} failed:\n{done.stderr[-2000:]}")
    with np.load(out) as stored:
        return dict(stored)


def plain(path: Path, images: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """Return a file's figures with its Q/DQ nodes computed one by one."""
    from edgebench.ladder.answers import plain_session

    session = plain_session(path.read_bytes())
    name = session.get_inputs()[0].name
    scores = [session.run(None, {name: image[None]})[0].reshape(1, -1) for image in images]
    return near(wanted, np.concatenate(scores))


def near(wanted: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Return signal over noise in dB and churn in per cent."""
    found = parity.compare("images", [wanted], [scores])
    agreement = 1.0 if found.agreement is None else found.agreement
    return float("inf") if found.sqnr_db is None else found.sqnr_db, 100 * (1 - agreement)


def goals(found: Sequence[Measured]) -> list[Goal]:
    """Return what has to hold over all models."""
    told = local_target() is Target.X86_AVX2
    right = all(entry.saturates[_HERE] == told for entry in found)
    ours = _OURS.get(local_target(), "8 bits, ONNX")
    off = max(abs(e.figures[_HERE][ours][0] - e.figures[_PLAIN][ours][0]) for e in found)
    goals = [
        Goal("the flags tell whether products saturate", int(right), "1", right),
        Goal(f"dB between {ours} here and in plain arithmetic", off, f"<= {_SLACK_DB}", off <= _SLACK_DB),
    ]
    places = [(e, place) for e in found for place, saturates in e.saturates.items() if saturates]
    if places:
        gain = fmean(e.figures[p]["7 bits, ONNX"][0] - e.figures[p]["8 bits, ONNX"][0] for e, p in places)
        goals.append(Goal("dB that 7 bits gain where products saturate", gain, "> 0", gain > 0))
    both = [e.figures for e in found if _EMULATED in e.figures]
    if both:
        apart = max(abs(f[_HERE]["8 bits, TFLite"][0] - f[_EMULATED]["8 bits, TFLite"][0]) for f in both)
        goals.append(
            Goal("dB between TFLite here and emulated", apart, f"<= {_SLACK_DB}", apart <= _SLACK_DB)
        )
    return goals


def rows(entry: Measured) -> list[list[str]]:
    """Return one model's figures as text, a row for each place."""
    lines = []
    for place, figures in entry.figures.items():
        sums = {True: "saturate", False: "exact"}.get(entry.saturates.get(place, None), "exact")
        cells = [f"{figures[f][0]:.1f} / {figures[f][1]:.2f}" if f in figures else "" for f in _FILES]
        lines.append([entry.model, str(entry.images), place, sums, *cells])
    return lines


def main() -> None:
    """Measure all models, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    emulate = shutil.which("valgrind") is not None
    if not emulate:
        print("valgrind is not installed: no emulated processor")
    found = []
    with tempfile.TemporaryDirectory(prefix="edgebench-bench-") as name:
        for index, case in enumerate(cases(Path(name), quick=options.quick)):
            images = _QUICK if options.quick else _IMAGES
            found.append(measure(case, Path(name) / str(index), images=images, emulate=emulate))
    here = "saturate" if found[0].saturates[_HERE] else "are exact"
    print(f"{machine()}; {local_target()}: sums of 8-bit products {here}; dB / churn in %\n")
    header = ["model", "images", "where", "sums", *_FILES]
    print(table(header, [row for entry in found for row in rows(entry)]), "\n", sep="")
    plain_found: list[dict[str, Any]] = [
        {"model": e.model, "images": e.images, "figures": e.figures, "saturates": e.saturates} for e in found
    ]
    finish("saturation", {"target": str(local_target()), "models": plain_found}, goals(found), options.json)


if __name__ == "__main__":
    main()
