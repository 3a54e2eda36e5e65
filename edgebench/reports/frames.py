"""The figures of many judged runs as one tidy table: one quantity of one artifact on one device in a row."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edgebench.errors import InputError
from edgebench.reports.results import COLUMNS, MeasuredArtifact, Results, read_results

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.json"
RUN_COLUMNS = ("run", "name", "created_utc", "decision", "format", "precision", "validity")
"""What stands before the columns of a run's own table: the folder, and what is known of run and artifact."""

_REPEATED = (*RUN_COLUMNS, "artifact", "device", "quantity", "unit")


def judged_runs(places: Sequence[Path]) -> Iterator[Path]:
    """Yield the folders of judged runs that are named, or lie anywhere below those that are, by name.

    Raises InputError for a folder without any.
    """
    for place in places:
        found = 0
        for folder, below, files in os.walk(place):
            if RESULTS in files:
                found += 1
                below.clear()
                yield Path(folder)
            else:
                below.sort()
        if not found:
            why = "holds no judged run" if place.is_dir() else "no such folder"
            raise InputError(f"{place}: {why}", hint="edgebench report judges a run")


def result_rows(places: Sequence[Path]) -> Iterator[tuple[Any, ...]]:
    """Yield RUN_COLUMNS and COLUMNS of each figure of each run. Raises InputError, naming a broken file."""
    for folder in judged_runs(places):
        yield from _rows(str(folder), read_results(folder))


def _rows(folder: str, results: Results) -> Iterator[tuple[Any, ...]]:
    known = {(a.artifact, a.device): _known(a) for a in results.artifacts}
    start = (folder, results.name, results.created_utc)
    for r in results.rows:
        yield (
            *start,
            *known[r.artifact, r.device],
            r.artifact,
            r.device,
            r.quantity,
            r.value,
            r.lower,
            r.upper,
            r.unit,
            r.confidence,
            r.n,
        )


def _known(artifact: MeasuredArtifact) -> tuple[str | None, ...]:
    return artifact.decision, artifact.format, artifact.precision, artifact.validity


def results_frame(places: Sequence[Path]) -> pd.DataFrame:
    """Return the figures of all judged runs at or below these folders as a table.

    Text that repeats is categorical; value, lower and upper are float64, NaN where there is none. Raises
    InputError for a folder without a judged run, and for a broken file.
    """
    import pandas as pd

    columns = (*RUN_COLUMNS, *COLUMNS)
    values: Iterable[Sequence[Any]] = zip(*result_rows(places), strict=True)
    frame = pd.DataFrame(dict(zip(columns, values, strict=False)), columns=list(columns))
    frame = frame.astype(dict.fromkeys(("value", "lower", "upper", "confidence"), "float64"))
    return frame.astype(dict.fromkeys(_REPEATED, "category"))


def write_results_csv(places: Sequence[Path], stream: TextIO) -> int:
    """Write the figures of all judged runs at or below these folders as CSV; return how many rows."""
    writer = csv.writer(stream, lineterminator="\n")
    count = 0
    for count, row in enumerate(result_rows(places), start=1):
        if count == 1:
            writer.writerow((*RUN_COLUMNS, *COLUMNS))
        writer.writerow(["" if cell is None else cell for cell in row])
    return count
