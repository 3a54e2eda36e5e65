"""The calibration table's file: read back whole, refused when it is another's or was changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import Format
from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range
from edgebench.calibration.table import (
    CalibrationTable,
    ChannelStatistics,
    GraphTable,
    TensorStatistics,
    read_table,
    usable_table,
    write_table,
)
from edgebench.datasets import Preprocessing
from edgebench.errors import ConfigError, InputError

SCALED = Preprocessing(scale=1 / 255)


def tensor(low: float = -1.0, high: float = 2.0, spread: float | None = None) -> TensorStatistics:
    """Return a tensor of this range."""
    return TensorStatistics(Range(low, high), low, high, 0.0, 100, spread)


def table(**changes: Any) -> CalibrationTable:
    """Return a table of one ONNX graph."""
    graph = GraphTable(Format.ONNX, "a" * 64, 4096, {"x": tensor(), "y": tensor(0.0, 9.0)})
    made = CalibrationTable("c.npz", "f" * 64, 64, Method.MSE, (graph,), SCALED, versions={"numpy": "2"})
    return replace(made, **changes)


def edited(path: Path, old: str, new: str) -> Path:
    """Replace text in the table's file; return its path."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_a_table_is_read_back_whole(tmp_path: Path) -> None:
    """What was written is what is read, its digest included."""
    written = write_table(tmp_path / "t.json", table(notes=("a note",)))
    assert read_table(tmp_path / "t.json") == written
    assert written.digest is not None
    assert json.loads((tmp_path / "t.json").read_text())["schema"] == 2


def test_channels_are_read_back(tmp_path: Path) -> None:
    """A tensor's channels are kept beside it; one whose range leaves out zero is refused."""
    own = ChannelStatistics(1, (Range(-1.0, 2.0), Range(0.0, 1.0)), (-1.0, 0.5), (2.0, 1.0), (0.1, 0.0))
    graph = GraphTable(Format.ONNX, "a" * 64, 4096, {"x": replace(tensor(), channels=own)}, 1024)
    written = write_table(tmp_path / "t.json", table(graphs=(graph,)))
    assert read_table(tmp_path / "t.json") == written
    wrong = replace(own, ranges=(Range(-1.0, 2.0), Range(0.5, 1.0)))
    graph = replace(graph, tensors={"x": replace(tensor(), channels=wrong)})
    write_table(tmp_path / "t.json", table(graphs=(graph,)))
    with pytest.raises(InputError, match=r"tensor x: 0\.5 to 1\.0 is no range"):
        read_table(tmp_path / "t.json")


def test_a_table_of_schema_1_still_reads(tmp_path: Path) -> None:
    """Its digest holds, it has no channels, and a changed number is found all the same."""
    path = tmp_path / "t.json"
    path.write_bytes((Path(__file__).parent / "schemas" / "table_1.json").read_bytes())
    assert replace(read_table(path), digest=None) == table(notes=("a note",), schema=1)
    edited(path, '"highest": 9.0', '"highest": 7.0')
    with pytest.raises(InputError, match="was changed after edgebench wrote it"):
        read_table(path)


def test_a_table_that_was_edited_is_refused(tmp_path: Path) -> None:
    """One changed number breaks the digest; without the digest the ranges are taken as they are."""
    path = tmp_path / "t.json"
    write_table(path, table())
    edited(path, '"highest": 9.0', '"highest": 7.0')
    with pytest.raises(InputError, match=r"t\.json: was changed after edgebench wrote it") as caught:
        read_table(path)
    assert "`digest`" in str(caught.value)
    record = json.loads(path.read_text())
    del record["digest"]
    path.write_text(json.dumps(record))
    assert read_table(path).graphs[0].tensors["y"].range.highest == 7.0


def test_a_truncated_table_is_refused(tmp_path: Path) -> None:
    """A file that was cut off is named, with what to do."""
    path = tmp_path / "t.json"
    write_table(path, table())
    path.write_text(path.read_text()[:200])
    with pytest.raises(InputError, match=r"t\.json") as caught:
        read_table(path)
    assert "edgebench calibrate" in str(caught.value)


@pytest.mark.parametrize("highest", ["-0.5", "null", '"much"'])
def test_an_impossible_range_is_refused(tmp_path: Path, highest: str) -> None:
    """A range that leaves out zero or is no number is refused, whatever the digest says."""
    path = tmp_path / "t.json"
    write_table(path, table())
    record = path.read_text().replace('"highest": 2.0', f'"highest": {highest}')
    plain = json.loads(record)
    plain["digest"] = None
    path.write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"tensor x|highest"):
        read_table(path)


def test_a_table_of_a_later_version_is_refused(tmp_path: Path) -> None:
    """A schema number that this version does not know is named."""
    write_table(tmp_path / "t.json", table(schema=99))
    with pytest.raises(ConfigError, match="schema 99"):
        read_table(tmp_path / "t.json")


def test_a_graph_is_found_by_its_hash() -> None:
    """The right file's table is given; another's is refused with both hashes and the versions that differ."""
    assert table().graph(Format.ONNX, "a" * 64, {}).tensors["x"] == tensor()
    with pytest.raises(ConfigError, match="made for another model: its onnx graph is aaaaaaaaaaaa") as caught:
        table().graph(Format.ONNX, "b" * 64, {"numpy": "3"})
    assert "bbbbbbbbbbbb" in str(caught.value)
    assert "numpy 2 (now 3)" in str(caught.value)
    with pytest.raises(ConfigError, match="no ranges for tflite, only for onnx"):
        table().graph(Format.TFLITE, "a" * 64, {})


def test_a_table_of_another_preprocessing_or_method_is_refused(tmp_path: Path) -> None:
    """The keys that differ are named with both values; a method that is not asked for does not matter."""
    path = tmp_path / "t.json"
    written = write_table(path, table())
    assert usable_table(path, SCALED, None) == usable_table(path, SCALED, Method.MSE) == written
    with pytest.raises(ConfigError, match=r"another preprocessing: scale 0\.0039.*, and here scale 1\.0"):
        usable_table(path, Preprocessing(), None)
    with pytest.raises(ConfigError, match="found by mse, and entropy is asked for"):
        usable_table(path, SCALED, Method.ENTROPY)


def test_the_least_steady_tensors_are_named_worst_first() -> None:
    """Spreads fall; a tensor fused into another is not named twice; steady ones are not named."""
    tensors = {"a": tensor(spread=0.1), "b": tensor(high=3.0, spread=0.5), "c": tensor(spread=0.0)}
    graph = GraphTable(Format.ONNX, "", 512, {**tensors, "b_fused": tensors["b"]})
    assert graph.least_steady() == [("b", 0.5), ("a", 0.1)]
