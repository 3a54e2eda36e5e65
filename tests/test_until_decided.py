"""`edgebench benchmark --until-decided` on a tiny model: decided, out of time, broken off, gone on with."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from models.small_onnx import save_classifier
from parquet_edits import make_faster
from processes import Ended, broken_off, edgebench, fails, interrupt, kill_parent, processes_of, wait_until
from tiny_pipelines import run_folders, write_onnx_pipeline

from edgebench import api
from edgebench.benchmark.evidence import Evidence, Validity
from edgebench.benchmark.evidence_files import load_samples
from edgebench.benchmark.looks import Looks, Stop
from edgebench.reports.verdict import Decision, Declared

FAR = "- p50 <= 1s\n- size <= 1MB\n"
MEMORY = "- size <= 1MB\n- memory <= 1kB\n"
"""The memory is far above, and eight sessions are the least that show it, on any machine."""


def prepare(cwd: Path, gates: str) -> Path:
    """Write the model and the gates; return the file of gates."""
    save_classifier(cwd / "m.onnx")
    (cwd / "g.yaml").write_text(gates)
    return cwd / "g.yaml"


def call(*more: str) -> tuple[str, ...]:
    """Return the command line of a short measurement until decided."""
    return (*"benchmark m.onnx --calls 60 --gates g.yaml --until-decided -o run".split(), *more)


def looks(run: Path, *, of_times: bool) -> tuple[Evidence, Looks]:
    """Return a run's evidence and its looks; skip where other programs made it unfit for what its gates ask.

    of_times: whether they ask for times, which a disturbance leaves open; an INVALID run leaves all open.
    """
    evidence = api.read_evidence(run)
    assert evidence.looks is not None
    measured = evidence.measurements[0]
    if measured.validity is Validity.INVALID or (of_times and measured.disturbances):
        assert evidence.looks.stop is not Stop.DECIDED
        reasons = (*measured.validity_reasons, *measured.disturbances)
        pytest.skip(f"needs a machine less busy: {'; '.join(dict.fromkeys(reasons))}")
    return evidence, evidence.looks


def test_far_from_the_bound_few_looks_decide(tmp_path: Path) -> None:
    """A median of microseconds against a second: GO after a look or some, the same on judging again."""
    prepare(tmp_path, FAR)
    done = edgebench(*call(), cwd=tmp_path)
    evidence, found = looks(tmp_path / "run", of_times=True)
    assert done.returncode == 0, done.stderr
    assert found.stop is Stop.DECIDED
    assert found.made == (5, 7, 10, 15)[: len(found.made)]
    assert len(evidence.measurements[0].sessions) == found.made[-1]
    verdict = api.report(tmp_path / "run", gates=tmp_path / "g.yaml")
    assert verdict.decision is Decision.GO
    assert verdict.declaration.declared is Declared.BEFORE
    assert "sessions, of at most 12, each at 99.27 %" in done.stdout
    again = edgebench(*call(), cwd=tmp_path)
    assert again.returncode == 0
    assert "nothing is left to measure: every gate is decided" in again.stderr


def test_out_of_time_it_says_so_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """Without time for what the gates need: exit code 3 and what is open; called again it goes on.

    No session is measured twice, and the looks made before count.
    """
    prepare(tmp_path, MEMORY)
    done = edgebench(*call("--max-time", "0.01s"), cwd=tmp_path)
    evidence, found = looks(tmp_path / "run", of_times=False)
    assert done.returncode == 3, done.stderr
    assert (found.made, found.stop) == ((), Stop.TIME)
    assert any("memory <= 1kB of m.onnx" in text for text in found.waiting)
    assert "needed: at least" in done.stdout
    assert "with the same settings and folder goes on" in done.stdout
    before = load_samples(tmp_path / "run", evidence.measurements[0]).latency_ns
    gone_on = edgebench(*call("--max-time", "5m"), cwd=tmp_path)
    evidence, found = looks(tmp_path / "run", of_times=False)
    assert gone_on.returncode == 0, gone_on.stderr
    assert (found.made, found.stop) == ((5, 7, 10), Stop.DECIDED)
    after = load_samples(tmp_path / "run", evidence.measurements[0]).latency_ns
    assert after[: before.size].tolist() == before.tolist()
    assert api.read_verdict(tmp_path / "run").decision is Decision.NO_GO


def test_timings_that_were_changed_are_not_gone_on_with(tmp_path: Path) -> None:
    """Out of time, then every timing a tenth of what it was: the file is named, and the seal stays."""
    prepare(tmp_path, MEMORY)
    edgebench(*call("--max-time", "0.01s"), cwd=tmp_path)
    before = (tmp_path / "run" / "evidence.json").read_bytes()
    (timings, *_) = sorted((tmp_path / "run" / "samples").glob("*.parquet"))
    make_faster(timings)
    fails(tmp_path, *call(), words=f"{timings.name}: is not the file that was measured")
    assert (tmp_path / "run" / "evidence.json").read_bytes() == before


def break_off(cwd: Path, how: object) -> Ended:
    """Break a measurement off in its third session; nothing of it may run afterwards."""
    ended = broken_off(
        *call(),
        cwd=cwd,
        reached=lambda line: "session 3 of" in line,
        send=how,
        after_s=0.2,  # type: ignore[arg-type]
    )
    assert ended.seconds > 0, ended.stderr
    assert wait_until(lambda: not processes_of(cwd)), processes_of(cwd)
    return ended


def test_killed_or_interrupted_it_goes_on_and_looks_no_more_often(tmp_path: Path) -> None:
    """A kill, then Ctrl-C, in the third session: two are kept, the looks are those of an unbroken run."""
    prepare(tmp_path, MEMORY)
    assert break_off(tmp_path, kill_parent).returncode == -signal.SIGKILL
    interrupted = break_off(tmp_path, interrupt)
    assert interrupted.returncode in (130, -signal.SIGINT)
    assert interrupted.stderr.splitlines()[-1] == "edgebench: interrupted; what was finished is kept"
    assert not (tmp_path / "run" / "evidence.json").exists()
    done = edgebench(*call(), cwd=tmp_path)
    assert done.stderr.count("kept from before") >= 2
    found = api.read_evidence(tmp_path / "run").looks
    assert found is not None
    assert found.made == (5, 7, 10)[: len(found.made)]  # fewer where a busy machine makes it INVALID
    assert found.stop in (Stop.DECIDED, Stop.STUCK)


def test_another_question_cannot_be_put_to_the_same_looks(tmp_path: Path) -> None:
    """Other gates or settings in the folder are refused with what differs; a report by others says so."""
    prepare(tmp_path, MEMORY)
    edgebench(*call("--max-time", "0.01s"), cwd=tmp_path)
    (tmp_path / "g.yaml").write_text("- p50 <= 2s\n")
    fails(tmp_path, *call(), words="was measured for other criteria: memory <= 1kB; size <= 1MB")
    prepare(tmp_path, MEMORY)
    fails(tmp_path, *call("--threads", "2"), words="threads was 1 and is 2")
    (tmp_path / "g.yaml").write_text("- p50 <= 2s\n")
    verdict = api.report(tmp_path / "run", gates=tmp_path / "g.yaml")
    assert any("stopped for other criteria than these" in note for note in verdict.notes)


def test_a_fixed_measurement_cannot_be_gone_on_with(tmp_path: Path) -> None:
    """What was measured without a plan of looks was looked at already: another folder is asked for."""
    prepare(tmp_path, FAR)
    fixed = ("benchmark", "m.onnx", "--sessions", "1", "--calls", "30", "-o", "run")
    assert edgebench(*fixed, cwd=tmp_path).returncode == 0
    fails(tmp_path, *call(), words="holds a finished measurement", code=4)


def test_gates_given_to_a_run_begun_without_are_not_declared_before(tmp_path: Path) -> None:
    """Killed without gates, then gone on with: --until-decided is refused; else the verdict says NOT."""
    prepare(tmp_path, FAR)
    begun = (*"benchmark m.onnx --sessions 3 --calls 60 -o run".split(), "--seed", "0")
    ended = broken_off(
        *begun, cwd=tmp_path, reached=lambda line: "session 2 of" in line, send=kill_parent, after_s=0.2
    )
    assert ended.returncode == -signal.SIGKILL
    assert wait_until(lambda: not processes_of(tmp_path)), processes_of(tmp_path)
    fails(tmp_path, *call(), words="was begun without gates")
    done = edgebench(*begun, "--gates", "g.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "kept from before" in done.stderr
    assert "these are not declared before the measurement" in done.stderr
    assert api.report(tmp_path / "run", gates=tmp_path / "g.yaml").declaration.declared is Declared.NOT


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--until-decided", "--max-time", "10"), "--max-time '10' is not a span of time"),
        (("--until-decided", "--max-time", "x"), "is not a span of time"),
        (("--max-time", "10m"), "--max-time is for --until-decided"),
        (("--within", "2%"), "--within is for --until-decided"),
        (("--until-decided", "--within", "2"), "--within '2' is not a percentage above zero"),
        (("--until-decided", "--within", "0%"), "--within '0%' is not a percentage above zero"),
        (("--until-decided", "--gates", "absent.yaml"), "absent.yaml: no such file"),
        (("--gates", "on.yaml"), "no artifact matches 'n.onnx'"),
    ],
)
def test_options_that_do_not_fit(more: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """Mistakes in time and gates end before anything is measured, with exit code 2."""
    prepare(tmp_path, FAR)
    (tmp_path / "on.yaml").write_text("- p50 <= 1s on n.onnx\n")
    fails(tmp_path, "benchmark", "m.onnx", *more, words=words)
    assert not list(tmp_path.glob("runs/*/*/samples"))
    assert os.listdir(tmp_path)  # noqa: PTH208 - the test's own files


def test_a_pipeline_goes_on_until_its_gates_are_decided(tmp_path: Path) -> None:
    """`benchmark.until_decided` in a pipeline: looks are made, and its gates were written down before."""
    write_onnx_pipeline(tmp_path, gates="gates: [size <= 1B]")
    keys = ("benchmark.until_decided=true", "benchmark.max_time=5m", "export.precisions=[fp32]")
    done = edgebench("run", "p.yaml", *keys, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    (run,) = run_folders(tmp_path)
    found = api.read_evidence(run).looks
    assert found is not None
    assert (found.made, found.stop) == ((5,), Stop.DECIDED)
    assert api.read_verdict(run).declaration.declared is Declared.BEFORE
    fails(
        tmp_path, "run", "p.yaml", "benchmark.max_time=soon", words="benchmark.max_time 'soon' is not a span"
    )


def test_several_devices_are_not_measured_until_decided(tmp_path: Path) -> None:
    """Each device needs as many sessions as it needs: one command each is asked for."""
    prepare(tmp_path, FAR)
    devices = ("--device", "local:cpu", "--device", "ssh://orin-1")
    fails(tmp_path, *call(*devices), words="--until-decided measures on one device")
