"""Real sessions of a tiny model, taken until gates are decided, out of time, and gone on with.

How busy the machine is while the tests run is left out of the judging: it would make it INVALID.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench.benchmark.evidence import Evidence, Validity
from edgebench.benchmark.evidence_files import load_samples, read_evidence
from edgebench.benchmark.looks import Stop
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.benchmark.stopping import Outlook, Until
from edgebench.errors import ConfigError, MeasurementError
from edgebench.progress import silent
from edgebench.reports.deciding import Decider
from edgebench.reports.gate_words import parse_gate


def request(out: Path, *artifacts: object, **settings: object) -> BenchmarkRequest:
    """Return a request for short sessions."""
    quick = {"calls": 100, "warmup_s": 0.01, "min_warmup_calls": 3}
    return BenchmarkRequest(artifacts=artifacts, out=out, **{**quick, **settings})  # type: ignore[arg-type]


def undisturbed(folder: Path, *words: str) -> Callable[[Evidence], Outlook]:
    """Return the product's decision on evidence, were the machine a quiet one."""
    decider = Decider(folder, tuple(map(parse_gate, words)))

    def decide(evidence: Evidence) -> Outlook:
        quiet = (replace(m, validity=Validity.VALID, disturbances=()) for m in evidence.measurements)
        return decider(replace(evidence, measurements=tuple(quiet)))

    return decide


def test_far_from_the_bound_it_is_decided_early(tmp_path: Path, linear: Callable[..., object]) -> None:
    """A median far under its bound, and 1 kB of memory: eight sessions show both, ten are taken."""
    until = Until(undisturbed(tmp_path, "p50 <= 1000s", "memory <= 1kB", "size <= 1MB"), 600.0)
    evidence = benchmark(request(tmp_path, linear()), until=until)
    assert evidence.looks is not None
    assert (evidence.looks.made, evidence.looks.stop) == ((5, 7, 10), Stop.DECIDED)
    assert len(evidence.measurements[0].sessions) == 10
    assert read_evidence(tmp_path) == evidence


def test_the_time_is_out_and_a_later_call_goes_on(tmp_path: Path, linear: Callable[..., object]) -> None:
    """Without time there is one session of each artifact, with more it goes on, and none is taken twice."""
    asked = request(tmp_path, linear("a.onnx"), linear("b.onnx"))
    decide = undisturbed(tmp_path, "memory <= 1kB")
    first = benchmark(asked, until=Until(decide, 0.0))
    assert first.looks is not None
    assert (first.looks.made, first.looks.stop) == ((), Stop.TIME)
    assert any(
        "memory <= 1kB of a.onnx (needed: at least 5 sessions)" in text for text in first.looks.waiting
    )
    before = load_samples(tmp_path, first.measurements[0]).latency_ns
    gone_on = benchmark(asked, until=Until(decide, 600.0, earlier=first))
    assert gone_on.looks is not None
    assert (gone_on.looks.made, gone_on.looks.stop) == ((5, 7, 10), Stop.DECIDED)
    assert [len(m.sessions) for m in gone_on.measurements] == [10, 10]
    after = load_samples(tmp_path, gone_on.measurements[0]).latency_ns
    assert after[: before.size].tolist() == before.tolist()


def test_gates_that_no_session_settles_end_it_at_the_first_look(
    tmp_path: Path, linear: Callable[..., object]
) -> None:
    """Accuracy that was not measured is open for ever: it ends at once and names it."""
    until = Until(undisturbed(tmp_path, "top1 >= 90%"), 600.0)
    evidence = benchmark(request(tmp_path, linear()), until=until)
    assert evidence.looks is not None
    assert (evidence.looks.made, evidence.looks.stop) == ((5,), Stop.STUCK)
    assert "top1 >= 90% of linear.fp32.onnx (needed: labelled" in evidence.looks.stuck[0]


def test_a_changed_model_cannot_go_on(tmp_path: Path, linear: Callable[..., object]) -> None:
    """What was looked at was another file: its name is told, and nothing is measured."""
    artifact, path = linear()  # type: ignore[misc]
    decide = undisturbed(tmp_path, "memory <= 1kB")
    first = benchmark(request(tmp_path, (artifact, path)), until=Until(decide, 0.0))
    other = replace(artifact, sha256="ab" * 32)
    with pytest.raises(ConfigError, match=r"the file linear\.fp32\.onnx was"):
        benchmark(request(tmp_path, (other, path)), until=Until(decide, 1.0, first), progress=silent)


def test_what_another_machine_measured_cannot_be_gone_on_with(
    tmp_path: Path, linear: Callable[..., object]
) -> None:
    """Another runtime since the last look: it is said before anything takes the place of what lies there."""
    asked, decide = request(tmp_path, linear()), undisturbed(tmp_path, "memory <= 1kB")
    first = benchmark(asked, until=Until(decide, 0.0))
    assert first.looks is not None
    before = (tmp_path / "evidence.json").read_bytes()
    elsewhere = replace(first, looks=replace(first.looks, made=(1,), machine="ab" * 32))
    with pytest.raises(MeasurementError, match="what was looked at cannot be gone on with"):
        benchmark(asked, until=Until(decide, 600.0, elsewhere))
    assert (tmp_path / "evidence.json").read_bytes() == before
    here = replace(first, looks=replace(first.looks, made=(1,)))
    assert benchmark(asked, until=Until(decide, 0.0, here)).looks is not None


def test_each_look_knows_the_device_by_its_names_and_tags(
    tmp_path: Path, linear: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate for a tag is open at every look; a device that was renamed meanwhile keeps its sessions."""
    monkeypatch.chdir(tmp_path)
    inventory, out = tmp_path / "devices.yaml", tmp_path / "run"
    inventory.write_text('devices: {desk: {uri: "local:cpu", tags: [lab]}}')
    decide = undisturbed(out, "memory <= 1kB at tag:lab", "size <= 1MB")
    first = benchmark(request(out, linear()), until=Until(decide, 0.0))
    assert first.looks is not None
    assert first.looks.stop is Stop.TIME
    assert [text.partition(" of ")[0] for text in first.looks.waiting] == ["memory <= 1kB at tag:lab"]
    inventory.write_text('devices: {bench: {uri: "local:cpu", tags: [lab]}}')
    second = benchmark(request(out, linear()), until=Until(decide, 600.0, earlier=first))
    (before,), (after,) = first.measurements, second.measurements
    assert (before.device.aliases, after.device.aliases) == (("desk",), ("bench",))
    assert after.sessions[:1] == before.sessions
    assert second.looks is not None
    assert second.looks.stop is Stop.DECIDED
