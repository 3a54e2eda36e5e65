"""Gates against the baseline, of groups of samples, of metrics, and on what is measured only if asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from evidence_builders import DEVICE, MS, Builder, Run, answers, artifact, latencies, sessions, timing

from edgebench.artifact import Format, Precision
from edgebench.benchmark.distributions import normal_quantile
from edgebench.benchmark.evidence import Answers, LatencySamples, MetricRecord, Soak, Timing
from edgebench.benchmark.metric_draws import draw_metric
from edgebench.benchmark.metrics import METRICS, user_metric
from edgebench.benchmark.workloads.records import (
    Cache,
    Energy,
    LoadRun,
    Process,
    ThroughputRun,
    Unavailable,
    Workloads,
)
from edgebench.devices.readings import Core, Readings
from edgebench.errors import ConfigError
from edgebench.reports.gate_words import parse_gate
from edgebench.reports.groups import extreme
from edgebench.reports.judge import judge
from edgebench.reports.quantities import Estimate
from edgebench.reports.verdict import Answer, Decision, GateResult

FP32 = artifact("net", Precision.FP32, Format.ONNX, 40_000)
INT8 = artifact("net", Precision.W8A8, Format.ONNX, 10_000)
N = 1000


def only(run: Run, words: str, name: str = INT8.id) -> GateResult:
    """Return the one gate's result on one artifact."""
    verdict = judge(run.evidence, [parse_gate(words)], run.samples, run.answers)
    return next(v.gates[0] for v in verdict.artifacts if v.artifact == name)


def timed(candidate_ms: float, **changes: object) -> Run:
    """Return a baseline of 10 ms and a candidate, 900 calls each."""
    made = Builder().add(FP32, latencies(10, n=900, seed=1))
    return made.add(INT8, latencies(candidate_ms, n=900, seed=2), **changes).run()


def answered(candidate: Answers, baseline: Answers, **record: object) -> Run:
    """Return a baseline and a candidate that answered the same samples."""
    made = Builder().add(FP32, answered=baseline).add(INT8, answered=candidate).run()
    changed = [
        replace(m, accuracy=replace(m.accuracy, **record)) for m in made.evidence.measurements if m.accuracy
    ]
    return replace(made, evidence=replace(made.evidence, measurements=tuple(changed)))


# --- against the baseline -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "candidate_ms", "answer"),
    [
        ("p50 <= 1.05x baseline", 10.0, Answer.PASS),
        ("p50 <= 1.05x baseline", 12.0, Answer.FAIL),
        ("p50 <= +5%rel", 10.5, Answer.INCONCLUSIVE),
        ("p50 <= -20%rel", 7.0, Answer.PASS),
        ("p95 <= -20%rel", 9.0, Answer.FAIL),
    ],
)
def test_a_ratio_is_judged_by_its_interval(words: str, candidate_ms: float, answer: Answer) -> None:
    """The ratio of a percentile passes, fails or stays open as its whole interval lies."""
    found = only(timed(candidate_ms), words)
    assert found.answer is answer
    assert (found.needed is not None) == (answer is Answer.INCONCLUSIVE)


def test_a_change_is_shown_in_percent() -> None:
    """-20%rel: value and interval are changes against the baseline, in per cent."""
    found = only(timed(7.0), "p50 <= -20%rel")
    assert found.value == pytest.approx(-30, abs=2)
    assert found.interval.lower is not None
    assert found.interval.upper is not None
    assert found.interval.lower < -30 < found.interval.upper < -20
    assert "p50 is at most -2" in found.reason


def test_the_baseline_is_not_held_against_its_own_times() -> None:
    """A relative gate applies to the candidates alone."""
    run = timed(10.0)
    verdict = judge(run.evidence, [parse_gate("p50 <= 1.05x baseline")], run.samples, run.answers)
    assert [v.artifact for v in verdict.artifacts] == [INT8.id]


def test_a_baseline_from_another_device_is_refused() -> None:
    """Times of two devices say nothing of the artifact: INCONCLUSIVE, and both devices are named."""
    other = replace(DEVICE, uri="ssh://orin-1")
    made = Builder().add(FP32, latencies(10), device=other).add(INT8, latencies(10)).run()
    found = only(made, "p95 <= 1.05x baseline")
    assert found.answer is Answer.INCONCLUSIVE
    assert "another device: ssh://orin-1, not local:cpu" in found.reason
    assert only(made, "size <= 0.5x baseline").answer is Answer.PASS


