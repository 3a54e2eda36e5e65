"""What was measured beyond single calls, in the report: tables, figures, rows, and what is not available."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from models.small_onnx import save_classifier

from edgebench import api


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the judged run of a small model with everything asked for."""
    folder = tmp_path_factory.mktemp("workloads")
    model = save_classifier(folder / "small.onnx")
    api.benchmark(
        [model],
        sessions=1,
        calls=20,
        batches="1,4",
        scenario=["single-stream", "server=500ms@400qps"],
        duration="300ms",
        load="cold,warm",
        soak="900ms",
        soak_window="300ms",
        profile=True,
        out=folder / "run",
    )
    api.report(folder / "run")
    return folder / "run"


def test_the_terminal_shows_all_of_it(run: Path) -> None:
    """Every kind has its table; what cannot be measured here stands below with its reason."""
    text = api.results_table(run)
    for title in ("Throughput", "Scenarios", "Loading", "Sustained load", "Operators"):
        assert f"\n{title}\n" in text
    assert " s of 600 s); scaled to 0.3 s VALID" in text
    assert " 400 queries/s (" in text


def test_the_page_has_a_section_with_its_figures(run: Path) -> None:
    """The page shows the tables, and the windows and the batches as figures, and loads nothing."""
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Beyond single calls" in page
    for name in ("throughput-", "soak-"):
        assert f'id="{name}' in page
    assert "no MLPerf results" in page
    assert "classes" in page  # an operator by its name


def test_every_figure_is_a_tidy_row(run: Path) -> None:
    """results.csv holds each figure by a name that says its batch, scenario, cache, window or operator."""
    with (run / "results.csv").open(encoding="utf-8") as stream:
        rows = {row["quantity"]: row for row in csv.DictReader(stream)}
    for name in ("batch 1, threads 1", "batch 4, threads 1"):
        row = rows[f"throughput[{name}]"]
        assert float(row["value"]) > 0
        assert row["unit"] == "/s"
    assert rows["scenario[single-stream] p90"]["unit"] == "ms"
    assert rows["scenario[single-stream] valid by MLPerf"]["value"] == "0.0"
    assert {"load[cold cache]", "load[warm cache]", "first[cold cache]"} <= set(rows)
    assert {f"mean[soak from {begin:g} s]" for begin in (0, 0.3, 0.6)} <= set(rows)
    assert sum(name.startswith("operator[") for name in rows) >= 2


def test_nothing_asked_is_nothing_shown(tmp_path: Path) -> None:
    """A run of single calls alone has no such section and no such rows."""
    model = save_classifier(tmp_path / "small.onnx")
    api.benchmark([model], sessions=1, calls=20, out=tmp_path / "run")
    api.report(tmp_path / "run")
    assert "Beyond single calls" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "not available" not in api.results_table(tmp_path / "run")
    assert "throughput" not in (tmp_path / "run" / "results.csv").read_text(encoding="utf-8")
