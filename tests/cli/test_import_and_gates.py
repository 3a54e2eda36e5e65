"""`edgebench import` and `edgebench gates check` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reports.evidence_builders import digits
from reports.run_folders import write_run

from edgebench.cli import call
from tests.benchmark.tool_logs import classic, perf_test_rows, write


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_log_becomes_a_verdict(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Import, then report: 400 calls of 10 ms are GO for p99 <= 50ms, exit 0 twice."""
    write(here / "r.csv", perf_test_rows([0.0100 + 37 * i % 400 * 1e-6 for i in range(400)]))
    write(here / "gates.yaml", "- p99 <= 50ms\n- memory <= 1GB @50%\n")
    assert call(["import", "r.csv", "--device-name", "orin-1", "-o", "run"]) == 0
    said = capsys.readouterr()
    assert "resnet50  400 calls; sessions: 1; VALID" in said.out
    assert "edgebench report run" in said.out
    assert "note: imported: the logs do not tell" in said.err
    assert call(["report", "run", "--gates", "gates.yaml"]) == 0
    assert "GO" in capsys.readouterr().out


def test_why_a_measurement_is_in_doubt_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Calls that grow slower all the time: DEGRADED, and the reason on stderr."""
    write(here / "r.csv", perf_test_rows([0.0100 + i * 1e-5 for i in range(400)]))
    assert call(["import", "r.csv", "--device-name", "d", "-o", "run"]) == 0
    said = capsys.readouterr()
    assert "resnet50  400 calls; sessions: 1; DEGRADED" in said.out
    assert "note: resnet50 is DEGRADED: the calls of r.csv never become steady" in said.err


def test_a_summary_is_said_to_be_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A summary is told as such, its report is INCONCLUSIVE with exit 3, and --json has the evidence."""
    write(here / "out.txt", classic())
    assert call(["import", "out.txt", "--device-name", "phone", "-o", "run"]) == 0
    assert "net.tflite  a summary of 200 calls; sessions: 1; VALID" in capsys.readouterr().out
    assert call(["report", "run"]) == 3
    capsys.readouterr()
    assert call(["import", "out.txt", "--device-name", "phone", "-o", "other", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    (session,) = record["measurements"][0]["sessions"]
    assert session["summary"]["calls"] == 200
    assert session["calls"] == 0
    assert session["peak_rss_bytes"] is None


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["import", "none.csv", "--device-name", "d"], "none.csv: no such file"),
        (["import", "other.txt", "--device-name", "d"], "is not the log of a tool that is known"),
        (["import", "other.txt"], "--device-name"),
        (["import", "--device-name", "d"], "LOGS"),
        (["import", "other.txt", "--device-name", "d", "--threads", "0"], "--threads"),
        (["gates", "check", "none.yaml"], "none.yaml: no such file"),
        (["gates", "check", "bad.yaml"], "bad.yaml:1: gate 'p99 <= 50': the bound has no unit"),
        (["gates", "check", "gates.yaml", "--run", "nowhere"], "nowhere: holds no evidence"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    argv: list[str], says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong files and options of both verbs: what is wrong, and no run folder is left."""
    write(here / "other.txt", "all went well\n")
    write(here / "bad.yaml", "- p99 <= 50\n")
    write(here / "gates.yaml", "- p99 <= 50ms\n")
    assert call(argv) == 2
    assert says in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_sound_gates_exit_0_and_others_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The checklist can fire; with a gate that cannot, it is named and the exit code is 1."""
    write(here / "gates.yaml", "- p99 <= 50ms\n- size <= 10MB\n")
    assert call(["gates", "check", "gates.yaml"]) == 0
    assert "2 of 2 can pass and can fail" in capsys.readouterr().out
    write(here / "gates.yaml", "- p99 <= 50ms\n- churn <= 100%\n")
    assert call(["gates", "check", "gates.yaml"]) == 1
    assert "✗ churn <= 100% on model.fp16.onnx cannot fire" in capsys.readouterr().out


def test_gates_are_checked_against_a_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --run the run's own artifacts are named, and --json holds effects and answers."""
    write_run(here / "run", digits(wrong=10).run())
    write(here / "gates.yaml", "- p99 <= 1ms on w8a8\n- load <= 1s\n")
    assert call(["gates", "check", "gates.yaml", "--run", "run", "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["source"] == "run"
    first = record["checks"][0]
    assert first["artifact"] == "digits.w8a8.onnx"
    assert (first["passes"]["answer"], first["fails"]["answer"]) == ("PASS", "FAIL")
    load = next(check for check in record["checks"] if check["gate"] == "load <= 1s")
    assert "3 sessions do not bound load" in load["problem"]