def test_unlike_definitions_are_refused_by_their_field() -> None:
    """A candidate of four threads is not held against a baseline of one; the field is named."""
    unlike = sessions(3, 300, INT8.id, timing(threads=4))
    found = only(timed(10.0, sessions=unlike), "p95 <= 1.05x baseline")
    assert found.answer is Answer.INCONCLUSIVE
    assert "threads 4 and 1" in found.reason
    assert "the baseline in the same run" in str(found.needed)


def test_a_p99_ratio_needs_the_calls_of_a_p99() -> None:
    """200 calls bound no p99, and no ratio of two."""
    made = Builder().add(FP32, latencies(10, n=201)).add(INT8, latencies(10, n=201)).run()
    assert only(made, "p99 <= 2x baseline").answer is Answer.INCONCLUSIVE


def test_what_a_session_has_once_is_paired_by_session() -> None:
    """Six sessions, each a fifth slower to load than the baseline's: the median ratio is 1.2."""
    made = Builder()
    for one, factor in ((FP32, 1.0), (INT8, 1.2)):
        own = tuple(
            replace(session, load_ns=round(factor * (10 + 5 * session.index) * MS))
            for session in sessions(6, 100, one.id, timing())
        )
        made.add(one, latencies(10, count=6), sessions=own)
    assert only(made.run(), "load <= 1.3x baseline").answer is Answer.PASS
    found = only(made.run(), "load <= 1.1x baseline")
    assert found.answer is Answer.FAIL
    assert found.value == pytest.approx(1.2)


def test_a_drop_relative_to_what_the_baseline_has_right() -> None:
    """10 lost of 500 that the baseline has right are 2 %, though 1 pp of 1,000 samples."""
    baseline, candidate = answers(N, range(500)), answers(N, range(510))
    found = only(answered(candidate, baseline), "drop <= 5%rel")
    assert found.answer is Answer.PASS
    assert found.value == pytest.approx(2.0)
    assert only(answered(candidate, baseline), "drop <= 0.5%rel").answer is Answer.FAIL


# --- groups of samples ----------------------------------------------------------------------------


def test_a_class_may_fail_where_the_whole_passes() -> None:
    """A class that loses a third of its answers is 3 pp of all: only its own gate sees it."""
    run = answered(answers(N, [i for i in range(N) if i % 10 == 3][:33]), answers(N))
    assert only(run, "drop <= 5pp").answer is Answer.PASS
    assert only(run, "drop[class 3] <= 5pp").answer is Answer.FAIL
    assert only(run, "drop[class 4] <= 5pp").answer is Answer.PASS
    worst = only(run, "drop[worst class] <= 5pp")
    assert worst.answer is Answer.FAIL
    assert "drop[worst class] (3) is" in worst.reason


def test_classes_are_found_by_their_names() -> None:
    """A class has the name that the data gives it; one misspelt is INCONCLUSIVE and the nearest is told."""
    names = ("cat", "dog", *map(str, range(2, 10)))
    run = answered(answers(N), answers(N), class_names=names)
    assert only(run, "top1[class cat] >= 90%").answer is Answer.PASS
    found = only(run, "top1[class cta] >= 90%")
    assert found.answer is Answer.INCONCLUSIVE
    assert "no sample has class 'cta'; did you mean 'cat'?" in found.reason


def test_slices_by_a_column_of_the_data() -> None:
    """The samples taken at night lose, those by day do not."""
    night = np.arange(N) % 4 == 0
    columns = {"light": np.where(night, "night", "day")}
    baseline, candidate = answers(N), answers(N, np.flatnonzero(night)[:50].tolist())
    run = answered(replace(candidate, columns=columns), replace(baseline, columns=columns))
    assert only(run, "drop[light=night] <= 5pp").answer is Answer.FAIL
    assert only(run, "drop[light=day] <= 5pp").answer is Answer.PASS
    assert only(run, "churn[worst light] <= 5%").answer is Answer.FAIL
    assert "no column 'wether' (it has: light)" in only(run, "drop[wether=night] <= 5pp").reason


@pytest.mark.parametrize(("truths", "least_pass"), [([0.0] * 10, 0.0), ([0.0] + [-9.0] * 9, 0.02)])
def test_the_worst_of_many_groups_errs_no_more_than_one_gate(truths: list[float], least_pass: float) -> None:
    """The worst of ten groups on the bound: of 4,000 times at most 5 % pass, and 5 % fail (and noise)."""
    rng = np.random.default_rng(0)
    passed = failed = 0
    for values in rng.normal(truths, 1.0, (4000, 10)):
        parts = {str(place): partial(_around, float(value)) for place, value in enumerate(values)}
        found = extreme(parts, 0.95, largest=True)
        assert found.lower is not None
        assert found.upper is not None
        passed, failed = passed + (found.upper <= 0), failed + (found.lower > 0)
    assert least_pass <= passed / 4000 <= 0.06
    assert failed / 4000 <= 0.06


