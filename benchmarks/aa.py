"""A/A comparisons that call a difference, and A/B comparisons that find one of 5 %, timed in turn and apart.

A is a chain of 20 convolutions, B the same with one more: 5 % more work, done by the runtime. A, A once
more and B are timed in turn as `edgebench benchmark` does, in sessions of 200 calls; five sessions make a
comparison, judged as `edgebench compare` does, the noise floor taken from all other A/A comparisons. For
contrast A and then B are measured in runs of their own, one after the other.

Goals, for the median: at most 5 % of the A/A comparisons call a difference, and in at least 90 % of the A/B
comparisons the slowdown is found. For p95, which a few calls of others move, A/A alone.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from bench import Goal, arguments, finish, machine, table
from fidelity_models import Network, write_onnx

from edgebench.artifact import Artifact
from edgebench.benchmark.comparison import Comparison, compare_latencies
from edgebench.benchmark.evidence import LatencySamples
from edgebench.benchmark.evidence_files import load_samples
from edgebench.benchmark.noise import floor_of, only
from edgebench.benchmark.pairing import compare_in_turn
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.exporters.inspect import open_artifact
from edgebench.reports.compare import Difference, difference_of

LAYERS, CALLS, CONFIDENCE = 20, 200, 0.95
CALLED = (Difference.FASTER, Difference.SLOWER)
PERCENTILES = {"p50": 0.5, "p95": 0.95}

Subject = tuple[Artifact, Path]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. comparisons: in turn. apart: pairs of runs."""

    comparisons: int
    sessions: int
    apart: int


def models(folder: Path) -> tuple[Subject, Subject, Subject]:
    """Return A, A once more, and B."""
    paths = folder / "a.onnx", folder / "b.onnx"
    for path, layers in zip(paths, (LAYERS, LAYERS + 1), strict=True):
        write_onnx(Network("chain", side=24, channels=16, layers=layers), path)
    first, second = (open_artifact(path, None) for path in paths)
    return (first, paths[0]), (replace(first, path="a again.onnx"), paths[0]), (second, paths[1])


def measured(
    out: Path, subjects: Sequence[Subject], sessions: int, progress: Callable[..., None]
) -> list[LatencySamples]:
    """Return the timings of artifacts that were measured in turn."""
    request = BenchmarkRequest(
        artifacts=tuple(subjects), out=out, sessions=sessions, calls=CALLS, warmup_s=0.05
    )
    evidence = benchmark(request, progress=progress)
    for measurement in evidence.measurements:
        if measurement.failure is not None:
            sys.exit(f"{measurement.artifact.id}: {measurement.failure}")
    return [load_samples(out, measurement) for measurement in evidence.measurements]


def in_turn(first: LatencySamples, second: LatencySamples, plan: Plan, q: float) -> list[Comparison]:
    """Return the comparisons of sessions taken in turn."""
    starts = range(0, plan.comparisons * plan.sessions, plan.sessions)
    runs = [range(start, start + plan.sessions) for start in starts]
    return [compare_in_turn(only(first, run), only(second, run), q, CONFIDENCE) for run in runs]


def one_by_one(folder: Path, first: Subject, second: Subject, plan: Plan) -> list[list[LatencySamples]]:
    """Return the timings of A and B, measured in runs of their own, one after the other."""
    runs = []
    for index in range(plan.apart):
        tell(f"apart, {index + 1} of {plan.apart}")
        outs = (folder / f"{name}{index}" for name in "ab")
        pair = zip(outs, (first, second), strict=True)
        runs.append([measured(out, [subject], plan.sessions, silent)[0] for out, subject in pair])
    return runs


def compared_apart(first: LatencySamples, second: LatencySamples, q: float) -> Comparison:
    """Return the comparison of two runs that were not taken in turn."""
    return compare_latencies(
        first.latency_ns, first.session, second.latency_ns, second.session, q, CONFIDENCE, seed=0
    )


