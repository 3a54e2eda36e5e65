"""Gates that no measurement can keep together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from edgebench.errors import ConfigError
from edgebench.reports.gates import Gate


def check_contradictions(gates: Sequence[Gate]) -> None:
    """Raise ConfigError, naming both, for two gates that no value of what they ask about keeps.

    gates: as they are written, also those that would pass what is worse.
    """
    for first, second in itertools.combinations(gates, 2):
        floor, ceiling = (first, second) if first.operator.is_floor else (second, first)
        if floor.operator.is_floor == ceiling.operator.is_floor or not _of_the_same(floor, ceiling):
            continue
        lowest, highest = floor.stored_bound, ceiling.stored_bound
        met_at_both = floor.operator.holds(highest, lowest) and ceiling.operator.holds(lowest, highest)
        if not met_at_both:
            raise ConfigError(
                f"gates {str(first)!r} and {str(second)!r} contradict each other: no {first.question} keeps "
                "both",
                hint="leave one out, or give each artifacts of its own with `on`",
            )


def _of_the_same(first: Gate, second: Gate) -> bool:
    """Return whether both judge the same quantity, of artifacts and devices that one has all of."""
    together = (
        first.on == second.on or None in (first.on, second.on),
        first.devices == second.devices or () in (first.devices, second.devices),
    )
    return first.question == second.question and all(together)