def _around(value: float, confidence: float) -> Estimate:
    """Return an estimate of unit variance with its bounds."""
    reach = normal_quantile(confidence)
    return Estimate(value, value - reach, value + reach, 1, "samples")


# --- metrics --------------------------------------------------------------------------------------


def numbers(spread: float, seed: int = 1) -> Answers:
    """Return answers whose root mean squared error is `spread`, to targets of 50 to 250."""
    targets = np.random.default_rng(0).uniform(50, 250, (N, 1))
    errors = np.random.default_rng(seed).normal(0, spread, targets.shape)
    return Answers((targets + errors).astype(np.float32), np.zeros(0, np.int64), targets)


def test_an_error_of_numbers_is_judged() -> None:
    """An RMSE of 20 is under 25 and not under 15; a tenth more than the baseline's is not 2 %."""
    run = answered(numbers(22, seed=2), numbers(20))
    assert only(run, "rmse <= 25").answer is Answer.PASS
    assert only(run, "rmse <= 15").answer is Answer.FAIL
    assert only(run, "rmse drop <= 2%rel").answer is Answer.FAIL
    assert only(run, "rmse drop <= 5").answer is Answer.PASS
    assert "labels are numbers" in only(run, "top1 >= 5%").reason
    assert "asks for classes" in only(run, "f1 >= 0.5").reason


def test_metrics_of_classes_are_judged() -> None:
    """F1 and AUC of answers, 20 % of them wrong."""
    wrong = np.flatnonzero(np.random.default_rng(0).random(N) < 0.2).tolist()
    run = answered(answers(N, wrong), answers(N, wrong[:-60]))
    assert only(run, "f1 >= 0.75").answer is Answer.PASS
    assert only(run, "f1 >= 0.85").answer is Answer.FAIL
    assert only(run, "f1 drop <= 0.02").answer is Answer.FAIL
    assert "numbers as labels" in only(run, "rmse <= 1").reason
    assert "no metric of its own" in only(run, "metric >= 0.5").reason


def test_the_runs_metric_is_that_of_the_evidence() -> None:
    """`metric` is what the run was asked for: our own by name, a user's by what was drawn of it."""
    run = answered(numbers(22, seed=2), numbers(20), metric=MetricRecord("rmse", more_is_better=False))
    assert only(run, "metric <= 25") == replace(
        only(run, "rmse <= 25"), gate="metric <= 25", reason=only(run, "metric <= 25").reason
    )
    with pytest.raises(ConfigError, match="of rmse less is better"):
        only(run, "metric >= 5")
    half = user_metric(
        "half", lambda outputs, truth: float((abs(outputs - truth) < 20).mean()), more_is_better=True
    )
    ours, theirs = (
        replace(one, draws=draw_metric(half, one.logits, one.truth, 0, resamples=300))
        for one in (numbers(30, seed=2), numbers(20))
    )
    own = answered(ours, theirs, metric=MetricRecord("m.py:half", "ab" * 32))
    assert only(own, "metric >= 0.4").answer is Answer.PASS
    assert only(own, "metric drop <= 0.05").answer is Answer.FAIL
    assert only(own, "rmse <= 35").answer is Answer.PASS


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        ("rmse <= 90", "at least 100 samples"),
        ("rmse drop <= 90", "at least 100 samples"),
        ("rmse drop <= 90%rel", "at least 100 samples"),
        ("rmse[light=night] <= 90", "at least 100 samples of light=night"),
        ("rmse[worst light] <= 90", "at least 100 samples of each light"),
    ],
)
def test_a_metric_of_few_samples_passes_nothing(words: str, needed: str) -> None:
    """With 99 samples, in all or in a slice, no bound is near enough, and what is needed is told."""
    some = np.arange(N) < (99 if "light" not in words else N)
    columns = {"light": np.where(np.arange(N) < 99, "night", "day")[some]}
    ours, theirs = (
        replace(one, logits=one.logits[some], targets=one.truth[some], columns=columns)
        for one in (numbers(22, seed=2), numbers(20))
    )
    found = only(answered(ours, theirs), words)
    assert (found.answer, found.needed) == (Answer.INCONCLUSIVE, needed)
    if "night" not in words and "worst" not in words:
        assert "99 samples do not bound" in found.reason


def test_a_metric_of_enough_samples_is_judged() -> None:
    """With 100 samples there are bounds."""
    ours, theirs = (
        replace(one, logits=one.logits[:100], targets=one.truth[:100]) for one in (numbers(22), numbers(20))
    )
    assert only(answered(ours, theirs), "rmse <= 90").answer is Answer.PASS


