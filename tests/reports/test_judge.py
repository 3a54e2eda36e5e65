"""The verdict on evidence whose statistics are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evidence_builders import DEVICE, MS, URI, Builder, Run, answers, artifact, digits, latencies, timing

from edgebench.artifact import Format, Precision
from edgebench.benchmark.evidence import Answers, LatencySamples, Validity
from edgebench.errors import ConfigError
from edgebench.reports.gate_words import DEFAULT_GATES, parse_gate
from edgebench.reports.judge import judge
from edgebench.reports.verdict import Answer, Decision, GateResult, Verdict
from edgebench.reports.words import headline

FP32 = artifact("net", Precision.FP32, Format.ONNX, 4_000_000)
INT8 = artifact("net", Precision.W8A8, Format.ONNX, 1_000_000)


def verdict(run: Run, *words: str) -> Verdict:
    """Return the verdict by the gates given, or by the edge checklist."""
    gates = tuple(map(parse_gate, words)) or DEFAULT_GATES
    return judge(run.evidence, gates, run.samples, run.answers)


def only(run: Run, words: str, name: str = INT8.id) -> GateResult:
    """Return the one gate's result on the named artifact."""
    found = verdict(run, words)
    return next(a for a in found.artifacts if a.artifact == name).gates[0]


def one(timed: LatencySamples | None = None, answered: Answers | None = None, **changes: object) -> Run:
    """Return a run of a single int8 artifact."""
    return Builder().add(INT8, timed, answered, **changes).run()