def tell(text: str, **_: object) -> None:
    """Say on stderr how far it is."""
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def silent(text: str, **_: object) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Of n comparisons: how many by the interval alone, and how many beyond the noise floor too."""

    n: int
    by_interval: int
    called: int
    median_ratio: float
    floor: float

    def row(self, name: str) -> list[str]:
        """Return the line of the table."""
        floor = f"{100 * np.expm1(self.floor):.1f} %" if np.isfinite(self.floor) else "–"
        shares = [f"{count} of {self.n}" for count in (self.by_interval, self.called)]
        return [name, f"{self.median_ratio:.4f}", floor, *shares]


def rates(found: Sequence[Comparison], floors: Sequence[float], wanted: Sequence[Difference]) -> Rates:
    """Count the comparisons that say what is wanted. floors: of each, as a logarithm."""
    alone = sum(difference_of(one, None) in wanted for one in found)
    beyond = sum(
        difference_of(one, float(np.expm1(floor))) in wanted for one, floor in zip(found, floors, strict=True)
    )
    ratio = float(np.median([one.ratio for one in found]))
    return Rates(len(found), alone, beyond, ratio, float(np.median(floors)))


def floors_without_own(found: Sequence[Comparison]) -> list[float]:
    """Return for each A/A comparison the floor of all others, as a logarithm."""
    logs = np.log([one.ratio for one in found])
    return [floor_of(np.delete(logs, index)) for index in range(len(logs))]


def main() -> None:
    """Measure, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    plan = Plan(4, 3, 2) if options.quick else Plan(50, 5, 50)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first, again, second = models(folder)
        taken = measured(folder / "turns", [first, again, second], plan.comparisons * plan.sessions, tell)
        runs = one_by_one(folder, first, second, plan)
    tell("")
    rows, figures, goals = [], {}, []
    for name, q in PERCENTILES.items():
        same, other = (in_turn(taken[0], side, plan, q) for side in taken[1:])
        floors = floors_without_own(same)
        floor = floor_of(np.log([one.ratio for one in same]))
        found = {
            "A/A in turn": rates(same, floors, CALLED),
            "A/B in turn": rates(other, [floor] * len(other), [Difference.SLOWER]),
            **apart_rates(runs, q),
        }
        rows += [one.row(f"{name}, {what}") for what, one in found.items()]
        figures |= {f"{name}, {what}": rates_as_data(one) for what, one in found.items()}
        goals += goals_of(name, found, quick=options.quick)
    whole = compare_in_turn(taken[0], taken[2], 0.5, CONFIDENCE)
    ends = whole.ratio_interval
    print(f"{machine()}\n{plan.sessions} sessions of {CALLS} calls a comparison")
    print(f"A takes {np.median(taken[0].latency_ns) / 1e6:.2f} ms, and B over all sessions ", end="")
    print(f"{whole.ratio:.4f} ({ends.lower:.4f} to {ends.upper:.4f}) times as long\n")
    print(table(["", "median ratio", "floor", "by interval", "beyond floor"], rows) + "\n")
    finish("aa", figures, goals, options.json)


def apart_rates(runs: Sequence[Sequence[LatencySamples]], q: float) -> dict[str, Rates]:
    """Return the same of runs apart from each other: A against the next A, and A against B."""
    same = [compared_apart(runs[i][0], runs[i + 1][0], q) for i in range(len(runs) - 1)]
    other = [compared_apart(one, two, q) for one, two in runs]
    floor = floor_of(np.log([one.ratio for one in same]))
    return {
        "A/A apart": rates(same, [np.nan] * len(same) if len(same) < 2 else floors_without_own(same), CALLED),
        "A/B apart": rates(other, [floor] * len(other), [Difference.SLOWER]),
    }


def rates_as_data(one: Rates) -> dict[str, float]:
    """Return rates as plain data."""
    return {"n": one.n, "by_interval": one.by_interval, "called": one.called, "ratio": one.median_ratio}


def goals_of(name: str, found: dict[str, Rates], *, quick: bool) -> list[Goal]:
    """Return the goals of a percentile; of a handful of comparisons one may go wrong."""
    slack = 1 if quick else 0
    same, other = found["A/A in turn"], found["A/B in turn"]
    called = same.called / same.n
    goals = [Goal(f"{name}, A/A called different", called, "<= 0.05", same.called - slack <= 0.05 * same.n)]
    if name == "p50":
        share = other.called / other.n
        goals.append(Goal("p50, 5 % slower found", share, ">= 0.9", other.called + slack >= 0.9 * other.n))
    return goals


if __name__ == "__main__":
    main()
