"""A run that is killed or interrupted in any stage leaves nothing half done, and goes on where it stopped."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import Ended, broken_off, edgebench, interrupt, kill_all, kill_parent, processes_of, wait_until
from tiny_pipelines import (
    artifacts,
    assert_whole,
    leftovers,
    run_folders,
    write_onnx_pipeline,
    write_torch_pipeline,
)

INTERRUPTED = (130, -signal.SIGINT)
"""A shell reads both as 130; Python takes the second way where the signal met an `exec`, or the very end."""
DEADLY = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP)
AT_MOST_S = 3.0
"""From Ctrl-C to the end of the program."""
JUDGED = (0, 1, 3)
"""Exit codes of a run that came to a verdict; which one hangs on what else the machine is doing."""
DIGITS = Path(__file__).parents[1] / "edgebench" / "examples" / "digits" / "pipeline.yaml"


@dataclass(frozen=True)
class Stage:
    """A place to break off: after_s seconds after the first line of stderr that `line` is found in."""

    line: str
    after_s: float = 0.2

    def reached(self, line: str) -> bool:
        """Return whether this line of stderr announces the stage, and not that it came from the cache."""
        return re.search(rf"{self.line}\n", line) is not None


EXPORT = [Stage("convert to onnx"), Stage("onnx fp32"), Stage("onnx w8a8", 0.6)]
BENCHMARK = [
    Stage("accuracy of tiny.fp32.onnx"),
    Stage("accuracy of tiny.w8a8.onnx", 0.0),
    Stage(r"\[0/2] session 1 of .*", 0.4),
    Stage(r"\[1/2] session 2 of .*", 0.4),
]
REPORT = [Stage("report", 0.0), Stage("report", 0.1)]  # it takes half a second where nothing else runs
STAGES = [*EXPORT, *BENCHMARK, *REPORT]
TRAINING = [Stage("train the teacher", 1.5), Stage("distil", 1.5), Stage("prune"), Stage("finetune", 1.5)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of the tiny ONNX pipeline that nothing disturbed."""
    cwd = tmp_path_factory.mktemp("unbroken")
    write_onnx_pipeline(cwd)
    done = edgebench("run", "p.yaml", cwd=cwd)
    assert done.returncode in JUDGED, done.stderr
    (run,) = run_folders(cwd)
    return run


def break_off(cwd: Path, argv: Sequence[str], stage: Stage, send: Callable[[int], None]) -> Ended:
    """Break `edgebench argv…` off in a stage; nothing of it may be running afterwards."""
    (cwd / "tmp").mkdir(exist_ok=True)
    ended = broken_off(
        *argv,
        cwd=cwd,
        reached=stage.reached,
        send=send,
        after_s=stage.after_s,
        TMPDIR=str(cwd / "tmp"),
    )
    assert ended.seconds > 0, f"{stage} was not reached:\n{ended.stderr}"
    assert wait_until(lambda: not processes_of(cwd)), processes_of(cwd)
    return ended


def finish(cwd: Path, argv: Sequence[str], name: str = "tiny") -> tuple[str, Path]:
    """Run the same command to its end; return its stderr and the one run's folder, which is whole."""
    done = edgebench(*argv, cwd=cwd, TMPDIR=str(cwd / "tmp"))
    assert done.returncode in JUDGED, done.stderr
    (run,) = run_folders(cwd, name)
    assert f"taking up {run.relative_to(cwd)}" in done.stderr
    assert_whole(run)
    assert not leftovers(cwd)
    return done.stderr, run


def was_interrupted(ended: Ended) -> None:
    """Assert that Ctrl-C ended the program as it should."""
    assert ended.returncode in INTERRUPTED, ended.stderr
    assert ended.stderr.splitlines()[-1] == "edgebench: interrupted; what was finished is kept"
    assert "Traceback" not in ended.stderr
    assert ended.seconds < AT_MOST_S


def test_a_run_killed_in_each_stage_in_turn_ends_as_an_unbroken_one(tmp_path: Path, unbroken: Path) -> None:
    """SIGKILL, SIGTERM or SIGHUP to the program alone, in stage after stage of one run: it ends the same.

    Its workers die with it, each command goes on where the last was killed, nothing that was finished
    is done again, and the artifacts are byte for byte those of an unbroken run.
    """
    write_onnx_pipeline(tmp_path)
    argv = ("run", "p.yaml")
    for stage, number in zip(STAGES, itertools.cycle(DEADLY), strict=False):
        ended = break_off(tmp_path, argv, stage, lambda pid, number=number: os.kill(pid, number))
        assert ended.returncode in (-number, 128 + number)
        assert "Traceback" not in ended.stderr
        assert len(run_folders(tmp_path)) == 1
    said, run = finish(tmp_path, argv)
    assert said.splitlines()[1:] == [
        "export to onnx: from the cache",
        "[0/2] accuracy of tiny.fp32.onnx: kept from before",
        "[1/2] accuracy of tiny.w8a8.onnx: kept from before",
        *[line for line in said.splitlines() if re.fullmatch(r"\[\d/2] session .* kept from before", line)],
        "report",
    ]
    assert said.count("session") == 2
    assert artifacts(run) == artifacts(unbroken)


