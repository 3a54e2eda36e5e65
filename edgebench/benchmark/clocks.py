"""What a clock that is set while a run goes on leaves behind: nothing but times of day in the wrong order.

Durations and time budgets are of monotonic clocks, which nobody sets.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime


def clock_notes(begun: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return a note where sessions that followed each other seem to have begun in another order.

    begun: of each artifact, when its sessions began, in ISO 8601, in the order in which they were taken.
    What is no time of day is passed over.
    """
    now = datetime.now(UTC)
    back = max((_longest_step_back([*map(_time, times), now]) for times in begun), default=0.0)
    if back < 1:
        return ()
    what = f"the wall clock was set back by {back:,.0f} s during the run"
    return (f"{what}: times of day are not to be trusted; durations are of a monotonic clock",)


def _longest_step_back(times: Sequence[datetime | None]) -> float:
    told = [time for time in times if time is not None]
    return max(((before - after).total_seconds() for before, after in itertools.pairwise(told)), default=0.0)


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
