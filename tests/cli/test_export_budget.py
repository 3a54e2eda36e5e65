"""`edgebench export --max-drop`: what is printed, how it ends, and the same in a pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from models.mixed_models import save_case
from processes import edgebench
from tiny_pipelines import assert_whole, run_folders

from edgebench.benchmark.evidence_files import read_evidence
from edgebench.cli import call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a classifier of which int8 destroys one layer, and labelled images."""
    made = tmp_path_factory.mktemp("budget")
    save_case(made, planted=True)
    return made


EXPORT = ("export", "net.onnx", "--format", "onnx", "--int8", "--calib-data", "data.npz")


def test_a_budget_that_is_not_held_ends_with_1_and_shows_the_best(folder: Path) -> None:
    """Exit code 1, a note, all trials as a table, and the best of them on disk."""
    done = edgebench(*EXPORT, "--max-drop", "0.5pp", "--max-float", "10%", "-o", "out", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "note: net.w8a8.onnx: the budget of 0.5pp is NOT held" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("out/net.w8a8.onnx")
    assert sum(line.startswith("> ") for line in lines) == 1
    assert any(line.startswith("layers in float: ") for line in lines)
    manifest = json.loads((folder / "out" / "net.w8a8.onnx.json").read_text())
    assert manifest["mixed"]["held"] is False
    trials = manifest["mixed"]["trials"]
    assert len(trials) == sum(" pp  " in line for line in lines)
    assert all(trial["float_share"] <= 0.1 for trial in trials)
    lost = [trial["lost"] - trial["won"] for trial in trials]
    assert lost[manifest["mixed"]["chosen"]] == min(lost)


def test_a_healthy_model_keeps_no_layer_and_ends_with_0(tmp_path: Path) -> None:
    """All in int8 holds: one trial, nothing in float, on all samples but those that calibrate; as JSON."""
    save_case(tmp_path, planted=False)
    budget = ("--calib-samples", "40", "--max-drop", "1%rel", "--json", "-o", "held")
    done = edgebench(*EXPORT, *budget, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    (trial,) = artifact["mixed"]["trials"]
    assert artifact["mixed"]["held"] is True
    assert (trial["floats"], trial["samples"]) == ([], 200)
    assert artifact["calibration"]["samples"] == 40
    assert "trial 1: all layers in int8, drop" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--max-drop", "0.5"), "--max-drop '0.5' has no unit"),
        (("--max-drop", "-1pp"), "--max-drop '-1pp' is not from 0"),
        (("--max-drop", "abc"), "--max-drop 'abc' is not a budget"),
        (("--max-drop", "1pp", "--max-float", "2"), "--max-float '2' is not a share"),
    ],
)
def test_what_is_no_budget_is_one_line(
    options: tuple[str, ...],
    words: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, one line that names the option, and a hint."""
    monkeypatch.chdir(folder)
    assert call([*EXPORT, *options, "-o", "none"]) == 2
    error = capsys.readouterr().err.split("edgebench: error: ")[1].splitlines()
    assert words in error[0]
    assert error[1].startswith("hint: as in ")
    assert not (folder / "none").exists()


PIPELINE = """\
schema_version: 1
name: tiny
model: {model: net.onnx}
data: {calibration: data.npz, evaluation: data.npz}
export: {formats: [onnx], precisions: [fp32, w8a8], max_drop: 0.5pp, max_float: 10%}
benchmark: {sessions: 1, calls: 30}
gates: [drop <= 2pp]
"""


def test_a_pipeline_says_that_its_budget_is_not_held(folder: Path) -> None:
    """The run goes to its end: the note stands in the evidence, the gate on the evaluation data decides."""
    (folder / "p.yaml").write_text(PIPELINE)
    done = edgebench("run", "p.yaml", cwd=folder)
    assert done.returncode in (1, 3), done.stderr  # 3 where the machine is too busy for a valid measurement
    (run,) = run_folders(folder)
    assert_whole(run)
    assert any("the budget of 0.5pp is NOT held" in note for note in read_evidence(run).notes)
    assert "the budget of 0.5pp is NOT held" in done.stderr
