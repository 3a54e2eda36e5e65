"""The figures of many judged runs as one tidy table: one quantity of one artifact on one device in a row."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import InputError
from edgebench.reports.results import COLUMNS, MeasuredArtifact, Results, read_results

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.json"
RUN_COLUMNS = ("run", "name", "created_utc", "decision", "format", "precision", "validity")
"""What stands before the columns of a run's own table: the folder, and what is known of run and artifact."""

_REPEATED = frozenset({"artifact", "device", "quantity", "unit"})
_NUMBERS = {"value": "float64", "lower": "float64", "upper": "float64", "confidence": "float64", "n": "int64"}


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


@dataclass(slots=True)
class _Gathered:
    """Columns as they grow. runs: what is known of each run, once. counts: how many rows it has."""

    runs: list[tuple[str, str, str]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    artifacts: list[tuple[str | None, str, str, str]] = field(default_factory=list)
    rows: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, folder: Path, results: Results) -> None:
        known = {(a.artifact, a.device): _known(a) for a in results.artifacts}
        self.runs.append((str(folder), results.name, results.created_utc))
        self.counts.append(len(results.rows))
        self.artifacts += [known[row.artifact, row.device] for row in results.rows]
        for name, column in self.rows.items():
            column.extend(map(attrgetter(name), results.rows))


def _known(artifact: MeasuredArtifact) -> tuple[str | None, str, str, str]:
    return artifact.decision, artifact.format, artifact.precision, artifact.validity


def results_frame(places: Sequence[Path]) -> pd.DataFrame:
    """Return the figures of all judged runs at or below these folders as a table.

    Text that repeats is categorical; value, lower and upper are float64, NaN where there is none. Raises
    InputError for a folder without a judged run, and for a broken file.
    """
    import numpy as np
    import pandas as pd

    gathered = _Gathered()
    for folder in judged_runs(places):
        gathered.add(folder, read_results(folder))
    of_run = np.repeat(np.arange(len(gathered.runs)), gathered.counts)
    columns: dict[str, Any] = {}
    for name, told in zip(RUN_COLUMNS, zip(*gathered.runs, strict=True), strict=False):
        codes, names = pd.factorize(np.array(told, dtype=object))
        columns[name] = pd.Categorical.from_codes(codes[of_run], categories=names)
    codes, kinds = pd.factorize(pd.Series(gathered.artifacts, dtype=object))
    for place, name in enumerate(RUN_COLUMNS[len(columns) :]):
        columns[name] = pd.Categorical(np.array([kind[place] for kind in kinds], dtype=object)[codes])
    for name, values in gathered.rows.items():
        columns[name] = pd.Categorical(values) if name in _REPEATED else np.array(values, _NUMBERS[name])
    return pd.DataFrame(columns)
