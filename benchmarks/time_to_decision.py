"""Calls until a verdict by `edgebench benchmark --until-decided`, beside ten minutes, at equal error.

Looks, judge and stop are the product's own; one gate is asked, of timings that are drawn.

Series are simulated by the laws of error_rates.py and, unless --quick, resampled in blocks from a series
measured here on the spot: a convolution in numpy, timed call by call. Where others held its core for as
long as would leave gates of edgebench open, no goal is set for it. A call takes 10 ms, so that ten minutes
are 60,000 calls. Both ways err in 5 % at most on each side; the bound lies 10 %
above or below the truth, and at the truth itself, where no stop comes early but by error.

Goals: where the bound lies 10 % off, the right verdict comes in 90 % of the measurements at least, and
after at most one fifth of the calls of ten minutes (the mean over measurements); at the truth, false GO
and false NO-GO at most 5 % (widened by the simulation's error). None is set for the p99 of the measured
series, and it is the worst of the table: slow calls come in stretches there, one in a hundred blocks of 50,
and the thousand calls of a first look, which are twenty blocks, mostly hold none. What no session has met is
in no interval; a measurement that waits until it has must be as long as ten minutes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import latency_laws as laws
import numpy as np
from bench import Goal, arguments, finish, machine, table
from error_rates import NAMES, margin
from until_decided import decided

from edgebench.benchmark.intervals import latency_bounds
from edgebench.benchmark.validity import THRESHOLDS
from edgebench.reports.verdict import Answer

ERROR, OFF, SHARE = 0.05, 1.1, 0.2
CALLS, TOTAL = 200, 60_000
MEASURED, DISTURBED = "measured", "disturbed"
RARE = 0.9
"""Percentiles beyond it rest on what a short measurement may not meet at all."""
SESSION = np.repeat(np.arange(TOTAL // CALLS), CALLS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of n measurements: how many calls they took in the mean, and how many passed and failed."""

    calls: float
    passed: float
    failed: float
    n: int


def adaptive(law: laws.Law, q: float, limit: float, n: int, rng: np.random.Generator) -> Outcome:
    """Measure n times until it is decided."""
    ends = [decided(law, q, limit, TOTAL // CALLS, CALLS, rng) for _ in range(n)]
    answers = [answer for answer, _ in ends]
    mean = float(np.mean([calls for _, calls in ends]))
    return Outcome(mean, answers.count(Answer.PASS) / n, answers.count(Answer.FAIL) / n, n)


def _series(law: laws.Law, rng: np.random.Generator) -> np.ndarray:
    return law.draw(rng, TOTAL // CALLS, CALLS).ravel()


def fixed(law: laws.Law, q: float, limit: float, n: int, rng: np.random.Generator) -> Outcome:
    """Measure n times for ten minutes, and look once."""
    found = [latency_bounds(_series(law, rng), SESSION, q, 1 - ERROR) for _ in range(n)]
    passed = np.mean([bounds.upper is not None and bounds.upper <= limit for bounds in found])
    failed = np.mean([bounds.lower is not None and bounds.lower > limit for bounds in found])
    return Outcome(TOTAL, float(passed), float(failed), n)


def measured(seconds: float) -> laws.Law:
    """Return the law of blocks of 50 calls drawn from a series measured now."""
    kernel, image = np.ones((9, 9)) / 81, np.random.default_rng(0).normal(size=(96, 96))
    spectrum = np.fft.rfft2(kernel, image.shape)
    taken, begin, waited = [], time.perf_counter(), _waited_s()
    end = begin + seconds
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        np.fft.irfft2(np.fft.rfft2(image) * spectrum, image.shape)
        taken.append(time.perf_counter_ns() - start)
    series = np.array(taken[len(taken) // 5 :], np.float64)
    blocks = series[: len(series) // 50 * 50].reshape(-1, 50)

    def draw(rng: np.random.Generator, rows: int, calls: int) -> np.ndarray:
        return blocks[rng.integers(0, len(blocks), (rows, calls // 50))].reshape(rows, calls)

    share = (_waited_s() - waited) / (time.perf_counter() - begin)
    disturbed = f", {DISTURBED} {share:.0%} of the time" if share >= THRESHOLDS["wait_share"].degraded else ""
    name = f"{MEASURED}, {len(series):,} calls{disturbed}"
    return laws.Law(name, draw, lambda q: float(np.quantile(blocks, q)))


def _waited_s() -> float:
    """Return for how long this thread has stood ready without a core."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def main() -> None:
    """Simulate all cases, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    n, single = (15, 3) if options.quick else (100, 20)
    rng = np.random.default_rng(30)
    cases = [laws.INDEPENDENT, laws.AUTOREGRESSIVE, laws.BLOCKS, laws.SESSIONS, laws.BIMODAL, laws.HEAVY]
    if options.quick:
        cases = [laws.INDEPENDENT, laws.BLOCKS]
    else:
        cases.append(measured(20.0))
    print(f"{machine()}; ten minutes are {TOTAL:,} calls\n", flush=True)
    rows, goals, figures = [], [], {}
    for law in cases:
        for q, name in NAMES.items():
            found = _case(law, q, n, single, rng)
            rows += _rows(f"{law.name}, {name}", found)
            rare = law.name.startswith(MEASURED) and q > RARE
            goals += [] if rare or DISTURBED in law.name else _goals(f"{law.name}, {name}", found)
            figures[f"{law.name}, {name}"] = {key: vars_of(outcome) for key, outcome in found.items()}
    print(table(["case", "bound at", "calls, mean", "of ten minutes", "GO", "NO-GO"], rows) + "\n")
    finish("time_to_decision", figures, goals, options.json)


def vars_of(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain data."""
    return {"calls": outcome.calls, "passed": outcome.passed, "failed": outcome.failed, "n": outcome.n}


def _case(law: laws.Law, q: float, n: int, single: int, rng: np.random.Generator) -> dict[str, Outcome]:
    truth = law.quantile(q)
    return {
        "truth x 1.1": adaptive(law, q, truth * OFF, n, rng),
        "truth / 1.1": adaptive(law, q, truth / OFF, n, rng),
        "truth": adaptive(law, q, truth * (1 - 1e-9), n, rng),
        "truth x 1.1, ten minutes": fixed(law, q, truth * OFF, single, rng),
    }


def _rows(name: str, found: dict[str, Outcome]) -> list[list[str]]:
    return [
        [
            name,
            at,
            f"{one.calls:,.0f}",
            f"{100 * one.calls / TOTAL:.1f} %",
            f"{100 * one.passed:.0f} %",
            f"{100 * one.failed:.0f} %",
        ]
        for at, one in found.items()
    ]


def _goals(name: str, found: dict[str, Outcome]) -> list[Goal]:
    above, below, at = found["truth x 1.1"], found["truth / 1.1"], found["truth"]
    limit = ERROR + margin(ERROR, at.n)
    goals = []
    for what, one, right in (("GO", above, above.passed), ("NO-GO", below, below.failed)):
        share = one.calls / TOTAL
        goals.append(Goal(f"{name}, {what}: share of the calls", share, f"<= {SHARE}", share <= SHARE))
        goals.append(Goal(f"{name}, {what}: right", right, ">= 0.9", right >= 0.9))
    for what, wrong in (("GO", at.passed), ("NO-GO", at.failed)):
        goals.append(Goal(f"{name}: false {what}", wrong, f"<= {limit:.3f}", wrong <= limit))
    return goals


if __name__ == "__main__":
    main()
