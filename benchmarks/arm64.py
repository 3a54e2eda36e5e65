"""Whether a model decides on ARM64 as it does here: the same file, the same samples, top-1 for top-1.

The device is an ARM64 Debian on a Cortex-A76 by qemu-user, behind an sshd on loopback, made for this run
out of Debian's packages; `edgebench devices setup` brings it numpy and the runtimes. Every file is asked
for its answers there and here through `edgebench benchmark`. Its times prove nothing, and its evidence
says so.

Models: fp32 and w8a8, ONNX and TFLite, of a convolutional network trained here on scikit-learn's digits,
and with ../shared MLPerf Tiny's ResNet-8 on CIFAR-10. Samples: 500 that nothing was trained on; --quick:
200 of the digits, TFLite alone. Goals: at least 200 samples a file, and the same best class for all of
them; where not, the samples are listed. Needs root or user namespaces, qemu-user-static, openssh-server
and a network, and the extras edgebench[torch] and edgebench[tensorflow].
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import int8_models
import numpy as np
import pytest
from bench import Goal, arguments, finish, machine, table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from devices.arm64_root import arm64_machine

from edgebench import api
from edgebench.benchmark.evidence_files import load_answers

_FEWEST = 200


@dataclass(frozen=True, slots=True)
class Compared:
    """One file's answers there and here. differing: the samples whose best class is another one."""

    file: str
    samples: int
    differing: tuple[int, ...]
    largest: float
    accuracy: tuple[float, float]


def artifacts(case: int8_models.Case, folder: Path, count: int, formats: str) -> tuple[list[Path], Path]:
    """Return fp32 and w8a8 files of a case, made for ARM64, and labelled samples."""
    calibration, data = folder / "calibration.npz", folder / "samples.npz"
    np.savez(calibration, x=case.calibration, y=np.zeros(len(case.calibration), np.int64))
    np.savez(data, x=case.images[:count], y=case.labels[:count])
    api.export(
        case.source,
        out=folder,
        weights=case.weights,
        formats=formats,
        precisions="fp32,w8a8",
        calib_data=str(calibration),
        calib_samples=len(case.calibration),
        input_shape=[",".join(map(str, (1, *case.images.shape[1:])))],
        target="arm64",
        name=case.name,
    )
    return sorted(path for path in folder.glob(f"{case.name}.*") if path.suffix in (".onnx", ".tflite")), data


def compare(files: list[Path], data: Path, device: str, folder: Path) -> Iterator[Compared]:
    """Ask every file for its answers on both machines."""
    runs = [
        api.benchmark(files, device=uri, data=str(data), sessions=1, calls=5, out=folder / name)
        for uri, name in ((device, "there"), ("local:cpu", "here"))
    ]
    there, here = (api.read_evidence(run).measurements for run in runs)
    for one, other in zip(there, here, strict=True):
        answers = [load_answers(run, found) for run, found in zip(runs, (one, other), strict=True)]
        if one.failure or other.failure or None in answers:
            raise SystemExit(f"{one.artifact.id}: {one.failure or other.failure or 'no answers'}")
        far, near = (found.logits for found in answers if found is not None)
        labels = answers[0].labels if answers[0] is not None else np.empty(0)
        yield Compared(
            file=one.artifact.id,
            samples=len(far),
            differing=tuple(int(i) for i in np.flatnonzero(far.argmax(1) != near.argmax(1))),
            largest=float(np.abs(far - near).max()),
            accuracy=tuple(float((scores.argmax(1) == labels).mean()) for scores in (far, near)),  # type: ignore[arg-type]
        )


def main() -> None:
    """Compare all files, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    logging.disable(logging.WARNING)
    found: list[Compared] = []
    with tempfile.TemporaryDirectory(prefix="edgebench-bench-") as name:
        folder = Path(name)
        cases = [int8_models.digits(folder, "convolutional")]
        if int8_models.ASSETS.is_dir() and not options.quick:
            cases.append(int8_models.resnet8())
        (folder / "machine").mkdir()
        try:
            with arm64_machine(folder / "machine") as server:
                os.environ["PATH"] = f"{server.folder / 'bin'}:{os.environ['PATH']}"
                print("on the device:", ", ".join(api.device_setup(server.uri)), flush=True)
                for case in cases:
                    place = folder / case.name
                    place.mkdir()
                    count, formats = (_FEWEST, "tflite") if options.quick else (500, "onnx,tflite")
                    found += compare(*artifacts(case, place, count, formats), server.uri, place)
        except pytest.skip.Exception as err:
            raise SystemExit(str(err)) from err
    rows = [
        [
            one.file,
            str(one.samples),
            str(len(one.differing)),
            f"{one.largest:.2g}",
            *(f"{share:.2%}" for share in one.accuracy),
        ]
        for one in found
    ]
    print(f"here: {machine()}; there: Cortex-A76 by qemu-user, Debian\n")
    print(table(["file", "samples", "other class", "largest difference", "top-1 there", "here"], rows), "\n")
    for one in found:
        if one.differing:
            print(f"{one.file}: another class for samples {', '.join(map(str, one.differing))}")
    differing = sum(len(one.differing) for one in found)
    fewest = min(one.samples for one in found)
    goals = [
        Goal("samples of the file that has fewest", fewest, f">= {_FEWEST}", fewest >= _FEWEST),
        Goal("samples whose best class differs", differing, "0", differing == 0),
    ]
    figures = [{name: getattr(one, name) for name in Compared.__slots__} for one in found]
    finish("arm64", {"files": figures}, goals, options.json)


if __name__ == "__main__":
    main()
