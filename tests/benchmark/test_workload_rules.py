"""The words for measurements beyond single calls, and MLPerf's rules for what they say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from edgebench.benchmark.evidence import Timing
from edgebench.benchmark.workloads import mlperf
from edgebench.benchmark.workloads.asked import ScenarioAsked, WorkloadsAsked
from edgebench.benchmark.workloads.records import Cache, Process, Scenario, ScenarioRun
from edgebench.errors import ConfigError
from edgebench.pipeline_file import WorkloadsConfig, load_pipeline
from edgebench.workload_options import configured_workloads, parse_scenario, parse_workloads

TIMING = Timing("onnxruntime", "1.0", "CPU", batch=1, threads=1, affinity=(), timed="a call")
PROCESS = Process("", 1, 1, 1, 1, 0.0, 0.0, TIMING)


def run(scenario: Scenario, queries: int, elapsed_s: float, **settings: object) -> ScenarioRun:
    """Return a scenario's run of so many queries."""
    given = {"samples_per_query": 1, "asked_s": 600.0, **settings}
    return ScenarioRun(
        PROCESS,
        scenario,
        0,
        queries,
        elapsed_ns=round(elapsed_s * 1e9),
        raw="",
        **given,  # type: ignore[arg-type]
    )


def binomial_at_most(most: int, n: int, share: float) -> float:
    """Return P(Binomial(n, share) ≤ most), summed in whole numbers' logarithms."""
    terms = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + k * math.log(share) + (n - k) * math.log1p(-share)
        for k in range(most + 1)
    )  # fmt: skip
    return sum(map(math.exp, terms))


@pytest.mark.parametrize(("percentile", "least"), [(0.90, 64), (0.99, 662)])
def test_early_stopping_begins_where_loadgen_says(percentile: float, least: int) -> None:
    """64 queries give single-stream its estimate, 662 multi-stream, as mlperf.conf says; one less, none."""
    times = np.arange(1, least + 1)
    assert mlperf.early_stopping(times, percentile) == least
    assert mlperf.early_stopping(times[:-1], percentile) is None


@pytest.mark.parametrize("n", [64, 100, 1_000, 20_000])
def test_the_estimate_is_the_last_rank_that_is_sure(n: int) -> None:
    """The estimate's rank is sure at 99 %, and the rank below it is not."""
    late = mlperf.tolerated(n, 0.9)
    assert binomial_at_most(late, n, 0.1) < 0.01 <= binomial_at_most(late + 1, n, 0.1)
    assert mlperf.early_stopping(np.arange(1, n + 1), 0.9) == n - late + 1


def test_the_approximation_for_many_queries_errs_by_little_and_to_the_safe_side() -> None:
    """Beyond 100,000 queries the normal approximation tolerates up to 6 late ones too few, never too many."""
    exact = int(np.searchsorted(mlperf.binomial_below(200_000, 0.01), 0.01)) - 1
    assert exact - 6 <= mlperf.tolerated(200_000, 0.99) <= exact


@pytest.mark.parametrize(("late", "held"), [(0, True), (6, True), (7, None), (15, None), (16, False)])
def test_the_server_holds_its_bound_by_few_late_queries(late: int, held: bool | None) -> None:
    """Of 1,500 queries 6 may be late for 99 % to be sure; more than 15, one in a hundred, do not hold."""
    latency = np.full(1_500, 5)
    latency[:late] = 50
    found = mlperf.outcome(run(Scenario.SERVER, 1_500, 600, bound_ns=10, qps=2.5), latency)
    assert found.late == late
    assert found.held is held
    assert (binomial_at_most(late, 1_500, 0.01) < 0.01) is bool(held)


def test_a_short_run_is_invalid_and_says_why() -> None:
    """10 s of 600 are INVALID by MLPerf, and valid by the same rules scaled to 10 s."""
    found = mlperf.outcome(run(Scenario.SINGLE_STREAM, 500, 10.01, asked_s=10.0), np.arange(500))
    assert found.invalid == ("10.0 s of 600 s",)
    assert found.scaled_invalid == ()


