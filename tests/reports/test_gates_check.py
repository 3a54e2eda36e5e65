"""The self-test of gates: good evidence passes, bad evidence fails, and a gate that cannot is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evidence_builders import DEVICE, MS, URI, Builder, Run, answers, artifact, digits, latencies

from edgebench.artifact import Format, Precision
from edgebench.benchmark.accuracy import churn, top1, topk
from edgebench.benchmark.evidence import MetricRecord, Summary, Validity
from edgebench.benchmark.metric_draws import Draws
from edgebench.reports.cases import Case
from edgebench.reports.gate_words import DEFAULT_GATES, parse_gate
from edgebench.reports.gates_check import GateCheck, GatesCheck, cases_of, check_gates
from edgebench.reports.gates_table import gates_table
from edgebench.reports.injections import INJECTIONS, POINTS
from edgebench.reports.judge import judge
from edgebench.reports.quantities import Quantity
from edgebench.reports.synthetic import synthetic_cases
from edgebench.reports.verdict import Answer

FP32 = artifact("net", Precision.FP32, Format.ONNX, 4_000_000)
INT8 = artifact("net", Precision.W8A8, Format.ONNX, 1_000_000)


def from_nothing(*words: str) -> GatesCheck:
    """Return the check of gates against evidence made from nothing."""
    return check_gates([parse_gate(text) for text in words], None, "nothing")


def against(run: Run, *words: str) -> GatesCheck:
    """Return the check of gates against a run."""
    cases = cases_of(run.evidence, run.samples, run.answers)
    return check_gates([parse_gate(text) for text in words], cases, "a run")


def only(check: GatesCheck) -> GateCheck:
    """Return the one gate's check."""
    (found,) = check.checks
    return found


def measured(p50_ms: float = 10, n: int = 900) -> Run:
    """Return an fp32 file and an int8 file of the same speed, with answers."""
    builder = Builder().add(FP32, latencies(p50_ms, n=n), answers(600))
    return builder.add(INT8, latencies(p50_ms, n=n), answers(600, range(3))).run()


# --- from nothing ---------------------------------------------------------------------------------


def test_the_edge_checklist_can_pass_and_can_fire() -> None:
    """Each of the default gates passes good evidence and fails bad."""
    found = check_gates(DEFAULT_GATES, None, "nothing")
    assert found.sound
    for check in found.checks:
        assert check.passes is not None
        assert check.fails is not None
        assert (check.passes.answer, check.fails.answer) == (Answer.PASS, Answer.FAIL)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9999])
@pytest.mark.parametrize(
    "words",
    [
        "p50 <= 20ms", "p90 <= 20ms", "p95 <= 20ms", "p99 <= 20ms", "size <= 2MB", "shrink >= 3x",
        "drop <= 1pp", "top1 >= 80%", "top5 >= 95%", "churn <= 2%", "load <= 100ms", "first <= 40ms",
        "memory <= 200MB", "p99.9 <= 20ms", "p95[sustained] <= 20ms", "throughput >= 50/s", "energy <= 100mJ",
        "memory[steady] <= 200MB", "load[cold] <= 100ms", "load[warm] <= 100ms", "coverage >= 80%",
        "size <= 0.5x baseline", "load <= 1.2x baseline",
        "drop <= 1%rel", "top1[class cat] >= 80%", "drop[worst class] <= 5pp", "churn[weather=night] <= 5%",
    ],
)  # fmt: skip
def test_every_quantity_is_found_at_every_confidence(words: str, confidence: float) -> None:
    """A sensible bound of each quantity is kept by something and broken by something."""
    gate = replace(parse_gate(words), confidence=confidence)
    found = only(check_gates([gate], None, "nothing"))
    assert found.problem is None


