"""What calibration costs beside plain inference over the same samples, in time and in memory.

A MobileNetV2 at 224×224 is watched by edgebench and by onnxruntime's and ai-edge-quantizer's own
calibrators, each in a fresh process with one thread, plain inference before and after it. Memory is the
process's peak during calibration above what it held before.

Goals: percentile, entropy and MSE at most 2 times plain inference, and under 300 MB at every number of
images. What watching every channel too costs stands beside them; no goal is set for it. Needs the extra
edgebench[torch]. Peers run on few images: their memory grows with each one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench import Goal, arguments, finish, machine, table

TIMES, MEGABYTES = 2.0, 300.0
OURS = ("percentile", "entropy", "mse")
BY_CHANNEL = "edgebench-by-channel mse"
"""Beside the goals: what it costs to watch every channel too."""
PEERS = {
    "onnx": ("onnxruntime min-max", "onnxruntime percentile", "onnxruntime entropy"),
    "tflite": ("ai-edge-quantizer",),
}


def make_models(folder: Path) -> None:
    """Write the network as fp32 ONNX, batch normalization folded, and as fp32 TFLite."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from edgebench import api

    api.export(
        f"{Path(__file__).parent / 'mobilenet_v2.py'}:build",
        out=folder,
        input_shape=["1,3,224,224"],
        name="net",
    )
    quant_pre_process(str(folder / "net.fp32.onnx"), str(folder / "net.onnx"), skip_symbolic_shape=True)
    (folder / "net.fp32.tflite").rename(folder / "net.tflite")


def make_images(folder: Path, count: int) -> None:
    """Write `count` images of noise."""
    from edgebench.calibration.samples import write_samples

    source = np.random.default_rng(0)
    pieces = ([source.normal(size=(16, 3, 224, 224)).astype(np.float32)] for _ in range(count // 16))
    write_samples(folder, count, pieces)


def run_case(folder: Path, images: Path, runtime: str, who: str) -> dict[str, Any]:
    """Return seconds and megabytes of one case, measured in a process of its own."""
    script = Path(__file__).with_name("calibration_case.py")
    command = [sys.executable, str(script), str(folder / f"net.{runtime}"), str(images), runtime, who]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure all cases, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    counts = (64,) if options.quick else (64, 256, 1024)
    rows, figures, goals = [], [], []
    with tempfile.TemporaryDirectory(prefix="edgebench-bench-") as name:
        folder = Path(name)
        make_models(folder)
        for count in counts:
            images = folder / "images"
            make_images(images, count)
            for runtime in ("onnx", "tflite"):
                peers = PEERS[runtime] if count == counts[0] else ()
                if options.quick:
                    peers = peers[:1]  # the others take minutes and gigabytes
                for who in (*(f"edgebench {method}" for method in OURS), BY_CHANNEL, *peers):
                    found = run_case(folder, images, runtime, who)
                    ratio = found["seconds"] / found["plain_seconds"]
                    figures.append({"runtime": runtime, "who": who, "images": count, "ratio": ratio, **found})
                    rows.append(
                        [
                            f"{runtime} {who}",
                            str(count),
                            f"{found['plain_seconds'] / count * 1e3:.1f}",
                            f"{found['seconds'] / count * 1e3:.1f}",
                            f"{ratio:.2f}",
                            f"{found['extra_bytes'] / 1e6:.0f}",
                        ]
                    )
                    print(f"{rows[-1][0]}, {count} images: {ratio:.2f} times", file=sys.stderr)
    ours = [entry for entry in figures if entry["who"].startswith("edgebench ")]
    slowest = max(entry["ratio"] for entry in ours)
    largest = max(entry["extra_bytes"] for entry in ours) / 1e6
    print(f"{machine()}; MobileNetV2 224×224, one thread\n")
    header = ["who", "images", "plain ms/image", "calibration ms/image", "times", "extra MB"]
    print(table(header, rows), "\n", sep="")
    goals = [
        Goal("slowest edgebench calibration / plain inference", slowest, f"<= {TIMES}", slowest <= TIMES),
        Goal("largest extra memory of edgebench, MB", largest, f"< {MEGABYTES}", largest < MEGABYTES),
    ]
    finish("calibration", {"cases": figures}, goals, options.json)


if __name__ == "__main__":
    main()
