"""The verdict for machines and for people: JUnit, Markdown, CSV, the terminal, and all files together."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from evidence_builders import URI, Builder, Run, answers, artifact, digits, latencies
from run_folders import write_run

from edgebench.artifact import Format, Precision
from edgebench.benchmark.evidence_files import read_evidence
from edgebench.errors import ConfigError, InputError, StorageError
from edgebench.reports.gate_words import DEFAULT_GATES, parse_gate
from edgebench.reports.judge import judge
from edgebench.reports.junit import junit_xml
from edgebench.reports.markdown import summary
from edgebench.reports.quantities import Quantity
from edgebench.reports.report import write_report
from edgebench.reports.results import COLUMNS, Results, make_results, read_results, results_csv
from edgebench.reports.table import results_table, run_table
from edgebench.reports.verdict import Decision, Verdict
from edgebench.reports.words import printable
from edgebench.storage import read_json

HOSTILE = "a|b `c` <script> [x](y) *z* \x00\u202e größe-模型 \"q\" & 'r'\nsecond line"
FILES = {
    "evidence.json",
    "results.json",
    "results.csv",
    "summary.md",
    "junit.xml",
    "report.html",
    "verdict.json",
}


def judged(run: Run, *words: str) -> tuple[Results, Verdict]:
    """Return the figures and the verdict of a run, by the gates given or by the edge checklist."""
    gates = tuple(map(parse_gate, words)) or DEFAULT_GATES
    verdict = judge(run.evidence, gates, run.samples, run.answers)
    return make_results(run.evidence, verdict, run.samples, run.answers), verdict


def mixed() -> Run:
    """Return a run with gates that pass, one that fails and one that is undecided."""
    builder = digits(wrong=10)
    builder.samples["digits.fp16.onnx", URI] = latencies(61)
    builder.samples["digits.w8a8.onnx", URI] = latencies(1, 21)
    return builder.run()


def hostile() -> Run:
    """Return a run whose name, artifact, note and class names are hostile."""
    builder = Builder(HOSTILE, notes=(HOSTILE,))
    name = HOSTILE.replace("/", "")
    for precision in (Precision.FP32, Precision.W8A8):
        builder.add(artifact(name, precision, Format.ONNX, 4_000_000), latencies(60), answers(540))
    builder.measurements = [
        replace(m, accuracy=m.accuracy and replace(m.accuracy, class_names=(HOSTILE,) * 10))
        for m in builder.measurements
    ]
    return builder.run()


# --- JUnit --------------------------------------------------------------------------------------


def parsed(xml: bytes) -> ET.Element:
    """Return our own XML as a tree."""
    return ET.fromstring(xml)  # noqa: S314 - our own file


def test_junit_has_a_suite_for_each_artifact_and_a_case_for_each_gate() -> None:
    """FAIL is a failure, INCONCLUSIVE an error, PASS is green; the counts agree at every level."""
    _, verdict = judged(mixed())
    root = parsed(junit_xml("digits", verdict))
    suites = root.findall("testsuite")
    assert [suite.attrib["name"] for suite in suites] == [
        f"{a.artifact} on {a.device}" for a in verdict.artifacts
    ]
    for suite, found in zip(suites, verdict.artifacts, strict=True):
        cases = suite.findall("testcase")
        assert [case.attrib["name"] for case in cases] == [result.gate for result in found.gates]
        kinds = ["".join(child.tag for child in case) for case in cases]
        expected = {"PASS": "", "FAIL": "failure", "INCONCLUSIVE": "error"}
        assert kinds == [expected[result.answer] for result in found.gates]
        assert int(suite.attrib["failures"]) == kinds.count("failure")
        assert int(suite.attrib["errors"]) == kinds.count("error")
        assert int(suite.attrib["tests"]) == len(kinds)
    assert (root.attrib["failures"], root.attrib["errors"]) == ("1", "1")
    assert root.attrib["tests"] == str(sum(len(a.gates) for a in verdict.artifacts))


def test_junit_has_an_error_for_each_gate_whose_devices_were_not_measured() -> None:
    """A gate for another device is an error of a suite of its own, and counts."""
    _, verdict = judged(mixed())
    root = parsed(junit_xml("digits", replace(verdict, unanswered=("p99 <= 5ms at pi",))))
    suite = root.findall("testsuite")[-1]
    assert [case.attrib["name"] for case in suite.findall("testcase/error/..")] == ["p99 <= 5ms at pi"]
    assert (suite.attrib["errors"], root.attrib["errors"]) == ("1", "2")


def test_junit_says_why() -> None:
    """The message is the gate's reason, the text what is needed."""
    _, verdict = judged(mixed())
    root = parsed(junit_xml("digits", verdict))
    (failure,), (error,) = root.findall(".//failure"), root.findall(".//error")
    assert failure.attrib["message"].startswith("p99 is at least 67.4 ms with 95 % confidence")
    assert error.attrib["message"].startswith("21 calls do not bound p99 from above")
    assert error.text == "needed: at least 299 calls in all"