def test_a_full_run_is_valid() -> None:
    """600 s and the samples that the rules ask for are VALID; a sample too few offline is not."""
    assert not mlperf.outcome(run(Scenario.MULTI_STREAM, 662, 601), np.arange(662)).invalid
    latency = np.ones(768, np.int64)
    assert not mlperf.outcome(run(Scenario.OFFLINE, 768, 600, samples_per_query=32), latency).invalid
    found = mlperf.outcome(run(Scenario.OFFLINE, 767, 600, samples_per_query=32), latency[:-1])
    assert found.invalid == ("24,544 of 24,576 samples",)


def test_a_server_that_cannot_keep_up_holds_nothing() -> None:
    """A run that was broken off for its backlog is INVALID, and its bound not held, however few were late."""
    broken = run(Scenario.SERVER, 500, 600, bound_ns=10, qps=9.0, ended_by="backlog")
    found = mlperf.outcome(broken, np.ones(500, np.int64))
    assert found.held is False
    assert "faster than answers" in found.invalid[0]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("offline", ScenarioAsked(Scenario.OFFLINE)),
        ("server", ScenarioAsked(Scenario.SERVER, 10_000_000)),
        ("server=15ms", ScenarioAsked(Scenario.SERVER, 15_000_000)),
        ("server=1.5s@200qps", ScenarioAsked(Scenario.SERVER, 1_500_000_000, 200.0)),
        ("server=15ms@0.5", ScenarioAsked(Scenario.SERVER, 15_000_000, 0.5)),
    ],
)
def test_a_scenario_is_read(text: str, asked: ScenarioAsked) -> None:
    """A scenario's name, and for the server a bound and a rate."""
    assert parse_scenario(text) == asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenario": ["burst"]}, "--scenario 'burst' is not known"),
        ({"scenario": ["offline=15ms"]}, "only the server takes a bound"),
        ({"scenario": ["server="]}, "names no bound"),
        ({"scenario": ["server=15"]}, "'15' is not a span of time"),
        ({"scenario": ["server=15ms@"]}, "'' is not a rate"),
        ({"scenario": ["server=15ms@0"]}, "'0' is not a rate"),
        ({"batches": "1,,4"}, "--batches '1,,4' is not a list of counts"),
        ({"batches": "0"}, "--batches '0' is not a list of counts"),
        ({"throughput_threads": "two"}, "--throughput-threads 'two' is not a list of counts"),
        ({"load": "cold,hot"}, "--load 'hot' is not known"),
        ({"soak": "10"}, "--soak '10' is not a span of time"),
        ({"soak": "90s"}, "--soak 90s: holds fewer than two windows of 60 s"),
        ({"duration": "0s"}, "--duration '0s' is no time to measure in"),
    ],
)
def test_words_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    """A typing error is one line that names the option."""
    with pytest.raises(ConfigError) as caught:
        parse_workloads(**options)  # type: ignore[arg-type]
    assert message in caught.value.message
    assert caught.value.hint


def test_lists_keep_their_order_and_no_doubles() -> None:
    """What is named twice is measured once."""
    asked = parse_workloads(batches="4,1,4", load="warm,cold,warm", scenario=["offline", "offline"])
    assert asked.batches == (4, 1)
    assert asked.loads == (Cache.WARM, Cache.COLD)
    assert asked.scenarios == (ScenarioAsked(Scenario.OFFLINE),)


def test_a_pipeline_file_asks_for_the_same(tmp_path: Path) -> None:
    """What stands under benchmark.workloads is what the options of the command line ask for."""
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "schema_version: 1\nname: x\nmodel: {model: m.onnx}\nbenchmark:\n  workloads:\n"
        "    batches: [1, 4]\n    scenarios: [offline, server=15ms]\n    load: [cold]\n    soak: 10m\n"
    )
    found = configured_workloads(load_pipeline(path).benchmark.workloads)
    assert found == parse_workloads(
        batches="1,4", scenario=["offline", "server=15ms"], load="cold", soak="10m"
    )


def test_a_pipeline_file_without_them_asks_for_nothing() -> None:
    """Nothing is measured beyond single calls unless it is asked for."""
    assert configured_workloads(WorkloadsConfig()) == WorkloadsAsked()
