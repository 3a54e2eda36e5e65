"""A graph's ranges, from the cache where the same graph was watched on the same samples before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Format
from edgebench.calibration.methods import DEFAULT_METHOD, Method
from edgebench.exporters.graph_hash import graph_sha256
from edgebench.exporters.graph_ranges import FOLDS, Ranges, RangesJob
from edgebench.exporters.worker import run_worker
from edgebench.progress import Progress
from edgebench.step_cache import cached_step
from edgebench.step_content import tool_sha256
from edgebench.storage import from_plain, read_json, to_plain, write_json

if TYPE_CHECKING:
    from edgebench.exporters.calibration_samples import CalibrationSamples


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """How ranges are found. stability, memory_bytes, per_channel: as in RangesJob. fresh: not cached."""

    method: Method = DEFAULT_METHOD
    stability: bool = False
    memory_bytes: int | None = None
    fresh: bool = False
    per_channel: bool = False


def calibrated(
    runtime: Format,
    base: Path,
    samples: CalibrationSamples,
    settings: CalibrationSettings,
    progress: Progress,
) -> Ranges:
    """Return the ranges of an fp32 graph's tensors, and notes on graph and samples.

    Raises what `find_ranges` does.
    """

    def make(folder: Path) -> None:
        stored, told = samples.write()
        job = RangesJob(
            base=base,
            runtime=runtime,
            samples=stored,
            method=settings.method,
            names=samples.names,
            numbers=tuple(samples.numbers),
            stability=settings.stability,
            memory_bytes=settings.memory_bytes,
            per_channel=settings.per_channel,
        )
        plain = run_worker(
            "edgebench.exporters.stages:calibrate", {"job": to_plain(job)}, what=f"calibrating {runtime}"
        )
        found = from_plain(Ranges, plain, what="calibration")
        write_json(folder / _FILE, Ranges(found.table, (*told, *found.notes)))

    key = {
        "tool": tool_sha256(),
        "graph": graph_sha256(base, runtime),
        "samples": samples.key(),
        "method": settings.method,
        "folds": FOLDS if settings.stability else 1,
        "memory_bytes": settings.memory_bytes,
        "per_channel": settings.per_channel,
    }
    folder = cached_step(f"calibrate {runtime}", key, make, fresh=settings.fresh, progress=progress)
    return read_json(folder / _FILE, Ranges)


_FILE = "ranges.json"
