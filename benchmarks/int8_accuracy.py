"""What int8 costs in accuracy: edgebench beside onnxruntime, ai-edge-quantizer, TFLiteConverter and NNCF.

Every tool quantizes the same fp32 file from the same calibration samples; all files answer the same
images, one at a time on one thread. Printed of each: accuracy; the drop from fp32 with its paired 95 %
interval; churn, the share of images whose best class changes; the output's signal to quantization noise;
size and latency beside fp32. Peers run at the settings their documentation recommends.

Goals, for each runtime: churn no larger than any peer's on any model and at most 0.7 of the best single
peer's in the mean; 3 dB more in the mean; no peer significantly more accurate; size at most 0.30 of
fp32, or, where scales, biases and the records of nodes leave a small model no room for that, no larger
than any peer's of the same integers and scales: which files those are is printed. Recipes that keep
activations in float (w8a32), which the tools recommend for transformers, are printed beside them and
count on single models, not in the means. Needs the extras edgebench[torch] and edgebench[tensorflow];
NNCF runs where it is installed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import arguments, finish, machine, table
from int8_figures import OURS, Row, answers, goals, latencies, least_bytes, row, too_large
from int8_makers import RefusedError, Task, check_runs, export, peers
from int8_models import Case, cases

_HEADER = ("model", "runtime", "who", "top-1 %", "drop points", "churn %", "SQNR dB", "size", "latency")


def measure(case: Case, runtime: str, folder: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of one model in one runtime, and what was not run."""
    fp32, ours = export(case, runtime, folder)
    made, missing = {OURS: ours}, []
    for index, (who, make) in enumerate(peers(runtime, text=bool(case.names)).items()):
        task = Task(case, fp32, folder / f"peer_{index}.{runtime}")
        try:
            make(task)
            check_runs(task)
            made[who] = task.out
        except Exception as err:  # noqa: BLE001 - a peer fails in ways of its own; the reason is printed
            missing.append(f"{case.name} {runtime} {who}: not run: {_reason(err)}")
    return _rows(case, runtime, fp32, made), missing


def _reason(err: Exception) -> str:
    text = " ".join(str(err).split())[:160]
    return text if isinstance(err, RefusedError) else f"{type(err).__name__}: {text}"


def _rows(case: Case, runtime: str, fp32: Path, made: dict[str, Path]) -> list[Row]:
    feeds = [case.feed(image) for image in case.images]
    seconds = latencies([fp32, *made.values()], feeds[0])
    before = answers(fp32, feeds)
    right = float((before.argmax(1) == case.labels).mean() * 100)
    size = fp32.stat().st_size
    print(
        f"{case.name} {runtime}: fp32 {right:.2f} %, {seconds[0] * 1e3:.3f} ms, {size} bytes, "
        f"of which int8 weights, scales and biases alone are {least_bytes(fp32) / size:.3f}",
        flush=True,
    )
    return [
        row(
            (case.name, runtime, who),
            case.labels,
            (before, answers(path, feeds)),
            size=path.stat().st_size / fp32.stat().st_size,
            latency=taken / seconds[0],
        )
        for (who, path), taken in zip(made.items(), seconds[1:], strict=True)
    ]


def cells(entry: Row) -> list[str]:
    """Return a row as text."""
    low, high = entry.interval
    return [
        entry.model,
        entry.runtime,
        entry.who,
        f"{entry.accuracy * 100:.2f}",
        f"{entry.drop * 100:+.2f} [{low * 100:+.2f}, {high * 100:+.2f}]",
        f"{entry.churn * 100:.2f}",
        f"{entry.sqnr:.1f}",
        f"{entry.size:.3f}",
        f"{entry.latency:.2f}",
    ]


def figures(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows for JSON."""
    names = ("model", "runtime", "who", "accuracy", "drop", "interval", "churn", "sqnr", "size", "latency")
    return [{name: getattr(entry, name) for name in names} for entry in rows]


def main() -> None:
    """Measure all models in both runtimes, print the table, exit by the goals."""
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--runtime", choices=("onnx", "tflite"), help="only this one")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    rows, missing = [], []
    with tempfile.TemporaryDirectory(prefix="edgebench-bench-") as name:
        for case in cases(Path(name), quick=options.quick):
            if options.only not in case.name:
                continue
            for runtime in case.formats:
                if options.runtime not in (None, runtime):
                    continue
                folder = Path(name) / f"{case.name}-{runtime}"
                folder.mkdir()
                with contextlib.redirect_stderr(io.StringIO()):
                    found, lacking = measure(case, runtime, folder)
                rows += found
                missing += lacking
                print(table(_HEADER, [cells(entry) for entry in found]), "\n", flush=True)
    print(f"{machine()}\n\n{table(_HEADER, [cells(entry) for entry in rows])}\n")
    large = [f"{r.model} {r.runtime}: {r.size:.3f} of fp32, more than 0.30" for r in too_large(rows)]
    print("\n".join([*missing, *large, ""]))
    finish("int8_accuracy", {"rows": figures(rows), "not_run": missing}, goals(rows), options.json)


if __name__ == "__main__":
    main()
