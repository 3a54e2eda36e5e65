"""The calibration table: for each graph that a model became, what range every tensor has. JSON.

Schema history: 1, the first; 2, tensors may have channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgebench.artifact import Format
from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range
from edgebench.datasets import Preprocessing
from edgebench.errors import ConfigError, InputError
from edgebench.storage import encode_json, read_json, sha256_bytes, to_plain, write_json

SCHEMA = 2
_AGAIN = "calibrate again: edgebench calibrate"


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """The channels of one tensor over all samples, one entry each.

    axis: the one that they lie on. ranges: what integers of their own would cover. lowest, highest: the
    extremes, exact. spread: how far these move as one quarter of the samples after the other is left out, as
    a share of what lies between them; empty where that was not looked at.
    """

    axis: int
    ranges: tuple[Range, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    spread: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """One tensor over all samples.

    range: what its integers cover. lowest, highest: what was seen of it. zeros: share of exact zeros,
    0–1. values: how many were watched. spread: how far the range's ends move as one quarter of the
    samples after the other is left out, as a share of its width; None where that was not looked at.
    channels: None where the tensor was watched as a whole only.
    """

    range: Range
    lowest: float
    highest: float
    zeros: float
    values: int
    spread: float | None = None
    channels: ChannelStatistics | None = None


@dataclass(frozen=True, slots=True)
class GraphTable:
    """The tensors of one graph, by their names in it.

    sha256: of what the fp32 file computes. bins: of each tensor's histogram. channel_bins: of each channel's;
    None where tensors were watched as wholes only.
    """

    runtime: Format
    sha256: str
    bins: int
    tensors: dict[str, TensorStatistics]
    channel_bins: int | None = None

    def least_steady(self, most: int = 5) -> list[tuple[str, float]]:
        """Return the tensors of the largest spread, and it, the largest first; fused ones once."""
        found: dict[tuple[float, Range], str] = {}
        for name, tensor in self.tensors.items():
            if tensor.spread:
                found.setdefault((tensor.spread, tensor.range), name)
        worst = sorted(found.items(), key=lambda item: -item[0][0])[:most]
        return [(name, spread) for (spread, _), name in worst]


@dataclass(frozen=True, slots=True)
class CalibrationTable:
    """What a model's tensors were on one data set, in each graph that was made of the model.

    data, fingerprint: the data set's spec string and hash. samples: how many of it were used. digest:
    SHA-256 of all the rest, so that a table which was changed afterwards is told from one which was not.
    """

    data: str
    fingerprint: str
    samples: int
    method: Method
    graphs: tuple[GraphTable, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    digest: str | None = None
    schema: int = SCHEMA

    def graph(self, runtime: Format, sha256: str, versions: Mapping[str, str]) -> GraphTable:
        """Return the table of the graph with this hash.

        versions: those of now, which a refusal compares. Raises ConfigError where the table was made for
        another model, or knows no such graph.
        """
        graphs = {graph.runtime: graph for graph in self.graphs}
        if runtime not in graphs:
            raise ConfigError(
                f"the calibration table has no ranges for {runtime}, only for {', '.join(graphs)}",
                hint=f"edgebench calibrate --format {','.join([*graphs, runtime])}",
            )
        if graphs[runtime].sha256 != sha256:
            raise ConfigError(
                f"the calibration table was made for another model: its {runtime} graph is "
                f"{graphs[runtime].sha256[:12]}, this one's is {sha256[:12]}",
                hint=f"{_AGAIN}{self._newer(versions)}",
            )
        return graphs[runtime]

    def _newer(self, versions: Mapping[str, str]) -> str:
        """Return, in words, the packages whose version is not the table's; the graph may differ by them."""
        other = [
            f"{name} {was} (now {versions.get(name, 'absent')})"
            for name, was in self.versions.items()
            if versions.get(name) != was
        ]
        return f"; it is of {', '.join(other)}" if other else ""


def read_table(path: Path) -> CalibrationTable:
    """Return the table in a file.

    Raises InputError where it is absent, of another form, changed since it was written, or impossible.
    """
    try:
        table = read_json(path, CalibrationTable)
    except InputError as err:
        raise InputError(err.message, hint=_AGAIN) from err
    if table.schema > SCHEMA:
        raise ConfigError(
            f"{path}: schema {table.schema} is of a later edgebench; this one reads up to {SCHEMA}",
            hint=_AGAIN,
        )
    if table.digest is not None and table.digest != _digest(table):
        raise InputError(
            f"{path}: was changed after edgebench wrote it: its digest does not hold",
            hint=f"{_AGAIN}; or remove the line `digest` to take the ranges as they are",
        )
    for graph in table.graphs:
        for name, tensor in graph.tensors.items():
            ranges = (tensor.range, *(tensor.channels.ranges if tensor.channels else ()))
            found = next((found for found in ranges if not found.lowest <= 0 <= found.highest), None)
            if found is not None:
                raise InputError(
                    f"{path}: {graph.runtime} tensor {name}: {found.lowest} to {found.highest} is no range "
                    "around zero",
                    hint=_AGAIN,
                )
    return table


def usable_table(path: Path, preprocessing: Preprocessing, method: Method | None) -> CalibrationTable:
    """Return the table in a file for an export with this preprocessing and, unless None, this method.

    Raises ConfigError where it was made with others, and what `read_table` does.
    """
    table = read_table(path)
    if method not in (None, table.method):
        raise ConfigError(
            f"{path}: its ranges are found by {table.method}, and {method} is asked for",
            hint=f"take {table.method}, or edgebench calibrate --method {method}",
        )
    if table.preprocessing != preprocessing:
        theirs, ours = _differing(table.preprocessing, preprocessing)
        raise ConfigError(
            f"{path}: was made with another preprocessing: {theirs}, and here {ours}",
            hint=f"declare the same, or {_AGAIN}",
        )
    return table


def write_table(path: Path, table: CalibrationTable) -> CalibrationTable:
    """Write the table with its digest, whole or not at all, and return it. Raises StorageError."""
    signed = replace(table, digest=_digest(table))
    write_json(path, signed)
    return signed


def _digest(table: CalibrationTable) -> str:
    plain = to_plain(replace(table, digest=None))
    if table.schema == 1:
        for graph in plain["graphs"]:
            del graph["channel_bins"]
            for tensor in graph["tensors"].values():
                del tensor["channels"]
    return sha256_bytes(encode_json(plain))


def _differing(*declared: Preprocessing) -> tuple[str, ...]:
    """Return, for each preprocessing, the keys in which they differ with their values."""
    plain = [to_plain(steps) for steps in declared]
    keys = [key for key in plain[0] if any(steps[key] != plain[0][key] for steps in plain)]
    return tuple(", ".join(f"{key} {steps[key]}" for key in keys) for steps in plain)