@pytest.mark.parametrize(
    "words",
    [
        "f1 >= 0.8", "f1 drop <= 0.05", "rmse <= 0.3", "rmse drop <= 10%rel", "mae[worst weather] <= 0.3",
        "metric >= 0.7", "metric <= 3", "metric drop <= 0.05", "p95 <= 1.05x baseline", "p50 <= -20%rel",
        "p99 <= 20ms at tag:lab, ssh://*", "p99 <= 20ms on net* at local:*",
    ],
)  # fmt: skip
def test_metrics_ratios_and_devices_are_found(words: str) -> None:
    """Gates on metrics, against the baseline and of some devices can pass and can fire, too."""
    assert only(from_nothing(words)).problem is None


def test_every_quantity_has_an_injection() -> None:
    """No quantity is without a way to make it worse: whoever adds one says how."""
    assert set(INJECTIONS) == set(Quantity)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("p99 <= 50ns", "cannot pass: even 10,000× faster it is FAIL"),
        ("p99 <= 500s", "cannot fire: even 10,000× slower it is PASS"),
        ("size <= 10B", "cannot pass: even 10,000× smaller it is FAIL"),
        ("size <= 100GB", "cannot fire: even 10,000× larger it is PASS"),
        ("shrink >= 0x", "cannot fire"),
        ("drop <= 100pp", "cannot fire: even 100 pp more wrong it is PASS"),
        ("churn <= 100%", "cannot fire"),
        ("churn < 0%", "cannot pass"),
        ("top1 >= 0%", "cannot fire"),
        ("top1 >= 100%", "cannot pass: even 100 pp more right it is INCONCLUSIVE"),
        ("shrink >= 3.5x on fp32", "it applies to none: nothing is held against itself"),
    ],
)
def test_a_bound_that_nothing_meets_or_breaks_is_named(words: str, says: str) -> None:
    """A wrong unit, a bound beyond all that can be, a gate on what is compared with itself."""
    found = from_nothing(words)
    assert not found.sound
    assert says in str(only(found).problem)


@pytest.mark.parametrize("on", ["net.w8a8.tflite", "net*", "*.w8?8.on[nm]x", "resnet[!a]50", "onnx", "w8a32"])
def test_a_pattern_gets_an_artifact_that_it_matches(on: str) -> None:
    """Whatever `on` names, the evidence holds one."""
    gate = parse_gate(f"p99 <= 20ms on {on}")
    assert any(gate.matches(case.measurement.artifact) for case in synthetic_cases(gate))
    assert from_nothing(str(gate)).sound


def test_bounds_near_the_end_of_a_share_get_the_samples_they_need() -> None:
    """A drop of 0.05 pp, and an accuracy of 99.95 %, can be shown: the evidence is large enough."""
    assert from_nothing("drop <= 0.05pp", "top1 >= 99.95%", "churn <= 0.05%", "drop <= 0pp").sound
    assert from_nothing("drop <= 0.1pp @99.9999%", "top1 >= 99.9% @99.9999%", "churn <= 0.1% @50%").sound


def test_the_same_gates_give_the_same_answer() -> None:
    """Nothing of the self-test depends on chance."""
    words = ("p99 <= 20ms", "drop <= 1pp", "churn <= 2%", "load <= 60ms")
    assert from_nothing(*words) == from_nothing(*words)


def test_needless_gates_are_noted() -> None:
    """A looser gate beside a stricter one decides nothing, a repeated one neither; others stay unnamed."""
    found = from_nothing("p99 <= 50ms", "p99 <= 60ms", "p99 <= 50ms", "p99 <= 40ms on w8a8", "p95 <= 60ms")
    assert found.notes == (
        "`p99 <= 60ms` decides nothing: `p99 <= 50ms` is as strict",
        "`p99 <= 50ms` decides nothing: `p99 <= 50ms` is as strict",
    )
    assert from_nothing("p99 <= 50ms @99%", "p99 <= 50ms").notes == (
        "`p99 <= 50ms` decides nothing: `p99 <= 50ms @99%` is as strict",
    )


# --- against a run --------------------------------------------------------------------------------


def test_the_smallest_planted_slowdown_is_named() -> None:
    """10 ms against 25 ms: 2× passes still, 3× is the smallest of the planted that fails."""
    found = against(measured(10), "p50 <= 25ms on w8a8")
    check = only(found)
    assert check.passes is not None
    assert check.fails is not None
    assert (check.passes.effect, check.fails.effect) == ("as it is", "3× slower")
    assert check.fails.value == pytest.approx(30, rel=0.02)
    assert check.artifact == INT8.id


