"""`edgebench compare`: what may be said of two measurements, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models.small_onnx import save_classifier
from processes import edgebench, fails
from reports.evidence_builders import DEVICE, MS, answers, artifact, sessions, timing

from edgebench import api
from edgebench.artifact import Format, Precision
from edgebench.benchmark.evidence import (
    AccuracyRecord,
    DeviceFacts,
    LatencySamples,
    Measurement,
    Validity,
)
from edgebench.benchmark.evidence_files import write_evidence
from edgebench.benchmark.noise import load_noise, noise_file, save_noise
from edgebench.benchmark.noise_record import NoiseFloor
from edgebench.errors import InputError, MeasurementError
from edgebench.reports.compare import Compared, Difference, Side, compare
from edgebench.reports.compare_table import compare_table
from edgebench.reports.quantities import Quantity, Question
from edgebench.reports.relative_estimates import relative
from edgebench.reports.subjects import Subject

COUNT, BLOCKS, CALLS = 5, 10, 20
SESSION = np.repeat(np.arange(COUNT), BLOCKS * CALLS)
FLOOR = NoiseFloor(
    "ab12", "local:cpu", "2026-01-02", "0.1", "a.onnx", "", 5, 200, 1, (), "VALID", {"p50": 0.03}
)


def side(name: str, level: float, *, seed: int = 0, in_turn: bool = True, **changes: Any) -> Side:
    """Return an artifact of about `level` ms, timed in turn with `a` or `b`, or by itself."""
    made = artifact(name, Precision.FP32, Format.ONNX, 1000)
    other = artifact({"a": "b", "b": "a"}[name], Precision.FP32, Format.ONNX, 1000)
    beside = {"blocks": BLOCKS, "beside": (other.id,)} if in_turn else {}
    measured = Measurement(made, DEVICE, sessions(COUNT, BLOCKS * CALLS, name, timing(), **beside))
    noise = np.random.default_rng(seed).normal(0, 0.02, SESSION.size)
    calls = (level * MS * np.exp(noise)).astype(np.int64)
    block = np.tile(np.repeat(np.arange(BLOCKS), CALLS), COUNT) if in_turn else None
    samples = LatencySamples(calls, SESSION, calls[:0], block=block)
    return Side(f"run:{made.id}", replace(measured, **changes), samples)


def told(found: Compared) -> list[Difference]:
    """Return what is said of each percentile."""
    return [one.difference for one in found.percentiles]


@pytest.mark.parametrize("in_turn", [True, False])
def test_slower_faster_and_neither(in_turn: bool) -> None:
    """5 % more is slower, 5 % less is faster, and the same is no difference shown; in turn or apart."""
    base = side("a", 10, in_turn=in_turn)
    said = {
        level: compare(base, side("b", level, seed=1, in_turn=in_turn)).percentiles[0]
        for level in (9.5, 10, 10.5)
    }
    assert [one.difference for one in said.values()] == ["faster", "no difference shown", "slower"]
    assert said[10.5].words == f"{100 * (said[10.5].ratio - 1):.1f} % slower"
    assert said[10.5].ratio == pytest.approx(1.05, abs=0.005)
    assert said[10].words == "no difference shown: the interval holds 1"


def test_nothing_below_the_noise_floor_is_a_difference() -> None:
    """A sure 2 % is none on a device whose floor is 3 %; 5 % is one. Beyond p95 no floor is known."""
    low = compare(side("a", 10), side("b", 10.2, seed=3), noise=FLOOR).percentiles[0]
    assert low.interval.lower > 1
    assert low.difference is Difference.BELOW_NOISE
    assert (
        low.words
        == f"no difference: {100 * (low.ratio - 1):.1f} % is within the device's noise floor of 3.0 %"
    )
    assert compare(side("a", 10), side("b", 10.5), noise=FLOOR).percentiles[0].difference is Difference.SLOWER
    assert (FLOOR.at(0.5), FLOOR.at(0.99)) == (0.03, None)


def test_only_percentiles_that_the_calls_bear_are_compared() -> None:
    """A thousand calls give p50, p95 and p99; two hundred give no p99."""
    assert [one.percentile for one in compare(side("a", 10), side("b", 10)).percentiles] == [
        "p50",
        "p95",
        "p99",
    ]
    short = [replace(one, samples=_first(one.samples)) for one in (side("a", 10), side("b", 10))]
    assert [one.percentile for one in compare(*short).percentiles] == ["p50", "p95"]


def _first(samples: LatencySamples) -> LatencySamples:
    kept = samples.block < 2
    return LatencySamples(
        samples.latency_ns[kept], samples.session[kept], samples.warmup_ns, block=samples.block[kept]
    )


def test_unlike_definitions_are_refused_by_name() -> None:
    """Four threads against one is refused, naming the field; where it is asked about, it is said."""
    other = side("b", 5, sessions=sessions(COUNT, 200, "b", timing(threads=4)))
    with pytest.raises(InputError, match="they differ in threads 1 and 4") as refused:
        compare(side("a", 10), other)
    assert refused.value.exit_code == 2
    assert "--despite threads" in str(refused.value.hint)
    found = compare(side("a", 10), other, despite=["threads"])
    assert "compared although they differ in threads 1 and 4" in found.notes
    assert told(found)[0] is Difference.FASTER


def test_another_device_is_refused() -> None:
    """The same model on another machine is no comparison of models."""
    device = replace(DEVICE, extra={"fingerprint": "cd34"}, processor="Cortex-A76")
    here = replace(DEVICE, extra={"fingerprint": "ab12"})
    with pytest.raises(InputError, match="fingerprint ab12 and cd34"):
        compare(side("a", 10, device=here), side("b", 10, device=device))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"failure": "it crashed"}, "could not be measured: it crashed"),
        ({"validity": Validity.INVALID, "validity_reasons": ("it was hot",)}, "is INVALID: it was hot"),
    ],
)
def test_what_was_not_measured_well_is_not_compared(changes: dict[str, Any], said: str) -> None:
    """A failure, or an INVALID measurement, is no side of a comparison; exit code 3."""
    with pytest.raises(MeasurementError, match=said):
        compare(side("a", 10), side("b", 10, **changes))


def test_sessions_that_do_not_match_are_named() -> None:
    """Five sessions against four of another run cannot be held against each other, and the hint says so."""
    few = side("b", 10, in_turn=False)
    kept = SESSION < 4
    few = replace(few, samples=LatencySamples(few.samples.latency_ns[kept], SESSION[kept], SESSION[:0]))
    with pytest.raises(MeasurementError, match="5 sessions cannot be held against 4") as refused:
        compare(side("a", 10, in_turn=False), few)
    assert "same number of sessions" in str(refused.value.hint)


def test_accuracy_is_paired_where_both_answered_the_same() -> None:
    """Ten of 200 answers lost is a drop of 5 pp with its interval; other data gives none."""
    record = AccuracyRecord("d.npz", "ab", 200, 10, "o.npz")
    first = replace(side("a", 10, accuracy=record), answers=answers(200))
    second = replace(side("b", 10, accuracy=record), answers=answers(200, wrong=range(10)))
    found = compare(first, second).accuracy
    assert (found.samples, found.drop_pp) == (200, 5.0)
    assert found.interval.lower > 1
    elsewhere = replace(
        second, measurement=replace(second.measurement, accuracy=replace(record, fingerprint="c"))
    )
    assert compare(first, elsewhere).accuracy is None


def test_the_table_says_how_it_was_timed() -> None:
    """The text names both, how they were timed, each ratio with its interval, and the words."""
    text = compare_table(compare(side("a", 10), side("b", 10.5, seed=3)))
    assert "run:b.fp32.onnx against run:a.fp32.onnx on local:cpu" in text
    assert "5 sessions, timed in turn, block by block; intervals at 95 %" in text
    assert "slower" in text
    apart = compare(side("a", 10, in_turn=False), side("b", 10, in_turn=False))
    assert "apart from each other" in compare_table(apart)
    assert any("not timed in turn" in note for note in apart.notes)
    assert any("edgebench devices noise local:cpu MODEL" in note for note in apart.notes)


def test_a_floor_is_kept_by_fingerprint(tmp_path: Path) -> None:
    """What is kept of a device is found under its fingerprint; a broken file, or a later one, is named."""
    assert load_noise(tmp_path, "ab12") is None
    path = save_noise(tmp_path, FLOOR)
    assert load_noise(tmp_path, "ab12") == FLOOR
    assert path == noise_file(tmp_path, "ab12")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 9}))
    with pytest.raises(InputError, match="schema 9 is of a later version"):
        load_noise(tmp_path, "ab12")
    path.write_text("{")
    with pytest.raises(InputError, match=r"ab12\.json"):
        load_noise(tmp_path, "ab12")


def test_noise_and_compare_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A floor measured on this machine is in the next run's evidence, and `compare` names it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("edgebench.benchmark.validity.THRESHOLDS", {})
    models = [save_classifier(tmp_path / name) for name in ("a.onnx", "b.onnx")]
    floor = api.device_noise(
        "local:cpu", models[0], comparisons=2, sessions=2, calls=20, out=tmp_path / "noise"
    )
    assert set(floor.floors) == {"p50", "p95"}
    assert [len(logs) for logs in floor.log_ratios.values()] == [2, 2]
    assert all(share > 0 for share in floor.floors.values())
    run = api.benchmark(models, sessions=2, calls=60, out=tmp_path / "run")
    assert [one.noise for one in api.read_evidence(run).measurements] == [floor, floor]
    found = api.compare(f"{run}:a.onnx", f"{run}:b.onnx")
    assert (found.in_turn, found.sessions) == (True, 2)
    assert found.percentiles[0].floor == floor.floors["p50"]
    assert any(floor.words in note for note in found.notes)


def test_the_command_line(tmp_path: Path) -> None:
    """`edgebench compare` prints the table or JSON; runs and artifacts that are not there are exit code 2."""
    models = [save_classifier(tmp_path / name) for name in ("a.onnx", "b.onnx")]
    api.benchmark(models, sessions=2, calls=60, out=tmp_path / "run")
    evidence = api.read_evidence(tmp_path / "run")
    valid = (replace(one, validity=Validity.VALID) for one in evidence.measurements)
    write_evidence(tmp_path / "run", replace(evidence, measurements=tuple(valid)))
    done = edgebench("compare", "run:a.onnx", "run:b.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "run:b.onnx against run:a.onnx" in done.stdout
    plain = json.loads(edgebench("compare", "run:a.onnx", "run:b.onnx", "--json", cwd=tmp_path).stdout)
    assert plain["in_turn"] is True
    fails(tmp_path, "compare", "run:a.onnx", "run:c.onnx", words="has no artifact 'c.onnx'")
    fails(tmp_path, "compare", "run:a.onnx", "run", words="run has 2 artifacts")
    fails(tmp_path, "compare", "run:a.onnx", "nowhere", words="holds no evidence")


def test_a_run_of_several_devices_is_named_by_one_of_their_folders(tmp_path: Path) -> None:
    """The same artifact on two devices: neither is guessed, and the folder of each is named."""
    api.benchmark([save_classifier(tmp_path / "a.onnx")], sessions=2, calls=60, out=tmp_path / "run")
    (here,) = (evidence := api.read_evidence(tmp_path / "run")).measurements
    for name in ("local-cpu", "ssh-orin-1"):
        shutil.copytree(tmp_path / "run", tmp_path / "both" / "devices" / name)
    shutil.copytree(tmp_path / "run", tmp_path / "both", dirs_exist_ok=True)
    there = replace(here, device=replace(here.device, uri="ssh://orin-1"))
    write_evidence(tmp_path / "both", replace(evidence, measurements=(here, there)))
    with pytest.raises(InputError, match="measured on 2 devices: local:cpu, ssh://orin-1") as caught:
        api.compare(f"{tmp_path / 'run'}:a.onnx", f"{tmp_path / 'both'}:a.onnx")
    assert f"{tmp_path / 'both' / 'devices' / 'ssh-orin-1'}:a.onnx" in str(caught.value.hint)


def test_facts_of_a_device_are_needed_for_a_floor(tmp_path: Path) -> None:
    """A device that tells no fingerprint has no floor."""
    assert load_noise(tmp_path, DeviceFacts("u", "n", "p", 1, 1, "s").extra.get("fingerprint")) is None


def test_relative_gates_compare_block_by_block() -> None:
    """Where a machine's moments move both, artifacts in turn have a narrow ratio, apart a wide one."""
    moment = np.repeat(np.random.default_rng(7).uniform(1, 2, COUNT * BLOCKS), CALLS)
    found = []
    for in_turn in (True, False):
        base, other = (side(name, 10, seed=seed, in_turn=in_turn) for name, seed in (("a", 1), ("b", 2)))
        ours, theirs = (
            replace(one.samples, latency_ns=(one.samples.latency_ns * moment).astype(np.int64))
            for one in (other, base)
        )
        subject = Subject(
            measurement=other.measurement,
            samples=ours,
            answers=None,
            baseline=base.measurement,
            baseline_samples=theirs,
            baseline_answers=None,
            reference=None,
            is_baseline=False,
            is_reference=False,
        )
        found.append(relative(subject, Question(Quantity.P50, relative=True), 0.95))
    turn, apart = found
    assert turn.upper - turn.lower < (apart.upper - apart.lower) / 3
    assert turn.lower < 1 < turn.upper
