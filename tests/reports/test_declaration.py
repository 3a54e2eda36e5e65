"""Criteria that stood before the measurement, that did not, and that were changed after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evidence_builders import Run, digits
from page_reader import read_page
from run_folders import write_run

from edgebench import api
from edgebench.benchmark.criteria import CRITERIA, Criteria, criteria_sha256, declare
from edgebench.errors import InputError
from edgebench.reports.gate_words import DEFAULT_GATES, parse_gate
from edgebench.reports.judge import judge
from edgebench.reports.verdict import Declared, Verdict

WHEN = "2026-01-02T03:00:00+00:00"


def criteria(*words: str) -> Criteria:
    """Return criteria as they are declared before a measurement."""
    return Criteria(tuple(sorted(words)), criteria_sha256(words), WHEN)


def judged(declared: Criteria | None, *words: str) -> tuple[Run, Verdict]:
    """Return a run with these criteria, and its verdict by other or the same words."""
    run = digits(wrong=10).run(criteria=declared)
    return run, judge(run.evidence, tuple(map(parse_gate, words)), run.samples, run.answers)


def test_criteria_that_stood_before() -> None:
    """The same gates in another order: written down before, with hash and time."""
    declared = criteria("p99 <= 50ms", "size <= 10MB")
    _, verdict = judged(declared, "size <= 10MB", "p99 <= 50ms")
    assert verdict.declaration.declared is Declared.BEFORE
    assert verdict.declaration.sha256 == verdict.criteria_sha256 == declared.sha256
    assert verdict.declaration.declared_utc == WHEN
    assert verdict.notes == ()


def test_criteria_that_were_never_declared() -> None:
    """Without a declaration the verdict says so, and notes nothing more."""
    _, verdict = judged(None, "size <= 10MB")
    assert verdict.declaration.declared is Declared.NOT
    assert verdict.notes == ()


def test_criteria_that_were_changed_afterwards() -> None:
    """A bound moved, a gate left out, another added: each is named, and the verdict's notes say CHANGED."""
    declared = criteria("p99 <= 50ms", "size <= 10MB", "p50 <= 1ms on onnx")
    _, verdict = judged(declared, "p99 <= 60ms", "p50 <= 1ms on onnx", "memory <= 1GB")
    assert verdict.declaration.declared is Declared.CHANGED
    assert verdict.declaration.changes == (
        "`p99 <= 50ms` became `p99 <= 60ms`",
        "removed `size <= 10MB`",
        "added `memory <= 1GB`",
    )
    assert verdict.declaration.sha256 == declared.sha256 != verdict.criteria_sha256
    assert "CHANGED after the measurement: `p99 <= 50ms` became `p99 <= 60ms`" in verdict.notes[0]


def test_a_changed_confidence_is_a_change() -> None:
    """The same bound at 90 % in place of 95 % is another criterion."""
    _, verdict = judged(criteria("p99 <= 50ms"), "p99 <= 50ms @90%")
    assert verdict.declaration.changes == ("`p99 <= 50ms` became `p99 <= 50ms @90%`",)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (criteria("size <= 10MB"), "the criteria were written down before the measurement (sha256 "),
        (None, "the criteria were not declared before the measurement"),
        (criteria("size <= 9MB"), "CHANGED after the measurement: `size <= 9MB` became `size <= 10MB`"),
    ],
)
def test_every_report_says_which(declared: Criteria | None, words: str, tmp_path: Path) -> None:
    """Page, Markdown, terminal and verdict.json say whether the criteria stood before."""
    folder = write_run(tmp_path / "run", digits(wrong=10).run(criteria=declared))
    (tmp_path / "g.yaml").write_text("- size <= 10MB\n")
    verdict = api.report(folder, gates=tmp_path / "g.yaml")
    page = read_page((folder / "report.html").read_text(encoding="utf-8"))
    assert words in page.text
    assert words in (folder / "summary.md").read_text(encoding="utf-8").replace("\\", "")
    assert words in api.results_table(folder)
    written = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    assert written["declaration"]["declared"] == verdict.declaration.declared
    assert written["criteria_sha256"] == verdict.criteria_sha256


def test_a_report_without_gates_judges_by_the_declared_ones(tmp_path: Path) -> None:
    """What was declared is what is asked; where nothing was, it is the edge checklist."""
    asked = write_run(tmp_path / "asked", digits(wrong=10).run(criteria=criteria("size <= 1MB")))
    assert api.report(asked).criteria == ("size <= 1MB",)
    bare = write_run(tmp_path / "bare", digits(wrong=10).run())
    assert api.report(bare).criteria == tuple(map(str, DEFAULT_GATES))


def test_what_was_declared_stays_once_something_is_measured(tmp_path: Path) -> None:
    """Criteria may be written anew while nothing is measured, and not after the first session."""
    declare(tmp_path, ["size <= 1MB"])
    second = declare(tmp_path, ["size <= 2MB"])
    assert second is not None
    assert second.gates == ("size <= 2MB",)
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "m.s0.parquet").touch()
    assert declare(tmp_path, ["size <= 3MB"]) == second


@pytest.mark.parametrize("measured", ["samples/m.s0.parquet", "outputs/m.npz", "devices/ssh-orin-1"])
def test_nothing_is_declared_once_something_is_measured(measured: str, tmp_path: Path) -> None:
    """Criteria that come after a first session, answer or device are none, and are not written."""
    (tmp_path / measured).mkdir(parents=True)
    assert declare(tmp_path, ["size <= 1MB"]) is None
    assert not (tmp_path / CRITERIA).exists()


def test_edited_criteria_are_named(tmp_path: Path) -> None:
    """A bound changed in criteria.json by hand no longer fits its hash, and the file is named."""
    declare(tmp_path, ["size <= 1MB"])
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "m.npz").touch()
    path = tmp_path / CRITERIA
    path.write_text(path.read_text(encoding="utf-8").replace("1MB", "2MB"), encoding="utf-8")
    with pytest.raises(InputError, match=r"criteria\.json: was edited"):
        declare(tmp_path, ["size <= 2MB"])
