"""Estimates of what was timed: percentiles of the calls, medians of what each session has once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgebench.benchmark import statistics
from edgebench.benchmark.comparable import unlike_sessions
from edgebench.benchmark.evidence import LatencySamples, Measurement, Summary
from edgebench.benchmark.sequential import enough_known
from edgebench.benchmark.series import Series, series_of
from edgebench.reports.quantities import Estimate, Quantity, unknown
from edgebench.reports.subjects import Subject
from edgebench.reports.units import Dimension, stored_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INDEPENDENT = 0.8
"""Calls worth this share of themselves are called independent: so much is estimation's own noise."""


def pooling_problem(measurement: Measurement) -> str | None:
    """Return why the sessions' timings do not belong together, or None."""
    sessions = measurement.sessions
    for session in sessions[1:]:
        if unlike := unlike_sessions(sessions[0], session):
            return f"its sessions cannot be pooled, they differ in {'; '.join(unlike)}"
    return None


def latency(subject: Subject, q: float, confidence: float) -> Estimate:
    """Return the quantile `q` of the calls' latencies, in ns."""
    problem = calls_problem(subject.measurement, subject.samples)
    if problem or subject.samples is None:
        return unknown(
            problem or "", "calls", 0 if subject.samples is None else len(subject.samples.latency_ns)
        )
    found = of_calls(series_of(subject.samples), q, confidence)
    return found if subject.looks is None or found.known else replace(found, lower=None, upper=None)


def calls_problem(measurement: Measurement, samples: LatencySamples | None) -> str | None:
    """Return why no percentile can be had from a measurement's calls, or None."""
    summaries = [s.summary for s in measurement.sessions if s.summary is not None]
    if summaries:
        return _summary_problem(summaries)
    if samples is None or len(samples.latency_ns) == 0:
        return "no latency was measured"
    return pooling_problem(measurement)


def _summary_problem(summaries: Sequence[Summary]) -> str:
    """Return why a percentile cannot be had from what a tool printed in place of its timings."""
    calls = sum(summary.calls for summary in summaries)
    mean = sum(summary.mean_ns * summary.calls for summary in summaries) / max(calls, 1)
    return (
        f"{summaries[0].tool} kept a summary of {calls:,} calls (mean {stored_text(mean, Dimension.TIME)}) "
        "and not the single timings: no percentile can be judged from it"
    )


def of_calls(series: Series, q: float, confidence: float) -> Estimate:
    """Return the quantile `q` of timings in ns."""
    value, found, n = series.worth(q), series.bounds(q, confidence), len(series)
    independent = None if value.calls >= _INDEPENDENT * n else int(value.calls)
    known = enough_known(value)
    return Estimate(series.quantile(q), found.lower, found.upper, n, "calls", worth=independent, known=known)


def median(values: NDArray[np.int64] | NDArray[np.float64], confidence: float, of: str) -> Estimate:
    """Return the median of values that independent processes gave, with bounds from order statistics."""
    found = statistics.quantile_bounds_one_sided(values, 0.5, confidence)
    return Estimate(statistics.quantile(values, 0.5), found.lower, found.upper, len(values), of)


SESSION_FIELDS: dict[Quantity, str] = {
    Quantity.LOAD: "load_ns",
    Quantity.FIRST: "first_ns",
    Quantity.MEMORY: "peak_rss_bytes",
    Quantity.STEADY_MEMORY: "steady_rss_bytes",
}
"""The field of a session that holds each quantity which a session has once."""


def per_session(subject: Subject, field: str, confidence: float) -> Estimate:
    """Return the median over the sessions of what each has once, in the unit of the field."""
    values = [getattr(session, field) for session in subject.measurement.sessions]
    if not values:
        return unknown("no session was run", "sessions")
    if None in values:
        imported = any(session.origin for session in subject.measurement.sessions)
        why = "the log that was imported does not tell it" if imported else "the sessions do not tell it"
        return unknown(why, "sessions")
    if problem := pooling_problem(subject.measurement):
        return unknown(problem, "sessions", len(values))
    return median(np.asarray(values, np.int64), confidence, "sessions")
