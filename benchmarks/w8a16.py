"""What 16-bit activations give and cost beside 8-bit ones, in ONNX Runtime and LiteRT on this processor.

Models: those that int8_models.py trains on digits and, with ../shared, the CIFAR ResNet-20. Figures of
w8a8 and w8a16, each against the fp32 file in the same runtime: signal over noise, churn, the share of
images whose best class changes, size and latency (median of interleaved rounds, one image, one thread).

Goal: w8a16 is nearer to fp32 than w8a8 on every model in both runtimes. Needs edgebench[torch].
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import int8_models
import numpy as np
from bench import Goal, arguments, finish, machine, table
from int8_figures import answers, latencies
from saturation import near, quantized

from edgebench.artifact import Format, Precision
from edgebench.calibration.target import local_target

_IMAGES, _QUICK = 300, 60
_PRECISIONS = (Precision.W8A8, Precision.W8A16)


@dataclass(frozen=True, slots=True)
class Row:
    """One file. size, latency: divided by fp32's; churn: in per cent."""

    model: str
    runtime: str
    precision: str
    sqnr_db: float
    churn: float
    size: float
    latency: float


def cases(folder: Path, *, quick: bool) -> Iterator[int8_models.Case]:
    """Yield the models; quick: the first alone."""
    for name in ("convolutional", "depthwise", "transformer")[: 1 if quick else 3]:
        yield int8_models.digits(folder, name)
    if not quick and int8_models.ASSETS.is_dir():
        yield int8_models.resnet("resnet20", "resnet20-12fca82f.th")


def measure(case: int8_models.Case, fmt: Format, folder: Path, *, images: int) -> list[Row]:
    """Return the figures of both precisions of one model in one runtime."""
    folder.mkdir()
    wanted = {f"{precision}.{fmt}": (precision, local_target()) for precision in _PRECISIONS}
    fp32 = quantized(case, fmt, wanted, folder)
    files = [folder / name for name in wanted]
    feeds = [[image[None]] for image in case.images[:images]]
    scores = [answers(path, feeds).astype(np.float32) for path in (fp32, *files)]
    seconds = latencies([fp32, *files], feeds[0])
    return [
        Row(
            case.name,
            str(fmt),
            str(precision),
            *near(scores[0], given),
            size=file.stat().st_size / fp32.stat().st_size,
            latency=taken / seconds[0],
        )
        for precision, file, given, taken in zip(_PRECISIONS, files, scores[1:], seconds[1:], strict=True)
    ]


def goals(rows: list[Row]) -> list[Goal]:
    """Return what has to hold over all models."""
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    gain = min(wide.sqnr_db - narrow.sqnr_db for narrow, wide in pairs)
    return [Goal("least dB that w8a16 is nearer to fp32 than w8a8", gain, "> 0", gain > 0)]


def main() -> None:
    """Measure all models, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="edgebench-bench-") as name:
        for index, case in enumerate(cases(Path(name), quick=options.quick)):
            for fmt in (Format.ONNX, Format.TFLITE):
                images = _QUICK if options.quick else _IMAGES
                rows += measure(case, fmt, Path(name) / f"{index}-{fmt}", images=images)
    print(f"{machine()}; {local_target()}; against fp32 in the same runtime\n")
    header = ["model", "runtime", "precision", "dB", "churn %", "size", "latency"]
    cells = [
        [
            *(r.model, r.runtime, r.precision, f"{r.sqnr_db:.1f}", f"{r.churn:.2f}"),
            *(f"{r.size:.3f}", f"{r.latency:.2f}"),
        ]
        for r in rows
    ]
    print(table(header, cells), "\n", sep="")
    finish("w8a16", {"rows": [asdict(r) for r in rows]}, goals(rows), options.json)


if __name__ == "__main__":
    main()