def test_bounds_beyond_the_resamples_are_not_given() -> None:
    """2,000 resamples say nothing at 99.99 %: the gate stays open."""
    run = answered(numbers(22, seed=2), numbers(20))
    assert only(run, "rmse <= 100 @99.99%").answer is Answer.INCONCLUSIVE
    assert METRICS["rmse"].of_numbers


# --- what is measured only where it is asked for --------------------------------------------------


def process(batch: int = 1) -> Process:
    """Return a process that answered `batch` samples a call."""
    return Process("", 1, 1, None, None, None, None, timing(batch=batch))


def with_workloads(workloads: Workloads, samples: LatencySamples | None = None, **timed: object) -> Run:
    """Return one measured artifact with what was measured beyond single calls."""
    made = Builder().add(INT8, samples or latencies(10), workloads=workloads).run()
    if not timed:
        return made
    changed = tuple(
        replace(m, sessions=tuple(replace(s, **timed) for s in m.sessions))
        for m in made.evidence.measurements
    )
    return replace(made, evidence=replace(made.evidence, measurements=changed))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("throughput >= 100/s", "throughput was not measured"),
        ("energy <= 1mJ", "energy is not available: no counter here"),
        ("p95[sustained] <= 60ms", "sustained load was not measured"),
        ("memory[steady] <= 1GB", "the sessions do not tell it"),
        ("load[cold] <= 1s", "cold load was not measured"),
        ("coverage >= 90%", "does not tell it in numbers: not told"),
        ("rmse <= 5", "no evaluation data was given"),
        ("p95 <= 1.05x baseline", "no baseline"),
    ],
)
def test_what_was_not_measured_is_inconclusive(words: str, reason: str) -> None:
    """A gate on what was not measured never fails: INCONCLUSIVE, the reason, what is needed, and exit 3."""
    told = Workloads(unavailable=(Unavailable("energy", "no counter here"),))
    provider = replace(timing(), provider="NPU")
    run = with_workloads(told, timing=provider, coverage="not told by this runtime")
    verdict = judge(run.evidence, [parse_gate(words)], run.samples, run.answers)
    found = verdict.artifacts[0].gates[0]
    assert (found.answer, verdict.decision) == (Answer.INCONCLUSIVE, Decision.INCONCLUSIVE)
    assert verdict.decision.exit_code == 3
    assert reason in found.reason
    assert found.needed


def test_throughput_is_that_of_the_best_shape() -> None:
    """Of one sample and of eight a call, eight are faster: 800 samples a second."""
    runs = tuple(
        ThroughputRun(process(batch), index, 100, 100 * batch, round(1e9 * 100 * batch / rate) + index, "")
        for batch, rate in ((1, 100), (8, 800))
        for index in range(7)
    )
    run = with_workloads(Workloads(throughput=runs))
    assert only(run, "throughput >= 700/s").answer is Answer.PASS
    found = only(run, "throughput >= 900/s")
    assert found.answer is Answer.FAIL
    assert "(batch 8, threads 1)" in found.reason
    few = with_workloads(Workloads(throughput=runs[:2]))
    assert "at least 5 runs" in str(only(few, "throughput >= 50/s").needed)


def loads(cache: Cache, resident: float | None, made: Process | None = None) -> Run:
    """Return seven loadings of 40 ms each."""
    one = replace(made or process(), load_ns=40 * MS)
    return with_workloads(Workloads(loads=tuple(LoadRun(one, cache, i, resident) for i in range(7))))


def test_loading_from_a_cold_cache_is_judged_by_its_runs_alone() -> None:
    """Cold loads answer `load[cold]`, and not `load[warm]`."""
    run = loads(Cache.COLD, 0.0)
    assert only(run, "load[cold] <= 50ms").answer is Answer.PASS
    assert only(run, "load[cold] <= 30ms").answer is Answer.FAIL
    assert only(run, "load[warm] <= 50ms").reason == "warm load was not measured"


@pytest.mark.parametrize(
    ("cache", "resident", "says"),
    [
        (Cache.COLD, 0.5, "50 % of the model file was still in memory before a cold load"),
        (Cache.WARM, 0.5, "50 % of the model file was not in memory before a warm load"),
        (Cache.COLD, None, "does not tell how much"),
    ],
)
def test_a_load_that_was_not_cold_is_none(cache: Cache, resident: float | None, says: str) -> None:
    """Where the pages could not be dropped, or nobody can tell, the gate stays open."""
    found = only(loads(cache, resident), f"load[{cache}] <= 1s")
    assert found.answer is Answer.INCONCLUSIVE
    assert says in found.reason


