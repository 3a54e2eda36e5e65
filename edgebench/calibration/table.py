"""The calibration table: for each graph, what range every tensor had, by every observer. JSON.

Schema history: 1, the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgebench.calibration.histogram import Distribution
from edgebench.calibration.observers import Method, Range, observe
from edgebench.errors import ConfigError
from edgebench.storage import read_json, write_json

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """One tensor. ranges: by observer. zeros: share of exact zeros, 0–1. values: how many were watched."""

    ranges: dict[Method, Range]
    zeros: float
    values: int


@dataclass(frozen=True, slots=True)
class GraphTable:
    """The tensors of one graph, by their names in it. sha256: of the fp32 file."""

    sha256: str
    runtime: str
    tensors: dict[str, TensorStatistics]


@dataclass(frozen=True, slots=True)
class CalibrationTable:
    """What a model's tensors were on one data set, in each graph that was made of the model."""

    data: str
    fingerprint: str
    samples: int
    graphs: tuple[GraphTable, ...]
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def graph(self, sha256: str, what: str) -> GraphTable:
        """Return the table of the graph with this hash. Raises ConfigError where it was made for others."""
        found = next((graph for graph in self.graphs if graph.sha256 == sha256), None)
        if found is None:
            known = ", ".join(f"{graph.runtime} {graph.sha256[:12]}" for graph in self.graphs)
            raise ConfigError(
                f"the calibration table was made for another model: {what} is {sha256[:12]}, it has {known}",
                hint="calibrate again: edgebench calibrate",
            )
        return found


def statistics(values: Distribution) -> TensorStatistics:
    """Return a tensor's ranges by every observer."""
    return TensorStatistics(
        ranges={method: observe(values, method) for method in Method},
        zeros=values.zeros / max(values.total, 1),
        values=values.total,
    )


def read_table(path: Path) -> CalibrationTable:
    """Return the table in a file. Raises InputError where it is absent or of another form."""
    table = read_json(path, CalibrationTable)
    if table.schema > SCHEMA:
        raise ConfigError(f"{path}: schema {table.schema} is of a later version of edgebench")
    return table


def write_table(path: Path, table: CalibrationTable) -> None:
    """Write the table, whole or not at all. Raises StorageError."""
    write_json(path, table)
