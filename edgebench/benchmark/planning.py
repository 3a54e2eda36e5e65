"""How many samples would settle a gate that is open, if the estimate stays as it is.

Each plan settles with the chance CHANCE, not with even odds, as a plan that puts the expected interval
right at the bound does.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from edgebench.benchmark.distributions import bisect, incomplete_beta, normal_quantile
from edgebench.benchmark.series import Series
from edgebench.benchmark.statistics import drop_bounds, needed_calls

CHANCE = 0.8
"""How likely the planned number settles the gate."""

MOST = 10_000_000
"""No plan asks for more calls or images than this."""

_EXACT_TO = 10_000
_STEP = 1.02


def calls_to_settle(series: Series, q: float, limit: float, confidence: float) -> int | None:
    """Return how many calls in all would settle whether the quantile `q` is at most `limit`.

    As `quantile_calls`, for calls that depend on each other as these do. Where the sessions differ the
    calls must come from more sessions as long as these.
    """
    n = len(series)
    effect = n / series.worth(q).at(confidence)
    return quantile_calls(n, int((series.samples > limit).sum()), q, confidence, effect=effect)


def quantile_calls(n: int, above: int, q: float, confidence: float, *, effect: float = 1.0) -> int | None:
    """Return how many calls would move the whole interval of the quantile `q` to one side of a bound.

    above: how many of the n calls so far lie above the bound. effect: calls per independent call. Exact
    binomial power up to 10,000 independent calls, normal beyond. None where the share above is 1 − q,
    which no number of calls settles.
    """
    least = math.ceil(needed_calls(q, confidence) * effect)
    wanted = _share_plan(1 - above / n, q, confidence)
    return None if wanted is None else _planned(max(math.ceil(wanted * effect), least), n)


def samples_for_share(share: float, n: int, bound: float, confidence: float) -> int | None:
    """Return how many samples would move a share's whole interval to one side of `bound`.

    n: samples so far. As `quantile_calls`; None where the share equals the bound.
    """
    wanted = _share_plan(share, bound, confidence)
    return None if wanted is None else _planned(wanted, n)


def pairs_to_settle(b: int, c: int, n: int, bound: float, confidence: float) -> int | None:
    """Return how many pairs would move both `drop_bounds` of (b − c)/n to one side of `bound`.

    bound: of the difference, −1 to 1. b, c: of n pairs so far, as there. The
    difference found is moved towards the bound by what chance asks for. None where it is the bound.
    """
    difference, changed = (b - c) / n, (b + c) / n
    if abs(difference - bound) < 1 / MOST:
        return None
    spread = math.sqrt(changed - difference**2) * normal_quantile(CHANCE)

    def settled(pairs: float) -> bool:
        moved = difference + math.copysign(spread / math.sqrt(pairs), bound - difference)
        first, second = max(0.0, (changed + moved) / 2), max(0.0, (changed - moved) / 2)
        found = drop_bounds(first * pairs, second * pairs, pairs, confidence)
        if found.upper is None or found.lower is None:
            return False
        return found.upper < bound if difference < bound else found.lower > bound

    most = float(n)
    while most < MOST and not settled(most):
        most *= 2
    return _planned(_first_true(settled, n / 2, most), n) if most < MOST else MOST


def narrowed(n: int, reach: float, gap: float, confidence: float) -> int | None:
    """Return how many in place of n keep an interval off a bound, if it narrows as the root of their number.

    reach: how far the interval extends from the estimate towards the bound, which lies `gap` away. None
    where the estimate lies on the bound.
    """
    if gap <= reach / math.sqrt(MOST):
        return None
    sure = max(normal_quantile(confidence), 1 / MOST)
    stretch = reach * (1 + normal_quantile(CHANCE) / sure) / gap
    return _planned(math.ceil(min(MOST, n * stretch**2)), n)


def _first_true(holds: Callable[[float], bool], low: float, high: float) -> int:
    return math.ceil(bisect(lambda x: not holds(x), low, high)[1])


def _planned(wanted: int, have: int) -> int:
    """Return a plan that is larger than what there is, since that did not suffice."""
    return min(MOST, max(wanted, have + 1))


def _share_plan(share: float, bound: float, confidence: float) -> int | None:
    """Return how many independent draws tell a share from `bound` with the chance CHANCE."""
    if abs(share - bound) < 1 / MOST:
        return None
    if share < bound:
        share, bound = 1 - share, 1 - bound
    if not 0 < bound < 1:
        return None
    if share == 1:
        return math.ceil(math.log(1 - confidence) / math.log(bound))
    sure = normal_quantile(confidence) * math.sqrt(bound * (1 - bound))
    likely = normal_quantile(CHANCE) * math.sqrt(share * (1 - share))
    planned = ((sure + likely) / (share - bound)) ** 2
    if planned > _EXACT_TO:
        return math.ceil(min(planned, MOST))
    n = max(1, int(planned * 0.8))
    while _power(n, share, bound, confidence) < CHANCE:
        n = math.ceil(n * _STEP)
    return n


def _power(n: int, share: float, bound: float, confidence: float) -> float:
    """Return how likely n draws of `share` show, at `confidence`, that it lies above `bound`."""
    low, high = 0, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        if incomplete_beta(middle, n - middle + 1, bound) <= 1 - confidence:
            high = middle
        else:
            low = middle
    return incomplete_beta(high, n - high + 1, share) if high <= n else 0.0
