"""The figures of many runs in one table."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from evidence_builders import digits
from processes import edgebench, fails
from run_folders import write_run

from edgebench import api
from edgebench.errors import ConfigError, InputError
from edgebench.reports.gate_words import DEFAULT_GATES
from edgebench.reports.report import write_report
from edgebench.reports.results import read_results


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with two judged runs below it, one deeper than the other."""
    for name, ms in (("one", 0.09), ("deeper/two", 90.0)):
        write_report(write_run(tmp_path / name, digits(w8a8_ms=ms).run()), DEFAULT_GATES)
    return tmp_path


def test_all_runs_below_a_folder_are_one_table(runs: Path) -> None:
    """Each row of each run, with the run's folder and the artifact's decision, in their types."""
    frame = api.results_frame([runs])
    assert set(frame["run"]) == {str(runs / "one"), str(runs / "deeper" / "two")}
    own = read_results(runs / "one").rows
    assert frame[frame["run"] == str(runs / "one")]["value"].tolist() == [row.value for row in own]
    slow = frame[(frame["artifact"] == "digits.w8a8.onnx") & (frame["quantity"] == "p99")]
    assert sorted(zip(slow["run"], slow["decision"], strict=True)) == [
        (str(runs / "deeper" / "two"), "NO-GO"),
        (str(runs / "one"), "GO"),
    ]
    assert frame["lower"].dtype == "float64"


def test_the_table_is_written_and_printed_alike(runs: Path) -> None:
    """CSV on stdout, as .csv and as .parquet: the same numbers."""
    done = edgebench("results", str(runs), cwd=runs)
    assert done.returncode == 0, done.stderr
    printed = pd.read_csv(io.StringIO(done.stdout))
    for name, read in (("all.csv", pd.read_csv), ("all.parquet", pd.read_parquet)):
        assert api.write_results([runs / "one", runs / "deeper"], runs / name) == len(printed)
        assert sorted(read(runs / name)["value"]) == sorted(printed["value"])


def test_folders_without_results_are_refused(runs: Path) -> None:
    """No such folder, none judged below it, another ending, a broken file: one line each."""
    (runs / "empty").mkdir()
    fails(runs, "results", "empty", words="holds no judged run")
    with pytest.raises(InputError, match="no such folder"):
        api.results_frame([runs / "absent"])
    with pytest.raises(ConfigError, match=r"neither \.csv nor \.parquet"):
        api.write_results([runs], runs / "all.xlsx")
    (runs / "one" / "results.json").write_text('{"name": 7')
    with pytest.raises(InputError, match=r"one/results\.json"):
        api.results_frame([runs])