def test_junit_of_hostile_names_is_xml() -> None:
    """Tags, quotes and control characters in names come back as text."""
    _, verdict = judged(hostile())
    root = parsed(junit_xml(HOSTILE, verdict))
    assert root.attrib["name"] == printable(HOSTILE)
    assert b"<script" not in junit_xml(HOSTILE, verdict)


# --- Markdown -----------------------------------------------------------------------------------


def tables(markdown: str) -> list[list[list[str]]]:
    """Return the tables of a Markdown text as cells."""
    found: list[list[list[str]]] = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            found[-1].append([cell.strip() for cell in cells[1:-1]])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


@pytest.mark.parametrize("make", [mixed, hostile])
def test_markdown_tables_are_rectangular(make: Callable[[], Run]) -> None:
    """Every row has as many cells as the header, whatever the names hold."""
    results, verdict = judged(make())
    artifacts, gates = tables(summary(results, verdict))
    for table in (artifacts, gates):
        assert {len(row) for row in table} == {len(table[0])}
    assert len(artifacts) == 2 + len(results.artifacts)
    assert len(gates) == 2 + sum(len(a.gates) for a in verdict.artifacts)


def test_markdown_says_the_decision_and_every_gate() -> None:
    """The heading is the decision, the first line why, and each gate stands with its value and reason."""
    results, verdict = judged(mixed())
    text = summary(results, verdict)
    assert text.startswith("# ✗ NO-GO: digits\n\n1 of 6 artifacts fails: digits.fp16.onnx, because p99")
    row = next(r for r in tables(text)[1] if r[1] == "digits.fp16.onnx" and r[2].startswith("p99"))
    assert (row[0], row[2], row[3]) == ("✗ FAIL", r"p99 \<= 50ms", "67.8 ms")
    assert "skipped w8a8 tensorrt: no NVIDIA GPU on this machine" in text


def test_markdown_shows_no_unsupported_percentile() -> None:
    """21 calls: the p99 of that artifact is a dash, and why stands below."""
    results, verdict = judged(mixed())
    row = next(r for r in tables(summary(results, verdict))[0] if r[0] == "digits.w8a8.onnx")
    header = tables(summary(results, verdict))[0][0]
    assert row[header.index("p99 µs")] == "–"
    assert "p99 needs at least 299 calls" in summary(results, verdict)


def test_markdown_of_hostile_names_holds_no_markup() -> None:
    """Tags, links, emphasis and code in names are escaped."""
    text = summary(*judged(hostile()))
    assert not re.search(r"(?<!\\)[<`]|(?<!\\)\[x|(?<!\\)\*z", text)
    assert "\x00" not in text


# --- CSV and results ----------------------------------------------------------------------------


