"""The samples that a budget is measured on: none of those that calibrate, the same ones each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebench.artifact import Format
from edgebench.calibration.methods import Method
from edgebench.calibration.samples import SampleStore
from edgebench.calibration.table import CalibrationTable, GraphTable
from edgebench.datasets import Dataset, Preprocessing
from edgebench.errors import DataError
from edgebench.exporters.calibration_samples import DataSamples
from edgebench.exporters.mixed_data import MOST_BYTES, MOST_HELD, HeldBack, calibrating, most_held


def numbered(count: int) -> Dataset:
    """Return samples that are their own numbers, and labels that are too."""
    return Dataset("n", (np.arange(count, dtype=np.float32)[:, None],), np.arange(count), "fingerprint")


def table(samples: int, fingerprint: str = "fingerprint") -> CalibrationTable:
    """Return a table of ranges that was made of so many samples of a data set."""
    graph = GraphTable(Format.ONNX, "0" * 64, 512, {})
    return CalibrationTable("n", fingerprint, samples, Method.MSE, (graph,))


@pytest.mark.parametrize(("count", "most", "used"), [(1000, 256, 256), (100, 256, 50), (101, 50, 50)])
def test_no_sample_calibrates_and_judges(count: int, most: int, used: int, tmp_path: Path) -> None:
    """At most half calibrates; what is held back is all the rest."""
    data = numbered(count)
    assert calibrating(data, most) == used
    calibration = DataSamples(data, used, Preprocessing(), tmp_path / "calibration")
    held = HeldBack(data, Preprocessing(), tmp_path / "held", used=used)
    assert len(held.numbers) == count - used
    assert not set(calibration.numbers) & set(held.numbers)


def test_samples_and_labels_lie_on_disk_in_one_order(tmp_path: Path) -> None:
    """What is written are the samples held back, each with its own label."""
    held = HeldBack(numbered(90), Preprocessing(), tmp_path / "held", used=30)
    (values,) = SampleStore(held.write()).mapped()
    assert values[:, 0].tolist() == held.numbers
    assert np.load(held.labels).tolist() == held.numbers


def test_of_a_large_set_some_thousands_are_held_back(tmp_path: Path) -> None:
    """Each trial answers all of them: 5,000 of 20,000."""
    held = HeldBack(numbered(20_000), Preprocessing(), tmp_path / "held", used=256)
    assert len(held.numbers) == MOST_HELD
    again = HeldBack(numbered(20_000), Preprocessing(), tmp_path / "again", used=256)
    assert held.numbers == again.numbers


def test_large_samples_are_held_back_within_the_space(tmp_path: Path) -> None:
    """Images of 1,024×1,024 pixels, 12 MB each: 341 of them at most."""
    one = np.zeros((1, 4, 4, 3), np.uint8)
    many = Dataset("many", (np.broadcast_to(one, (300, 4, 4, 3)),), np.zeros(300, np.int64), "many")
    wide = Preprocessing(resize=(1024, 1024))
    assert most_held(many, wide) == MOST_BYTES // (1024 * 1024 * 3 * 4)
    assert len(HeldBack(many, wide, tmp_path, used=50).numbers) == 250


def test_samples_of_the_table_are_not_held_back(tmp_path: Path) -> None:
    """A table of 200 samples of this data leaves the other 100; one of other data leaves all but 50."""
    settings = (numbered(300), Preprocessing(), tmp_path / "held")
    own = HeldBack(*settings, used=50, table=table(200))
    seen = DataSamples(numbered(300), 200, Preprocessing(), tmp_path / "seen")
    assert len(own.numbers) == 100
    assert not set(seen.numbers) & set(own.numbers)
    assert len(HeldBack(*settings, used=50, table=table(200, "another")).numbers) == 250


def test_a_table_of_all_samples_leaves_none(tmp_path: Path) -> None:
    """The error says how many the table took, and how to make one that leaves half."""
    with pytest.raises(DataError, match="was made of 290 of its 300 samples") as error:
        HeldBack(numbered(300), Preprocessing(), tmp_path / "held", used=150, table=table(290))
    assert "--calib-samples 150" in (error.value.hint or "")