def test_a_run_that_fails_shows_what_would_pass() -> None:
    """10 ms against 5 ms fails as it is, and passes 3× faster."""
    check = only(against(measured(10), "p50 <= 5ms on w8a8"))
    assert check.passes is not None
    assert check.fails is not None
    assert (check.passes.effect, check.fails.effect) == ("3× faster", "as it is")


def test_a_bound_in_another_unit_cannot_fire() -> None:
    """`p99 <= 50s` where 50 ms was meant: a thousandfold slowdown of 10 ms does not break it."""
    check = only(against(measured(10), "p99 <= 50s on w8a8"))
    assert "cannot fire: even 1,000× slower it is PASS" in str(check.problem)


def test_a_sample_too_small_to_pass_is_named() -> None:
    """298 calls never pass a p99 gate at 95 %, however fast: the run's own number of calls is kept."""
    check = only(against(measured(10, n=297), "p99 <= 50ms on w8a8"))
    assert "cannot pass: even 1,000× faster it is INCONCLUSIVE" in str(check.problem)
    assert "297 calls do not bound p99" in str(check.problem)


def test_a_disturbed_run_still_shows_whether_gates_can_fire() -> None:
    """Others on its cores answer no gate of a run; in a self-test the same run's gates pass and fire."""
    disturbed = {"validity": Validity.DEGRADED, "disturbances": ("others held the cores",)}
    run = Builder().add(INT8, latencies(10), **disturbed).run()
    assert only(against(run, "p99 <= 50ms")).problem is None


def test_what_was_not_measured_cannot_be_answered() -> None:
    """Without data no accuracy, of a summary no percentile, on an emulated device no latency."""
    bare = Builder().add(FP32, latencies(10)).add(INT8, latencies(10)).run()
    assert "cannot answer: no evaluation data" in str(only(against(bare, "drop <= 2pp")).problem)
    summed = Builder().add(INT8, latencies(10)).run()
    (first, *_) = summed.evidence.measurements
    sessions = tuple(replace(s, summary=Summary("a tool", 200, 1e7)) for s in first.sessions)
    told = replace(summed.evidence, measurements=(replace(first, sessions=sessions),))
    assert "cannot answer: a tool kept a summary" in str(
        only(against(replace(summed, evidence=told), "p99 <= 50ms")).problem
    )
    emulated = Builder().add(INT8, latencies(10), device=replace(DEVICE, emulated=True)).run()
    assert "the device is emulated" in str(only(against(emulated, "p99 <= 50ms")).problem)


def test_gates_on_a_runs_own_metric_and_baseline_can_fire() -> None:
    """In a run: a user's metric is moved where it was drawn, and times against the baseline's."""
    run, record = measured(), MetricRecord("m.py:score", "ab" * 32)
    known = [replace(m, accuracy=replace(m.accuracy, metric=record)) for m in run.evidence.measurements]
    drawn = {}
    for seed, (key, answered) in enumerate(run.answers.items()):
        values = np.random.default_rng(seed).normal(5, 0.01, 300)
        drawn[key] = replace(answered, draws=Draws(5.0, values, values[:50]))
    held = Run(replace(run.evidence, measurements=tuple(known)), run.samples, drawn)
    check = against(held, "metric >= 4", "metric drop <= 2%rel", "p50 <= 1.5x baseline")
    assert [found.problem for found in check.checks] == [None] * 4
    assert [found.fails.effect.split()[-1] for found in check.checks if found.fails] == [
        "worse",
        "worse",
        "worse",
        "slower",
    ]


def test_a_pattern_that_matches_nothing_is_named() -> None:
    """A misspelt artifact is a gate that cannot fire."""
    check = only(against(measured(), "p99 <= 50ms on nett*"))
    assert check.problem == "cannot fire: no artifact matches it"