def test_csv_is_tidy_and_exact() -> None:
    """One figure a row, numbers that read back equal, an empty cell where there is no bound."""
    results, _ = judged(mixed())
    found = list(csv.DictReader(io.StringIO(results_csv(results))))
    assert tuple(found[0]) == COLUMNS
    assert len(found) == len(results.rows)
    for line, row in zip(found, results.rows, strict=True):
        assert float(line["value"]) == row.value
        assert (float(line["upper"]) if line["upper"] else None) == row.upper
        assert line["unit"] in ("ms", "B", "%", "pp", "x")
        assert int(line["n"]) == row.n


def test_csv_of_hostile_names_reads_back() -> None:
    """Commas, quotes and line breaks in names stay in their cells."""
    results, _ = judged(hostile())
    found = list(csv.DictReader(io.StringIO(results_csv(results))))
    assert {line["artifact"] for line in found} == {a.artifact for a in results.artifacts}
    assert {len(line) for line in found} == {len(COLUMNS)}


def test_results_hold_every_quantity_that_is_supported() -> None:
    """600 calls and 540 answers give all that comes of them; the baseline has none against itself."""
    results, _ = judged(digits(wrong=10).run())
    w8a8 = next(a for a in results.artifacts if a.artifact == "digits.w8a8.onnx")
    asked_for = {
        "pNN",
        "pNN[sustained]",
        "throughput",
        "metric",
        "metric drop",
        "memory[steady]",
        "load[cold]",
        "load[warm]",
        "energy",
        "coverage",
    }
    assert {q for q in Quantity if results.find(w8a8, q) is None} == asked_for
    baseline = next(a for a in results.artifacts if a.is_baseline)
    lacking = {q for q in Quantity if results.find(baseline, q) is None}
    assert lacking == {Quantity.DROP, Quantity.CHURN, Quantity.SHRINK, *asked_for}


def test_results_hold_no_unsupported_percentile() -> None:
    """21 calls: no row of p90, p95 or p99, in any file that is made of the rows."""
    results, _ = judged(mixed())
    few = next(a for a in results.artifacts if a.artifact == "digits.w8a8.onnx")
    found = {row.quantity for row in results.rows if row.artifact == few.artifact}
    assert found.isdisjoint({"p90", "p95", "p99"})
    assert "p50" in found


# --- terminal -----------------------------------------------------------------------------------


def test_the_terminals_table() -> None:
    """A row for each artifact, columns that stand under their heads, then what did not pass and why."""
    results, verdict = judged(mixed())
    lines = results_table(results, verdict).splitlines()
    assert lines[0].split()[:3] == ["artifact", "size", "shrink"]
    assert [line.split()[0] for line in lines[1:7]] == [a.artifact for a in results.artifacts]
    end = lines[0].index("size") + 4
    assert all(line[:end].endswith(("KB", "MB")) for line in lines[1:7])
    text = "\n".join(lines)
    assert "✗ fail  digits.fp16.onnx  p99 <= 50ms: p99 is at least" in text
    assert "? inconclusive  digits.w8a8.onnx  p99 <= 50ms: 21 calls do not bound" in text
    assert "skipped  w8a8 tensorrt: no NVIDIA GPU" in text
    assert lines[-1].startswith("✗ NO-GO: 1 of 6 artifacts fails")


def test_hostile_names_cannot_move_the_cursor() -> None:
    """No control character reaches the terminal, and every artifact keeps to its line."""
    results, verdict = judged(hostile())
    text = results_table(results, verdict)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert sum(line.startswith("a|b") for line in text.splitlines()) == 2