def at(values_ms: list[float], count: int = 1) -> LatencySamples:
    """Return timings with these values, in milliseconds."""
    values = np.array([round(v * MS) for v in values_ms], np.int64)
    return LatencySamples(values, np.repeat(np.arange(count), len(values) // count), values[:0])


def pair(n: int, lost: int, gained: int = 0) -> Run:
    """Return an fp32 baseline and an int8 file that differ on lost + gained of n samples."""
    base = answers(n, range(lost, lost + gained))
    return Builder().add(FP32, latencies(1), base).add(INT8, latencies(1), answers(n, range(lost))).run()


def test_the_demo_is_go() -> None:
    """Small, fast, accurate artifacts in two formats: every gate passes, and the run is GO."""
    found = verdict(digits(wrong=10).run())
    assert found.decision is Decision.GO
    assert len(found.artifacts) == 6
    assert all(result.answer is Answer.PASS for a in found.artifacts for result in a.gates)
    assert found.criteria == ("p99 <= 50ms", "size <= 10MB", "shrink >= 3.5x on w8a8", "drop <= 2pp")


def test_one_failing_artifact_is_no_go() -> None:
    """One gate failed on one artifact: that artifact and the run are NO-GO, with the reason."""
    builder = digits(wrong=10)
    builder.samples["digits.fp16.onnx", URI] = latencies(61)
    found = verdict(builder.run())
    assert found.decision is Decision.NO_GO
    decisions = {a.artifact: a.decision for a in found.artifacts}
    assert decisions.pop("digits.fp16.onnx") is Decision.NO_GO
    assert set(decisions.values()) == {Decision.GO}
    failed = next(a for a in found.artifacts if a.decision is Decision.NO_GO)
    assert "p99 <= 50ms: p99 is at least" in failed.reasons[0]


@pytest.mark.parametrize(
    ("p50_ms", "answer"), [(10, Answer.PASS), (90, Answer.FAIL), (44.5, Answer.INCONCLUSIVE)]
)
def test_the_interval_decides(p50_ms: float, answer: Answer) -> None:
    """Inside is PASS, outside is FAIL, astride is INCONCLUSIVE with how many calls would settle it."""
    result = only(one(latencies(p50_ms)), "p99 <= 50ms")
    assert result.answer is answer
    assert (result.needed is None) == (answer is not Answer.INCONCLUSIVE)
    assert result.interval.lower is not None
    assert result.interval.upper is not None
    assert result.interval.lower <= (result.value or 0) <= result.interval.upper


def test_p99_needs_299_calls() -> None:
    """298 calls far below the bound do not pass a p99 gate at 95 %; 299 do."""
    short = only(one(at([1.0] * 298)), "p99 <= 50ms")
    assert short.answer is Answer.INCONCLUSIVE
    assert short.interval.upper is None
    assert short.value is None
    assert short.needed == "at least 299 calls in all"
    assert "298 calls do not bound p99 from above" in short.reason
    assert only(one(at([1.0] * 299)), "p99 <= 50ms").answer is Answer.PASS


def test_few_slow_calls_are_enough_to_fail() -> None:
    """Ten calls of 60 ms prove no p99, and disprove p50 <= 50ms."""
    assert only(one(at([60.0] * 10)), "p50 <= 50ms").answer is Answer.FAIL


def test_a_strict_bound_is_not_met_at_the_bound() -> None:
    """Exactly 1 MB passes `size <= 1MB` and fails `size < 1MB`."""
    assert only(one(), "size <= 1MB").answer is Answer.PASS
    assert only(one(), "size < 1MB").answer is Answer.FAIL


def test_values_are_in_the_unit_of_the_gate() -> None:
    """A gate in MiB is answered in MiB."""
    result = only(one(), "size <= 10MiB")
    assert result.unit == "MiB"
    assert result.value == pytest.approx(1e6 / 2**20)
    assert result.interval.lower == result.interval.upper == result.value


def test_shrink_is_against_fp32_of_the_same_format() -> None:
    """4 MB to 1 MB is 4 times, whatever the fp32 file of another format weighs."""
    other = artifact("net", Precision.FP32, Format.TFLITE, 9_000_000)
    run = Builder().add(other).add(FP32).add(INT8).run()
    result = only(run, "shrink >= 3.5x on w8a8")
    assert result.answer is Answer.PASS
    assert result.value == 4.0


def test_shrink_prefers_fp32_of_the_same_name() -> None:
    """Of two models in one run, each is held against its own fp32 file."""
    other = replace(artifact("big", Precision.FP32, Format.ONNX, 40_000_000))
    assert only(Builder().add(other).add(FP32).add(INT8).run(), "shrink >= 3.5x on w8a8").value == 4.0


def test_shrink_without_fp32_is_inconclusive() -> None:
    """No fp32 file of the format: nothing is guessed."""
    result = only(one(), "shrink >= 3.5x")
    assert result.answer is Answer.INCONCLUSIVE
    assert "no one fp32 onnx file" in result.reason


def test_the_baseline_is_not_held_against_itself() -> None:
    """Drop, churn and shrink skip the baseline; with nothing else measured the run says so."""
    found = verdict(pair(540, 0), "drop <= 2pp", "size <= 10MB")
    baseline = next(a for a in found.artifacts if a.artifact == FP32.id)
    assert [result.gate for result in baseline.gates] == ["size <= 10MB"]
    alone = Builder().add(FP32, latencies(1), answers(50)).run()
    assert "gate `drop <= 2pp` applied to no artifact" in verdict(alone, "drop <= 2pp", "p99 <= 5ms").notes


def test_a_gate_for_devices_that_were_not_measured_has_not_passed() -> None:
    """Its run is no GO, with the gate in the headline; NO-GO stays NO-GO."""
    found = verdict(one(latencies(10)), "size <= 10MB", "p99 <= 50ms at tag:lba", "p50 <= 1s at bench-*")
    assert found.decision is Decision.INCONCLUSIVE
    assert [a.decision for a in found.artifacts] == [Decision.GO]
    assert found.unanswered == ("p99 <= 50ms at tag:lba",)
    assert headline(found) == "No device was measured that the gate p99 <= 50ms at tag:lba names."
    assert "gate `p99 <= 50ms at tag:lba` applied to no artifact" in found.notes
    assert verdict(one(latencies(10)), "size <= 1kB", "p99 <= 50ms at pi").decision is Decision.NO_GO
    assert verdict(one(latencies(10)), "size <= 10MB", "p99 <= 50ms at pi, local:*").decision is Decision.GO


@pytest.mark.parametrize(
    ("n", "lost", "answer"),
    [
        (540, 0, Answer.PASS),
        (100, 0, Answer.INCONCLUSIVE),
        (540, 60, Answer.FAIL),
        (200, 4, Answer.INCONCLUSIVE),
    ],
)
def test_drop_is_judged_by_the_paired_interval(n: int, lost: int, answer: Answer) -> None:
    """540 samples without a loss prove a drop under 2 pp, 100 do not; 60 lost of 540 disprove it."""
    result = only(pair(n, lost), "drop <= 2pp")
    assert result.answer is answer
    assert result.value == pytest.approx(100 * lost / n)


def test_200_samples_cannot_judge_half_a_point() -> None:
    """One wrong answer more in 200 is half a point: inconclusive, with the samples that would settle it."""
    result = only(pair(200, 3, 2), "drop <= 1pp")
    assert result.answer is Answer.INCONCLUSIVE
    assert "about" in (result.needed or "")
    assert "samples in all" in (result.needed or "")


def test_an_estimate_on_the_bound_is_never_settled() -> None:
    """4 lost of 200 is 2 pp: no number of samples is promised."""
    assert "lies on the bound" in (only(pair(200, 4), "drop <= 2pp").needed or "")


def test_gains_are_a_negative_drop() -> None:
    """A candidate that is better than the baseline has a negative drop and passes."""
    result = only(pair(540, 0, 9), "drop <= 0pp")
    assert result.value is not None
    assert result.value < 0
    assert result.answer is Answer.PASS


def test_absolute_accuracy_is_judged_too() -> None:
    """`top1 >= 90%` passes at 540 of 540 and is open at 30 of 30."""
    assert only(pair(540, 0), "top1 >= 90%").answer is Answer.PASS
    few = only(pair(20, 0), "top1 >= 90%")
    assert few.answer is Answer.INCONCLUSIVE
    assert few.needed is not None


def test_churn_sees_what_accuracy_hides() -> None:
    """Ten lost and ten gained: the drop is 0 pp, and 20 of 540 answers changed."""
    run = pair(540, 10, 10)
    assert only(run, "drop <= 2pp").value == 0
    assert only(run, "churn <= 50%").value == pytest.approx(100 * 20 / 540)


def test_top5_of_few_classes_is_refused() -> None:
    """Top-5 of five classes is always right, so it is no gate."""
    run = one(None, answers(40, classes=5))
    assert "says nothing about 5 classes" in only(run, "top5 >= 90%").reason
    assert only(one(None, answers(400)), "top5 >= 90%").answer is Answer.PASS


def test_without_evaluation_data_the_drop_is_open() -> None:
    """No labelled data: the drop gate is INCONCLUSIVE and says which option gives it."""
    run = Builder().add(FP32, latencies(1)).add(INT8, latencies(1)).run()
    result = only(run, "drop <= 2pp")
    assert result.answer is Answer.INCONCLUSIVE
    assert result.reason == "no evaluation data was given"
    assert "--data" in (result.needed or "")
    assert verdict(run).decision is Decision.INCONCLUSIVE


def test_without_a_baseline_the_drop_is_open() -> None:
    """A foreign file alone has nothing to be held against."""
    assert "no baseline" in only(one(latencies(1), answers(90)), "drop <= 2pp").reason


def test_answers_to_other_data_are_not_compared() -> None:
    """Two artifacts that answered different data are not compared, even with like labels."""
    run = pair(540, 0)
    first, second = run.evidence.measurements
    assert second.accuracy is not None
    changed = replace(second, accuracy=replace(second.accuracy, fingerprint="00" * 32, data="other.npz"))
    run = replace(run, evidence=replace(run.evidence, measurements=(first, changed)))
    assert "answered other data" in only(run, "drop <= 2pp").reason


def test_a_nan_can_not_pass() -> None:
    """One NaN among 540 answers: counted as wrong, reported, and no accuracy gate passes."""
    run = pair(540, 0)
    run.answers[INT8.id, URI].logits[3, 4] = np.nan
    result = only(run, "drop <= 2pp")
    assert result.answer is Answer.INCONCLUSIVE
    assert result.value == pytest.approx(100 / 540)
    assert "1 answers hold NaN" in result.reason
    found = verdict(run, "size <= 10MB")
    assert any("NaN" in reason for a in found.artifacts for reason in a.reasons)


@pytest.mark.parametrize("words", ["p99 <= 50ms", "load <= 1s @50%", "size <= 10MB", "top1 >= 50%"])
def test_nothing_invalid_passes(words: str) -> None:
    """An INVALID measurement passes no gate, and the reason is its own."""
    run = one(
        latencies(1), answers(90), validity=Validity.INVALID, validity_reasons=("clock fell to 0.8 GHz",)
    )
    result = only(run, words)
    assert result.answer is Answer.INCONCLUSIVE
    assert "clock fell to 0.8 GHz" in result.reason
    assert result.needed == "a valid measurement"


def test_an_invalid_measurement_fails_nothing_but_facts() -> None:
    """A slow reading of an INVALID measurement proves nothing; a file too large is too large."""
    run = one(latencies(90), validity=Validity.INVALID)
    assert only(run, "p99 <= 50ms").answer is Answer.INCONCLUSIVE
    assert only(run, "size <= 10KB").answer is Answer.FAIL


def test_a_degraded_measurement_is_judged_with_its_reasons() -> None:
    """DEGRADED keeps its answers, and its reasons stand beside them."""
    run = one(latencies(1), validity=Validity.DEGRADED, validity_reasons=("no frequency sensor",))
    found = verdict(run, "p99 <= 50ms")
    assert found.decision is Decision.GO
    assert "DEGRADED: no frequency sensor" in found.artifacts[0].reasons[0]


def test_a_disturbed_time_answers_nothing() -> None:
    """Others on its cores: times neither pass nor fail, with the reason; memory, size and accuracy do."""
    why = "others held the cores: the process waited 9.0 % of its time"
    run = (
        Builder()
        .add(
            INT8,
            latencies(1, n=3000, count=10),
            answers(540),
            validity=Validity.DEGRADED,
            validity_reasons=(why,),
            disturbances=(why,),
        )
        .run()
    )
    for words in ("p99 <= 50ms", "p99 <= 1us", "load <= 1s", "first <= 1us"):
        assert only(run, words).answer is Answer.INCONCLUSIVE
        assert why in only(run, words).reason
    assert only(run, "memory <= 1GB").answer is Answer.PASS
    assert only(run, "size <= 10KB").answer is Answer.FAIL
    assert only(run, "top1 >= 50%").answer is Answer.PASS
    assert verdict(run, "p99 <= 50ms").decision is Decision.INCONCLUSIVE


def test_an_emulator_proves_no_latency() -> None:
    """An emulated device's times neither pass nor fail; its answers count."""
    emulated = replace(DEVICE, emulated=True)
    run = Builder().add(INT8, latencies(1), answers(540), device=emulated).run()
    assert only(run, "p99 <= 50ms").answer is Answer.INCONCLUSIVE
    assert only(run, "p99 <= 1us").answer is Answer.INCONCLUSIVE
    assert only(run, "top1 >= 50%").answer is Answer.PASS


def test_a_failure_is_inconclusive() -> None:
    """What could not be measured is INCONCLUSIVE with the reason, gate by gate."""
    found = verdict(one(failure="the runtime ended with SIGABRT"), "p99 <= 50ms", "size <= 10MB")
    assert found.decision is Decision.INCONCLUSIVE
    assert {r.answer for r in found.artifacts[0].gates} == {Answer.INCONCLUSIVE}
    assert all("SIGABRT" in r.reason for r in found.artifacts[0].gates)
    assert found.artifacts[0].reasons == ("could not be measured: the runtime ended with SIGABRT",)


def test_sessions_that_contradict_each_other_settle_nothing() -> None:
    """Two quick processes and a slow one: the pooled median is quick, and the gate stays open."""
    timed = at([40.0] * 400 + [60.0] * 200, count=3)
    result = only(one(timed), "p50 <= 50ms")
    assert result.answer is Answer.INCONCLUSIVE
    assert "by session 2 alone, p50 is at least 60.0 ms" in result.reason


def test_sessions_timed_unlike_are_not_pooled() -> None:
    """Sessions of one and of four threads do not make one sample; the field is named."""
    run = one(latencies(1))
    measurement = run.evidence.measurements[0]
    changed = replace(measurement.sessions[1], timing=timing(threads=4))
    sessions = (measurement.sessions[0], changed, measurement.sessions[2])
    run = replace(
        run, evidence=replace(run.evidence, measurements=(replace(measurement, sessions=sessions),))
    )
    assert "they differ in threads 1 and 4" in only(run, "p99 <= 50ms").reason
    assert "threads" in only(run, "load <= 1s").reason


def test_sessions_of_unlike_coverage_are_not_pooled() -> None:
    """A session whose accelerator took other nodes is another thing timed; both coverages are named."""
    run = one(latencies(1))
    measurement = run.evidence.measurements[0]
    first, *rest = measurement.sessions
    sessions = (replace(first, coverage="30 of 31 nodes"), *rest)
    run = replace(
        run, evidence=replace(run.evidence, measurements=(replace(measurement, sessions=sessions),))
    )
    result = only(run, "p99 <= 50ms")
    assert result.answer is Answer.INCONCLUSIVE
    assert "they differ in coverage 30 of 31 nodes and not told" in result.reason


def test_artifacts_timed_unlike_are_said_to_be_incomparable() -> None:
    """A run that mixes thread counts says so; a different runtime is no difference to note."""
    run = digits(wrong=10).run()
    assert verdict(run).notes == ()
    first, *rest = run.evidence.measurements
    changed = tuple(replace(s, timing=replace(s.timing, threads=2)) for s in rest[0].sessions)
    run = replace(
        run,
        evidence=replace(run.evidence, measurements=(first, replace(rest[0], sessions=changed), *rest[1:])),
    )
    assert any("not comparable: threads 1 and 2" in note for note in verdict(run).notes)


def test_load_needs_five_sessions() -> None:
    """Three sessions do not bound the median load time at 95 %; five do."""
    assert only(one(latencies(1)), "load <= 1s").needed == "at least 5 sessions"
    assert only(one(latencies(1, 600, 5)), "load <= 1s").answer is Answer.PASS
    assert only(one(latencies(1, 600, 5)), "memory <= 1MB").answer is Answer.FAIL
    assert only(one(latencies(1, 600, 5)), "first <= 2.02ms").needed == "more sessions"


def test_gates_without_an_artifact_are_an_error() -> None:
    """No gate that applies: no verdict, and never GO."""
    with pytest.raises(ConfigError, match="no gate applies"):
        verdict(one(latencies(1)), "p99 <= 50ms on tflite")
    run = one(latencies(1))
    with pytest.raises(ConfigError, match="there are no gates"):
        judge(run.evidence, (), run.samples, run.answers)


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    """A misspelt artifact must not leave its gate out in silence."""
    with pytest.raises(ConfigError, match=r"no artifact matches .net\.w8a8\.onx") as caught:
        verdict(one(latencies(1)), "p99 <= 50ms", "size <= 1MB on net.w8a8.onx")
    assert caught.value.hint == "did you mean `net.w8a8.onnx`?"


def test_artifacts_without_gates_are_not_judged() -> None:
    """Gates on w8a8 alone leave fp32 out of the decision and in the notes."""
    found = verdict(pair(540, 0), "size <= 2MB on w8a8")
    assert found.decision is Decision.GO
    assert [a.artifact for a in found.artifacts] == [INT8.id]
    assert found.notes == (f"{FP32.id} was not judged: no gate applies to it",)


def test_the_verdict_is_a_function_of_its_arguments() -> None:
    """Judging twice gives equal verdicts; the criteria's hash changes with the criteria alone."""
    run = digits().run()
    assert verdict(run) == verdict(run)
    assert verdict(run).criteria_sha256 != verdict(run, "p99 <= 51ms").criteria_sha256
