"""The timings of one artifact, with what all their percentiles need computed once."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from edgebench.benchmark.dependence import Effect, IntArray, Samples, Worth, effect, session_parts, worth_of
from edgebench.benchmark.intervals import bounds_of_ranked
from edgebench.benchmark.ranked import Ranked
from edgebench.benchmark.statistics import Bounds

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import LatencySamples


class Series:
    """Latencies in the order they were taken, [n] in any unit, and the session of each, int64[n].

    Nothing is computed before it is asked for, and nothing twice.
    """

    def __init__(self, samples: Samples, session: IntArray) -> None:
        self.samples = samples
        self.session = session
        self._effects: dict[float, Effect] = {}

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def ranked(self) -> Ranked:
        """Return the latencies by size."""
        return Ranked(self.samples)

    @cached_property
    def parts(self) -> list[slice]:
        """Return where each session's run of samples lies, in order."""
        return session_parts(self.session)

    @cached_property
    def sessions(self) -> dict[int, Series]:
        """Return the series of each session by itself, by its index."""
        return {
            int(self.session[part.start]): Series(self.samples[part], self.session[part])
            for part in self.parts
            if part.stop > part.start
        }

    def quantile(self, q: float) -> float:
        """Return the quantile `q`, 0–1, as `statistics.quantile` does."""
        place = (len(self) - 1) * q
        low = math.floor(place)
        around = [self.ranked[rank] for rank in (low, min(low + 1, len(self) - 1))]
        return float(np.quantile(around, min(1.0, place - low)))

    def worth(self, q: float) -> Worth:
        """Return how many independent latencies these are worth for their quantile `q`."""
        return worth_of(self._effect, len(self), len(self.parts), q)

    def _effect(self, q: float) -> Effect:
        if q not in self._effects:
            self._effects[q] = effect(self.samples, self.ranked, self.parts, q)
        return self._effects[q]

    def bounds(self, q: float, confidence: float) -> Bounds:
        """Return a lower and an upper bound of the quantile `q`, each by itself, as `latency_bounds` does."""
        return bounds_of_ranked(self.ranked, self.worth(q), q, confidence)


_SERIES: WeakKeyDictionary[LatencySamples, Series] = WeakKeyDictionary()


def series_of(samples: LatencySamples) -> Series:
    """Return the series of a measurement's timings, the same one as long as those are held."""
    if samples not in _SERIES:
        _SERIES[samples] = Series(samples.latency_ns, samples.session)
    return _SERIES[samples]
