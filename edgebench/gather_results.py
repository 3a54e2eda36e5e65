"""The Python calls behind `edgebench results`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


def results_frame(places: Sequence[Path]) -> pd.DataFrame:
    """Return the figures of all judged runs at or below these folders as one tidy table.

    A row is one quantity of one artifact on one device of one run; times are in ms. Raises InputError for a
    folder without a judged run, and for a file that is broken.
    """
    from edgebench.reports.frames import results_frame as frame

    return frame(places)


def write_results(places: Sequence[Path], out: Path) -> int:
    """Write the table of `results_frame` as .csv or .parquet, and return how many rows it has.

    Raises ConfigError for another ending, InputError as `results_frame`, StorageError where it cannot write.
    """
    from edgebench.storage import atomic_path

    if out.suffix not in {".csv", ".parquet"}:
        raise ConfigError(f"{out}: is neither .csv nor .parquet", hint="as in all.csv")
    table = results_frame(places)
    with atomic_path(out) as temporary:
        if out.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)
    return len(table)


def results_text(places: Sequence[Path]) -> str:
    """Return the table of `results_frame` as CSV. Raises InputError as that does."""
    text: str = results_frame(places).to_csv(index=False)
    return text
