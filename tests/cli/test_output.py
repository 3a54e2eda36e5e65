"""What verbs print: data on stdout, talk on stderr, exit codes, pipes and terminals."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from models.small_onnx import save_classifier
from processes import edgebench, edgebench_until, environment
from reports.evidence_builders import URI, digits, latencies
from reports.run_folders import write_run

from edgebench.cli import READER_GONE, VERBS, call, cli
from edgebench.cli.terminal import fit_to_show, talk
from edgebench.cli.verdict import show_verdict
from edgebench.reports.gate_words import DEFAULT_GATES
from edgebench.reports.report import write_report


def verbs() -> list[list[str]]:
    """Return every verb and sub-verb as arguments."""
    context = click.Context(cli)
    found = []
    for verb in VERBS:
        command = cli.get_command(context, verb)
        found.append([verb])
        if isinstance(command, click.Group):
            found += [[verb, name] for name in command.commands]
    return found


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("argv", [[], *verbs()], ids=" ".join)
def test_every_verb_has_help(argv: list[str], flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each verb's help exits 0, names its usage on stdout and says something on stderr never."""
    assert call([*argv, flag]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"Usage: {' '.join(['edgebench', *argv])} ")
    assert said.err == ""


@pytest.mark.parametrize("argv", verbs(), ids=" ".join)
def test_an_unknown_option_is_a_mistake_in_one_line(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An option that does not exist exits 2 and is named, with the way to the help."""
    assert call([*argv, "--no-such-option"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--no-such-option" in said.err
    assert "--help" in said.err


def test_no_verb_is_help_and_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """`edgebench` alone exits 2 and lists every verb."""
    assert call([]) == 2
    said = capsys.readouterr()
    assert all(f"  {verb} " in said.err for verb in VERBS)


# --- reports ------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Return the folders of a run of each decision."""
    slow = digits(wrong=10)
    slow.samples["digits.fp16.onnx", URI] = latencies(61)
    few = digits(wrong=10)
    few.samples["digits.fp16.onnx", URI] = latencies(1, 21)
    runs = {"GO": digits(wrong=10), "NO-GO": slow, "INCONCLUSIVE": few}
    return {name: write_run(tmp_path / name, builder.run()) for name, builder in runs.items()}


def test_report_exits_with_its_decision(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """0 for GO, 1 for NO-GO, 3 for INCONCLUSIVE; the table, the verdict and the page's path on stdout."""
    for (decision, folder), code in zip(folders.items(), (0, 1, 3), strict=True):
        assert call(["report", str(folder)]) == code
        said = capsys.readouterr()
        assert said.out.splitlines()[-1] == f"{decision}   {folder / 'report.html'}"
        assert "digits.w8a8.tflite" in said.out
        assert said.err == ""


def test_report_answers_in_json_with_the_same_code(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--json` prints what verdict.json holds and nothing else; the exit code stays."""
    assert call(["report", str(folders["NO-GO"]), "--json"]) == 1
    said = capsys.readouterr()
    verdict = json.loads(said.out)
    assert verdict == json.loads((folders["NO-GO"] / "verdict.json").read_text())
    assert verdict["decision"] == "NO-GO"


def test_report_takes_gates_and_a_place_for_the_page(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--gates` judges by a file, `--html` writes the page there, and both are said."""
    gates, page = tmp_path / "gates.yaml", tmp_path / "out" / "page.html"
    gates.write_text("- size <= 1KB on w8a8\n")
    assert call(["report", str(folders["GO"]), "--gates", str(gates), "--html", str(page)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"NO-GO   {page}"
    assert page.exists()
    gates.write_text("- size <= 1KB on w8a9\n")
    assert call(["report", str(folders["GO"]), "--gates", str(gates)]) == 2
    assert "did you mean `w8a8`?" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "code"), [("GO", 0), ("NO-GO", 1), ("INCONCLUSIVE", 3)])
def test_a_finished_run_ends_with_its_verdict(
    name: str, code: int, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """What `run` and `demo` print last: table, verdict, path; with --json the verdict; the same code."""
    write_report(folders[name], DEFAULT_GATES)
    assert show_verdict(folders[name], as_json=False) == code
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == f"{name}   report: {folders[name] / 'report.html'}"
    assert show_verdict(folders[name], as_json=True) == code
    assert json.loads(capsys.readouterr().out)["decision"] == name


# --- real work ---------------------------------------------------------------------------


def test_benchmark_answers_in_json_and_talks_on_stderr(tmp_path: Path) -> None:
    """Stdout is one JSON document with the figures; progress stands on stderr."""
    save_classifier(tmp_path / "m.onnx")
    argv = ("benchmark", "m.onnx", "--sessions", "1", "--calls", "20", "--json", "-o", "run")
    done = edgebench(*argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert [(a["artifact"], a["calls"]) for a in figures["artifacts"]] == [("m.onnx", 20)]
    assert "m.onnx" in done.stderr


def test_export_answers_in_json_with_what_was_made_and_skipped(tmp_path: Path) -> None:
    """Artifacts with their manifests, and what was skipped with the reason, are one JSON document."""
    save_classifier(tmp_path / "m.onnx")
    argv = ("export", "m.onnx", "-f", "onnx,tensorrt", "--json", "-o", "out")
    done = edgebench(*argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert [artifact["path"] for artifact in made["artifacts"]] == ["m.fp32.onnx"]
    assert [skipped["format"] for skipped in made["skipped"]] == ["tensorrt"]
    assert made["skipped"][0]["reason"]
    assert (tmp_path / "out" / "m.fp32.onnx.json").exists()


def test_gates_are_read_before_anything_is_measured(tmp_path: Path) -> None:
    """A mistake in the gates' file is told at once, and no run folder is made."""
    save_classifier(tmp_path / "m.onnx")
    (tmp_path / "gates.yaml").write_text("- p9g <= 5ms\n")
    done = edgebench("benchmark", "m.onnx", "--gates", "gates.yaml", "-o", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "gates.yaml:1: gate 'p9g <= 5ms': unknown quantity 'p9g'" in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_option_may_come_from_the_environment(tmp_path: Path) -> None:
    """EDGEBENCH_VERB_OPTION is the option, and the command line wins over it."""
    argv = ("init", "--schema")
    assert json.loads(edgebench("init", cwd=tmp_path, EDGEBENCH_INIT_SCHEMA="1").stdout) == json.loads(
        edgebench(*argv, cwd=tmp_path).stdout
    )
    done = edgebench("benchmark", "none.onnx", cwd=tmp_path, EDGEBENCH_BENCHMARK_CALLS="0")
    assert done.returncode == 2
    assert "0 is not in the range" in done.stderr


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """`--quiet` gives a verb a progress that says nothing; without it a message is a line on stderr."""
    for quiet, said in ((True, ""), (False, "[1/2] working\n")):
        with click.Context(cli):
            talk(quiet)("working", done=1, total=2)
        assert capsys.readouterr().err == said


# --- pipes, Ctrl-C, terminals -------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["--help"], ["doctor"], ["init", "--schema"]], ids=" ".join)
def test_a_reader_that_went_away_is_no_decision(argv: list[str], tmp_path: Path) -> None:
    """`edgebench … | head -0` ends as other programs do, silently, and not with NO-GO's code 1."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "edgebench", *argv]
    done = subprocess.run(
        command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (READER_GONE, "")


def test_a_closed_stdout_is_no_failure(tmp_path: Path) -> None:
    """`edgebench init >&-` writes its file and exits 0."""
    argv = ["bash", "-c", '"$0" -m edgebench init p.yaml >&-', sys.executable]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "p.yaml").exists()


def test_ctrl_c_is_130(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a verb: exit code 130, one line, no traceback."""
    save_classifier(tmp_path / "m.onnx")
    slow = "def data():\n    print('reading', file=sys.stderr, flush=True)\n    time.sleep(60)\n"
    (tmp_path / "slow.py").write_text(f"import sys, time\n{slow}")
    code, said = edgebench_until(
        "benchmark", "m.onnx", "--data", "slow.py:data",
        cwd=tmp_path, reached=lambda line: "reading" in line, send=signal.SIGINT,
    )  # fmt: skip
    assert code == 130
    assert said.splitlines()[-1] == "edgebench: interrupted; what was finished is kept"
    assert "Traceback" not in said


PROGRESS = """
from edgebench.cli.terminal import StderrProgress
progress = StderrProgress()
progress("first", done=1, total=2)
progress("second\\x1b[31m", done=2, total=2)
progress("second\\x1b[31m", done=2, total=2)
progress.close()
"""


def on_a_terminal(tmp_path: Path, *argv: str, **more: str) -> str:
    """Return what a Python process writes to a terminal 80 columns wide, which is its stdout and stderr."""
    main, side = pty.openpty()
    env = environment(tmp_path, **more)
    if "CI" not in more:
        env.pop("CI", None)
    with subprocess.Popen(
        [sys.executable, *argv], stdout=side, stderr=side, env=env, cwd=tmp_path
    ) as process:
        os.close(side)
        said = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:  # a terminal ends so
                break
            if not part:
                break
            said += part
    os.close(main)
    assert process.returncode == 0
    return said.decode()


def test_progress_is_one_line_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal the line is rewritten and gone at the end, and content cannot steer the terminal."""
    said = on_a_terminal(tmp_path, "-c", PROGRESS, TERM="xterm")
    assert said.startswith("\r\x1b[K[1/2] first\r\x1b[K[2/2] second")
    assert said.endswith("\r\x1b[K")
    assert "\x1b[31m" not in said
    assert "\n" not in said


@pytest.mark.parametrize("more", [{"CI": "1"}, {"TERM": "dumb"}])
def test_progress_is_plain_lines_where_nobody_looks(more: dict[str, str], tmp_path: Path) -> None:
    """In CI and on a dumb terminal each message is a line, once, without control characters."""
    said = on_a_terminal(tmp_path, "-c", PROGRESS, **more)
    assert said.splitlines() == ["[1/2] first", "[2/2] second\ufffd[31m"]


@pytest.mark.parametrize("argv", [["--help"], ["doctor"], ["devices", "list"]], ids=" ".join)
def test_nothing_is_said_in_colour(argv: list[str], tmp_path: Path) -> None:
    """On a terminal, with NO_COLOR and without, no colour is used."""
    for more in ({}, {"NO_COLOR": "1"}):
        assert "\x1b[" not in on_a_terminal(tmp_path, "-m", "edgebench", *argv, TERM="xterm-256color", **more)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe-模型 ✓\ttab\nline", "größe-模型 ✓\ttab\nline"),
        ("\x1b]0;title\x07", "\ufffd]0;title\ufffd"),
        ("a\x9b31mb\x7f\r", "a\ufffd31mb\ufffd\ufffd"),
        ("\u202eevil", "\ufffdevil"),
    ],
)
def test_control_characters_are_not_shown(text: str, shown: str) -> None:
    """Letters of all alphabets pass; what steers a terminal does not."""
    assert fit_to_show(text) == shown


def test_a_hostile_file_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """An error that repeats a name with control characters shows them as signs."""
    done = edgebench("report", "\x1b[31mred\x1b]0;x\x07", cwd=tmp_path)
    assert done.returncode == 2
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stderr)