def test_a_tick_of_the_scheduler_is_no_disturbance_of_a_load() -> None:
    """A load of milliseconds may wait for a tenth of them on a quiet machine; for half of them it may not."""
    ticked = loads(Cache.WARM, 1.0, replace(process(), wait_share=0.15))
    assert only(ticked, "load[warm] <= 50ms").answer is Answer.PASS
    held = only(loads(Cache.WARM, 1.0, replace(process(), wait_share=0.5)), "load[warm] <= 50ms")
    assert held.answer is Answer.INCONCLUSIVE
    assert "half of the loads waited 50 % or more" in held.reason


def test_sensors_around_a_run_beyond_single_calls_count() -> None:
    """A processor that was slowed down, or half a machine at other work, makes no gate on such times pass."""
    cores = (Core(0, busy_s=0.0), Core(1, busy_s=0.0))
    before = Readings(uptime_s=0.0, throttle_count=0, cores=cores)
    after = replace(before, uptime_s=10.0)
    busy = replace(after, cores=(Core(0, busy_s=9.0), Core(1, busy_s=9.0)))
    slowed = replace(process(), before=before, after=replace(after, throttle_count=1), cpu_s=9.0)
    assert "was slowed down" in only(loads(Cache.WARM, 1.0, slowed), "load[warm] <= 50ms").reason
    beside = replace(slowed, timing=replace(timing(), affinity=()), after=busy)
    runs = tuple(ThroughputRun(beside, index, 100, 100, MS + index, "") for index in range(7))
    found = only(with_workloads(Workloads(throughput=runs)), "throughput >= 1/s")
    assert "others kept 45 % of the machine's cores busy" in found.reason
    calm = loads(Cache.WARM, 1.0, replace(process(), before=before, after=after, cpu_s=9.0))
    assert only(calm, "load[warm] <= 50ms").answer is Answer.PASS


def test_a_run_that_others_disturbed_is_no_throughput() -> None:
    """A process that stood ready without a core for half of its time passes nothing, and fails nothing."""
    waiting = replace(process(), wait_share=0.5)
    runs = tuple(
        ThroughputRun(waiting, index, 100, 100, MS + index, "", Energy(1, MS, "")) for index in range(7)
    )
    run = with_workloads(Workloads(throughput=runs))
    for words in ("throughput >= 1/s", "throughput >= 1000000000/s", "energy <= 1J"):
        found = only(run, words)
        assert found.answer is Answer.INCONCLUSIVE
        assert "a run of it is INVALID: others held the cores" in found.reason


def test_energy_is_of_a_call() -> None:
    """5 J in 100 calls of one sample are 50 mJ each; what a batch takes does not count."""
    runs = tuple(
        ThroughputRun(process(batch), index, 100, 100, MS, "", Energy(5.0 * batch, MS, "rapl"))
        for batch in (1, 8)
        for index in range(5)
    )
    run = with_workloads(Workloads(throughput=runs))
    assert only(run, "energy <= 60mJ").value == pytest.approx(50)
    assert only(run, "energy <= 40mJ").answer is Answer.FAIL


def test_sustained_load_is_judged_by_its_worst_window() -> None:
    """A device that throttles in its third minute fails by that minute."""
    rng = np.random.default_rng(0)
    slow = np.repeat([10.0, 10.0, 14.0, 11.0], 500)
    soak = Soak(np.arange(2000) * 120 * MS, (slow * rng.lognormal(0, 0.02, 2000) * MS).astype(np.int64), 60.0)
    run = with_workloads(Workloads(), replace(latencies(10), soaks=(soak,)))
    assert only(run, "p95[sustained] <= 20ms").answer is Answer.PASS
    found = only(run, "p95[sustained] <= 12ms")
    assert found.answer is Answer.FAIL
    assert "(window 3 of 60 s)" in found.reason


@pytest.mark.parametrize(
    ("provider", "told", "answer"),
    [
        ("QNNExecutionProvider", "every node", Answer.PASS),
        ("QNNExecutionProvider", "95 of 100 nodes", Answer.PASS),
        ("QNNExecutionProvider", "9 of 100 nodes", Answer.FAIL),
        ("CPUExecutionProvider", "every node", Answer.FAIL),
    ],
)
def test_a_fall_back_to_the_processor_is_no_coverage(provider: str, told: str, answer: Answer) -> None:
    """A graph that runs wholly on the processor is covered by no accelerator."""
    definition: Timing = timing(provider=provider)
    assert (
        only(with_workloads(Workloads(), timing=definition, coverage=told), "coverage >= 90%").answer
        is answer
    )