def test_an_invalid_run_can_still_test_its_gates() -> None:
    """The question is whether the gates can answer, not whether this run may."""
    run = measured()
    spoilt = [replace(m, validity=Validity.INVALID) for m in run.evidence.measurements]
    invalid = replace(run, evidence=replace(run.evidence, measurements=tuple(spoilt)))
    assert against(invalid, "p50 <= 25ms on w8a8").sound


def test_the_demo_can_fire_on_every_artifact() -> None:
    """Each gate of the checklist on each of six artifacts that it applies to, and the run stays as it was."""
    run = digits(wrong=10).run()
    before = judge(run.evidence, DEFAULT_GATES, run.samples, run.answers)
    found = check_gates(DEFAULT_GATES, cases_of(run.evidence, run.samples, run.answers), "demo")
    assert found.sound
    assert len(found.checks) == 6 + 6 + 2 + 5
    assert judge(run.evidence, DEFAULT_GATES, run.samples, run.answers) == before


# --- what is planted ------------------------------------------------------------------------------


def case(run: Run) -> Case:
    """Return the int8 file's case."""
    return Case(run.evidence, run.samples, run.answers, (INT8.id, URI))


@pytest.mark.parametrize("points", POINTS[1:-1])
def test_a_planted_loss_is_as_large_as_it_says(points: float) -> None:
    """Of 600 samples as many more are wrong, whether by top-1, top-5 or unlike the baseline."""
    made = case(measured())
    n, logits, labels = 600, *_arrays(made)
    for quantity in (Quantity.TOP1, Quantity.TOP5):
        worse, _ = _arrays(INJECTIONS[quantity].worse(made, points))
        for k in (1, 5):
            lost = topk(logits, labels, k) - topk(worse, labels, k)
            assert lost == pytest.approx(min(round(n * points / 100), 597) / n)
    unlike, _ = _arrays(INJECTIONS[Quantity.CHURN].worse(made, points))
    base = made.answers[FP32.id, URI].logits
    assert churn(base, unlike) - churn(base, logits) == pytest.approx(round(n * points / 100) / n)


def test_a_planted_gain_rights_what_was_wrong() -> None:
    """With all that can be righted, top-1 is 100 %; with all that can be alike, churn is 0."""
    made = case(measured())
    righted, labels = _arrays(INJECTIONS[Quantity.TOP1].better(made, 100))
    assert top1(righted, labels) == 1
    alike, _ = _arrays(INJECTIONS[Quantity.CHURN].better(made, 100))
    assert churn(made.answers[FP32.id, URI].logits, alike) == 0


def test_a_planted_slowdown_is_of_every_call_and_of_nothing_else() -> None:
    """Every call of the one artifact takes three times as long; the other's and all answers stay."""
    run = measured()
    slower = INJECTIONS[Quantity.P99].worse(case(run), 3)
    assert np.allclose(slower.samples[INT8.id, URI].latency_ns, 3 * run.samples[INT8.id, URI].latency_ns)
    assert slower.samples[FP32.id, URI] is run.samples[FP32.id, URI]
    assert slower.answers is run.answers
    longer = INJECTIONS[Quantity.LOAD].worse(case(run), 2).measurement.sessions
    assert [session.load_ns for session in longer] == [8 * MS, 10 * MS, 12 * MS]


def _arrays(made: Case) -> tuple[np.ndarray, np.ndarray]:
    found = made.answers[made.key]
    return found.logits, found.labels


# --- in words -------------------------------------------------------------------------------------


def test_the_table_says_what_fires_and_what_does_not() -> None:
    """A sign, the effects, the reason of what cannot, and how many can."""
    text = gates_table(from_nothing("p99 <= 50ms", "drop <= 100pp"))
    lines = text.splitlines()
    assert lines[1].split() == "✓ p99 <= 50ms model.fp32.onnx as it is 5× slower".split()
    assert lines[2].startswith("✗  drop <= 100pp")
    assert "✗ drop <= 100pp on model.fp16.onnx cannot fire: even 100 pp more wrong" in text
    assert lines[-1] == "1 of 2 can pass and can fail; held against: nothing"