# --- the folder ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "decision"),
    [
        (lambda: digits(wrong=10).run(), Decision.GO),
        (mixed, Decision.NO_GO),
        (lambda: digits(w8a8_ms=44.5, wrong=10).run(), Decision.INCONCLUSIVE),
    ],
)
def test_a_judged_folder_is_complete(make: Callable[[], Run], decision: Decision, tmp_path: Path) -> None:
    """Every file is written, says the same decision, and is what memory alone would give."""
    run = make()
    folder = write_run(tmp_path / "run", run)
    verdict = write_report(folder, DEFAULT_GATES)
    assert verdict.decision is decision
    assert verdict == judge(run.evidence, DEFAULT_GATES, run.samples, run.answers)
    assert {p.name for p in folder.iterdir() if p.is_file()} == FILES
    assert read_json(folder / "verdict.json", Verdict) == verdict
    assert read_results(folder).decision == decision
    assert run_table(folder) == results_table(read_results(folder), verdict)
    assert (folder / "results.csv").read_text() == results_csv(read_results(folder))
    assert decision in (folder / "report.html").read_text()
    assert (
        (folder / "summary.md")
        .read_text()
        .startswith(f"# {'✓✗?'[list(Decision).index(decision)]} {decision}")
    )


def test_judging_again_replaces_the_verdict_and_keeps_the_evidence(tmp_path: Path) -> None:
    """Other gates on the same evidence: another verdict, the same raw files."""
    folder = write_run(tmp_path, mixed())
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert write_report(folder, DEFAULT_GATES).decision is Decision.NO_GO
    assert write_report(folder, (parse_gate("size <= 10MB"),)).decision is Decision.GO
    assert read_json(folder / "verdict.json", Verdict).criteria == ("size <= 10MB",)
    assert all(p.read_bytes() == content for p, content in before.items())


def test_the_page_may_go_elsewhere(tmp_path: Path) -> None:
    """`html` writes the page into a new folder of any name, and not into the run's."""
    folder = write_run(tmp_path / "run", digits().run())
    page = tmp_path / "größe \"q'" / "deep" / "page.html"
    write_report(folder, DEFAULT_GATES, html=page)
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("damage", ["no folder", "no evidence", "half evidence", "no timings", "no answers"])
def test_a_folder_that_is_not_whole_is_named(damage: str, tmp_path: Path) -> None:
    """Missing or truncated evidence is one line that names the file, and no verdict is written."""
    folder = tmp_path / "run"
    if damage != "no folder":
        write_run(folder, digits().run())
    if damage == "no evidence":
        (folder / "evidence.json").unlink()
    elif damage == "half evidence":
        content = (folder / "evidence.json").read_bytes()
        (folder / "evidence.json").write_bytes(content[: len(content) // 2])
    elif damage in ("no timings", "no answers"):
        kind = {"no timings": "samples/*", "no answers": "outputs/*"}[damage]
        next(iter(folder.glob(kind))).write_bytes(b"broken")
    with pytest.raises(InputError, match="run") as caught:
        write_report(folder, DEFAULT_GATES)
    assert "\n" not in caught.value.message
    assert not (folder / "verdict.json").exists()


def test_gates_that_do_not_apply_write_nothing(tmp_path: Path) -> None:
    """A gate on a name that no artifact has is an error before anything is written."""
    folder = write_run(tmp_path, digits().run())
    with pytest.raises(ConfigError):
        write_report(folder, (parse_gate("size <= 10MB on nothing.onnx"),))
    assert not (folder / "verdict.json").exists()
    assert not (folder / "report.html").exists()


def test_a_full_disk_leaves_no_half_report(tmp_path: Path) -> None:
    """A page that does not fit on its disk is a StorageError, and nothing of it stays."""
    folder = write_run(tmp_path / "run", digits().run())
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small tmpfs needs root: run the tests as root to enable this one")
    try:
        with pytest.raises(StorageError, match="the disk is full"):
            write_report(folder, DEFAULT_GATES, html=disk / "page.html")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_evidence_survives_the_disk(tmp_path: Path) -> None:
    """What the test's folder holds reads back as the evidence that it was made of."""
    run = digits().run()
    assert read_evidence(write_run(tmp_path, run)) == run.evidence
