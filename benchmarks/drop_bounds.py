"""How often a gate on a paired drop errs, summed exactly over all counts of pairs, the drop at its bound.

Beside the product's bounds stand Tango's plain ones, which they correct, and how many pairs of which none
differs `drop <= 2pp` needs to pass, with both and exactly: the least n with 0.98 ** n below 1 - confidence.

Goal: at every confidence no case errs in more than 1.03 times the share that is stated, on either side.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
from bench import Goal, arguments, finish, machine, table

from edgebench.benchmark.statistics import Bounds, drop_bounds, paired_difference_bounds

CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.99)
PAIRS = (10, 20, 36, 60, 83, 134, 154, 200, 310, 500, 1000)
DROPS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
DIFFER = (1.0, 1.25, 2.0, 4.0)
"""Shares of pairs that differ, as multiples of the drop, or of half a per cent where that is more."""

MANY = 40
"""Pairs that differ in the mean up to which is looked: with more of them the bounds err less."""

MOST = 1.03
_NEGLIGIBLE = 1e-6
_GATE = 0.02

Make = Callable[[float, float, float, float], Bounds]
Case = tuple[int, float, float]


def cases(*, quick: bool) -> Iterator[Case]:
    """Yield pairs, drop and share of pairs that differ."""
    for n, drop, times in itertools.product(PAIRS[::4] if quick else PAIRS, DROPS, DIFFER):
        differ = times * max(drop, 0.005)
        if n * differ <= (MANY / 4 if quick else MANY):
            yield n, drop, differ


@functools.cache
def chances(case: Case) -> tuple[tuple[int, int, float], ...]:
    """Return the counts that are not negligible, lost and won, each with its probability."""
    n, drop, differ = case
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # of factorials
    most = min(n, round(n * differ + 8 * np.sqrt(n * differ) + 8))
    lost, won = (differ + drop) / 2, (differ - drop) / 2
    found = []
    for b in range(most + 1):
        for c in range(most + 1 - b if won > 0 else 1):
            log = logs[n] - logs[b] - logs[c] - logs[n - b - c] + b * np.log(lost)
            log += (c * np.log(won) if c else 0.0) + (n - b - c) * np.log(1 - differ)
            if (chance := float(np.exp(log))) > _NEGLIGIBLE:
                found.append((b, c, chance))
    return tuple(found)


def errs(make: Make, case: Case, confidence: float) -> float:
    """Return how often the likelier of a wrong PASS and a wrong FAIL comes."""
    n, drop, _ = case
    passed = failed = 0.0
    for b, c, chance in chances(case):
        bounds = make(b, c, n, confidence)
        passed += chance * (bounds.upper is not None and bounds.upper <= drop)
        failed += chance * (bounds.lower is not None and bounds.lower > drop)
    return max(passed, failed)


def needed(make: Make, confidence: float) -> int:
    """Return how many pairs of which none differs pass `drop <= 2pp`."""
    uppers = ((n, make(0, 0, n, confidence).upper) for n in itertools.count(1))
    return next(n for n, upper in uppers if upper is not None and upper <= _GATE)


def main() -> None:
    """Print a row for each confidence and end with whether the goals hold."""
    options = arguments(__doc__).parse_args()
    asked = list(cases(quick=options.quick))
    corrected, plain = functools.cache(drop_bounds), functools.cache(paired_difference_bounds)
    rows, goals, figures = [], [], {}
    for confidence in CONFIDENCES:
        stated = 1 - confidence
        worst, before = (max(errs(make, case, confidence) for case in asked) for make in (corrected, plain))
        exactly = next(n for n in itertools.count(1) if (1 - _GATE) ** n <= stated)
        counts = [needed(plain, confidence), needed(corrected, confidence), exactly]
        rows.append([f"{100 * share:.2f}" for share in (stated, worst, before)] + [str(n) for n in counts])
        name = f"@{confidence:g}: errs, of what is stated"
        goals.append(Goal(name, worst / stated, f"<= {MOST}", worst <= MOST * stated))
        figures[f"{confidence:g}"] = {"errs": worst, "plain": before, "pairs": counts}
    print(f"{machine()}; {len(asked)} cases, shares in per cent\n")
    print(table(["stated", "errs", "plain", "pairs, plain", "corrected", "exact"], rows))
    finish("drop_bounds", figures, goals, options.json)


if __name__ == "__main__":
    main()
