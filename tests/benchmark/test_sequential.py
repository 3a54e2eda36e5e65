"""The adaptive stop: all looks together err no more often than stated."""

from __future__ import annotations

import numpy as np
import pytest
from series import by_session

from edgebench.benchmark.sequential import (
    LookPlan,
    Step,
    look,
    look_at_latency,
    look_confidence,
    plan_latency_looks,
    plan_looks,
)
from edgebench.benchmark.statistics import Bounds
from edgebench.errors import ConfigError


@pytest.mark.parametrize(
    ("looks", "growth", "edge"), [(1, 1.5, 1.645), (2, 2.0, 1.875), (5, 1.25, 2.048), (16, 1.5, 2.545)]
)
def test_a_gaussian_walk_crosses_the_edge_as_often_as_planned(looks: int, growth: float, edge: float) -> None:
    """Of 200,000 simulated walks 5 % lie above the edge at one look or more."""
    stats = pytest.importorskip("scipy.stats")
    confidence = look_confidence(looks, growth, 0.95)
    assert stats.norm.ppf(confidence) == pytest.approx(edge, abs=2e-3)
    rng = np.random.default_rng(1)
    score = rng.normal(size=200_000)
    crossed = score > edge
    for _ in range(looks - 1):
        score = score / np.sqrt(growth) + np.sqrt(1 - 1 / growth) * rng.normal(size=score.size)
        crossed |= score > edge
    assert crossed.mean() == pytest.approx(0.05, abs=2e-3)


def test_two_looks_at_equal_groups_are_pococks() -> None:
    """For two looks, the second at twice the samples, Pocock's one-sided 5 % edge is 1.875."""
    stats = pytest.importorskip("scipy.stats")
    assert stats.norm.ppf(look_confidence(2, 2.0, 0.95)) == pytest.approx(1.875, abs=1e-3)


def test_a_plan_grows_to_its_last_look() -> None:
    """Looks grow by the factor given and end exactly at the budget."""
    plan = plan_looks(300, 2000, 0.95, growth=2)
    assert plan.looks == (300, 600, 1200, 2000)
    assert plan.look_confidence > 0.95
    assert plan_looks(300, 200, 0.95).looks == (200,)
    assert plan_looks(300, 300, 0.9) == LookPlan((300,), 0.9, pytest.approx(0.9))  # type: ignore[arg-type]


def test_the_first_look_at_a_percentile_can_decide() -> None:
    """The first look comes when as many calls are there as bound a p99 at the look's own confidence."""
    plan = plan_latency_looks(0.99, 100_000, 0.95)
    calls = np.ones(plan.looks[0])
    found = look_at_latency(calls, by_session(1, len(calls)), 0.99, 2.0, plan, 0)
    assert found.step is Step.PASS
    few = calls[:-1]
    assert look_at_latency(few, by_session(1, len(few)), 0.99, 2.0, plan, 0).more == 1


def test_too_early_costs_no_look() -> None:
    """Before the planned number nothing is looked at, and it is said how many are missing."""
    plan = plan_latency_looks(0.5, 10_000, 0.95)
    found = look_at_latency(np.ones(50), by_session(1, 50), 0.5, 2.0, plan, 0)
    assert (found.step, found.bounds, found.used) == (Step.GO_ON, None, 0)
    assert found.more == plan.looks[0] - 50


def test_the_last_look_ends_it() -> None:
    """After the last look there is no other, whatever it shows."""
    plan = plan_looks(200, 400, 0.95)
    calls = np.random.default_rng(1).lognormal(size=400)
    limit = float(np.quantile(calls, 0.52))
    used = len(plan.looks) - 1
    found = look_at_latency(calls, by_session(1, 400), 0.5, limit, plan, used)
    assert found.step is Step.OUT_OF_BUDGET
    again = look_at_latency(calls, by_session(1, 400), 0.5, limit, plan, found.used)
    assert (again.step, again.bounds) == (Step.OUT_OF_BUDGET, None)


@pytest.mark.parametrize(
    ("bounds", "step"),
    [
        (Bounds(1.0, 2.0), Step.PASS),
        (Bounds(2.1, 3.0), Step.FAIL),
        (Bounds(1.0, 3.0), Step.GO_ON),
        (Bounds(None, None), Step.GO_ON),
        (Bounds(2.0, None), Step.GO_ON),
    ],
)
def test_a_look_is_three_valued(bounds: Bounds, step: Step) -> None:
    """Wholly at or under the limit passes, wholly above fails, anything else goes on."""
    found = look(bounds, 2.0, LookPlan((10, 20), 0.95, 0.97), 0, 10)
    assert found.step is step
    assert found.more == (10 if step is Step.GO_ON else 0)


@pytest.mark.parametrize(("first", "last", "growth"), [(0, 10, 2.0), (10, 0, 2.0), (10, 20, 1.0)])
def test_plans_that_cannot_be(first: int, last: int, growth: float) -> None:
    """A plan without samples, or one whose looks do not grow, is refused."""
    with pytest.raises(ConfigError):
        plan_looks(first, last, 0.95, growth=growth)


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_all_looks_together_err_as_stated(q: float) -> None:
    """With the bound at the truth, 400 measurements with up to seven looks end wrongly in at most 5 %."""
    rng, truth = np.random.default_rng(7), -np.log(1 - q)
    plan = plan_latency_looks(q, 6000, 0.95)
    ends = dict.fromkeys(Step, 0)
    for _ in range(400):
        calls, used, step = rng.exponential(size=6000), 0, Step.GO_ON
        for have in plan.looks:
            found = look_at_latency(calls[:have], np.zeros(have, np.int64), q, truth, plan, used)
            step, used = found.step, found.used
            if step is not Step.GO_ON:
                break
        ends[step] += 1
    noise = 2.33 * np.sqrt(0.05 * 0.95 / 400)
    assert ends[Step.PASS] / 400 <= 0.05 + noise
    assert ends[Step.FAIL] / 400 <= 0.05 + noise
    assert ends[Step.GO_ON] == 0
