"""Each quantity of one measured artifact: its value, its interval, and what would narrow it."""

from __future__ import annotations

import numpy as np

from edgebench.reports.answer_estimates import answered
from edgebench.reports.quantities import QUANTILES, Estimate, Quantity, unknown
from edgebench.reports.subjects import Subject
from edgebench.reports.timing_estimates import SESSION_FIELDS, latency, of_calls, per_session
from edgebench.reports.units import Dimension

_FROM_TIMINGS = frozenset({*QUANTILES, Quantity.LOAD, Quantity.FIRST, Quantity.MEMORY})
_FROM_FILE = frozenset({Quantity.SIZE, Quantity.SHRINK})


def applies(quantity: Quantity, subject: Subject) -> bool:
    """Return whether the quantity exists: nothing is held against itself."""
    if quantity in (Quantity.DROP, Quantity.CHURN):
        return not subject.is_baseline
    return quantity is not Quantity.SHRINK or not subject.is_reference


def from_timings(quantity: Quantity) -> bool:
    """Return whether the quantity was measured while the artifact ran, so that its machine matters."""
    return quantity in _FROM_TIMINGS


def from_clock(quantity: Quantity) -> bool:
    """Return whether the quantity is a time, which others on the machine make longer."""
    return quantity in _FROM_TIMINGS and quantity.dimension is Dimension.TIME


def from_file(quantity: Quantity) -> bool:
    """Return whether the quantity is a fact about files, whatever was measured."""
    return quantity in _FROM_FILE


def from_answers(quantity: Quantity) -> bool:
    """Return whether the quantity is computed from what the artifact answered."""
    return not (from_timings(quantity) or from_file(quantity))


def estimate(subject: Subject, quantity: Quantity, confidence: float) -> Estimate:
    """Return the quantity with bounds, each by itself at `confidence`; pure.

    For a two-sided 95 % interval pass 0.975.
    """
    if from_file(quantity):
        return _file_fact(subject, quantity)
    if subject.measurement.failure is not None:
        return unknown(f"it could not be measured: {subject.measurement.failure}")
    if quantity in QUANTILES:
        return latency(subject, QUANTILES[quantity], confidence)
    if quantity in SESSION_FIELDS:
        return per_session(subject, SESSION_FIELDS[quantity], confidence)
    return answered(subject, quantity, confidence)


def session_estimates(subject: Subject, quantity: Quantity, confidence: float) -> dict[int, Estimate]:
    """Return a percentile's estimate of each session by itself; empty for other quantities."""
    if quantity not in QUANTILES or subject.samples is None:
        return {}
    samples, q = subject.samples, QUANTILES[quantity]
    return {
        int(index): of_calls(samples.latency_ns[chosen], samples.session[chosen], q, confidence)
        for index in np.unique(samples.session)
        for chosen in [samples.session == index]
    }


def _file_fact(subject: Subject, quantity: Quantity) -> Estimate:
    size = float(subject.measurement.artifact.size_bytes)
    if not size:
        return unknown("its size is not known: its log was imported without the file", "file")
    if quantity is Quantity.SIZE:
        return Estimate(size, size, size, 1, "file")
    if subject.reference is None or not subject.reference.size_bytes:
        form = subject.measurement.artifact.format
        return unknown(f"there is no one fp32 {form} file to compare its size with", "file")
    shrink = subject.reference.size_bytes / size
    return Estimate(shrink, shrink, shrink, 1, "file")