def test_ctrl_c_in_each_stage_ends_at_once_and_keeps_what_was_done(tmp_path: Path, unbroken: Path) -> None:
    """SIGINT to the group, as a terminal sends it, in stage after stage: 130, one line, within seconds.

    Nothing is left behind, and the same command then comes to the end of an unbroken run.
    """
    write_onnx_pipeline(tmp_path)
    argv = ("run", "p.yaml")
    for stage in STAGES:
        was_interrupted(break_off(tmp_path, argv, stage, interrupt))
        assert not leftovers(tmp_path)
    _, run = finish(tmp_path, argv)
    assert artifacts(run) == artifacts(unbroken)


def test_training_killed_or_interrupted_goes_on_with_the_step_that_was_not_finished(tmp_path: Path) -> None:
    """SIGKILL and Ctrl-C by turns in each step of training: finished ones come from the cache.

    No worker is left, and the run comes to its end.
    """
    write_torch_pipeline(tmp_path)
    argv = ("run", "p.yaml")
    for stage, send in zip(TRAINING, itertools.cycle([kill_parent, interrupt]), strict=False):
        ended = break_off(tmp_path, argv, stage, send)
        if send is interrupt:
            was_interrupted(ended)
            assert not leftovers(tmp_path)
    said, _ = finish(tmp_path, argv)
    assert said.splitlines()[1:4] == [
        f"{step}: from the cache" for step in ("train the teacher", "distil", "prune")
    ]


@pytest.mark.acceptance
@pytest.mark.parametrize("send", [kill_parent, kill_all, interrupt])
def test_the_digits_example_broken_off_in_each_stage_ends_as_an_unbroken_one(
    send: Callable[[int], None], tmp_path: Path
) -> None:
    """The whole path on real scans, broken off in every stage, ends with an unbroken run's artifacts.

    They are the same byte for byte, ONNX and TFLite, converted side by side.
    """
    settings = ["compress.distil.epochs=1", "compress.distil.teacher.epochs=1", "benchmark.sessions=1"]
    argv = ("run", str(DIGITS), *settings, "benchmark.calls=30")
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    done = edgebench(*argv, cwd=tmp_path / "whole")
    assert done.returncode in JUDGED, done.stderr
    stages = [
        Stage("convert to .*", 4),
        Stage("onnx fp16"),
        Stage("tflite w8a8", 1),
        Stage(".* accuracy of .*"),
    ]
    for stage in [*TRAINING, *stages, Stage(".* session 1 of .*"), *REPORT]:
        ended = break_off(tmp_path / "broken", argv, stage, send)
        if send is interrupt:
            was_interrupted(ended)
    _, run = finish(tmp_path / "broken", argv, "digits")
    (whole,) = run_folders(tmp_path / "whole", "digits")
    assert len(list((run / "artifacts").glob("*.tflite"))) == 3
    for path in (whole / "artifacts").iterdir():
        if path.suffix != ".json":
            assert (run / "artifacts" / path.name).read_bytes() == path.read_bytes()


def test_a_second_ctrl_c_changes_nothing(tmp_path: Path) -> None:
    """An impatient user's further Ctrl-C leave one line, exit code 130, and no process."""
    write_onnx_pipeline(tmp_path)

    def several(pid: int) -> None:
        for _ in range(5):
            if wait_until(lambda: not Path(f"/proc/{pid}").exists(), seconds=0.03):
                return
            interrupt(pid)

    for stage in (Stage("convert to onnx", 0.5), Stage(r".* session 1 of .*", 0.3)):
        ended = break_off(tmp_path, ("run", "p.yaml"), stage, several)
        assert ended.returncode in INTERRUPTED
        assert "Traceback" not in ended.stderr
        assert ended.seconds < AT_MOST_S


@pytest.mark.parametrize(
    ("argv", "stage"),
    [
        (
            ("export", "m.onnx", "-f", "onnx", "--int8", "--calib-data", "c.npz"),
            Stage("convert to onnx", 0.5),
        ),
        (("benchmark", "m.onnx", "--data", "e.npz", "--sessions", "1"), Stage(r".* session 1 of .*", 0.3)),
    ],
)
def test_ctrl_c_in_a_single_verb(argv: tuple[str, ...], stage: Stage, tmp_path: Path) -> None:
    """`export` and `benchmark` are interrupted like a run, and the same command then ends well."""
    write_onnx_pipeline(tmp_path)
    was_interrupted(break_off(tmp_path, argv, stage, interrupt))
    assert not leftovers(tmp_path)
    assert not list(tmp_path.glob("artifacts/*.onnx*"))
    done = edgebench(*argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_while_the_program_is_being_loaded_leaves_no_traceback(tmp_path: Path) -> None:
    """A Ctrl-C before the command line is there, as on a slow disk, ends the process without a word."""
    (tmp_path / "click.py").write_text(
        "import sys, time\nprint('loading', file=sys.stderr, flush=True)\ntime.sleep(30)\n"
    )
    ended = broken_off(
        "doctor",
        cwd=tmp_path,
        reached=lambda line: line == "loading\n",
        send=interrupt,
        PYTHONPATH=os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])]),
    )
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr == "loading\n"
    assert ended.seconds < AT_MOST_S
