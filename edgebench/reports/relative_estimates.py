"""Estimates relative to the baseline's: the ratio of a percentile, of what sessions have once, of sizes."""

from __future__ import annotations

import numpy as np

from edgebench.benchmark.comparable import unlike_measurements
from edgebench.benchmark.comparison import RESAMPLES, compare_latencies
from edgebench.benchmark.dependence import session_parts
from edgebench.benchmark.evidence import LatencySamples, Measurement, Validity
from edgebench.benchmark.pairing import compare_in_turn, timed_in_turn
from edgebench.benchmark.statistics import Bounds, quantile, quantile_supported
from edgebench.errors import MeasurementError
from edgebench.reports.quantities import Estimate, Quantity, Question, unknown
from edgebench.reports.subjects import Subject
from edgebench.reports.timing_estimates import SESSION_FIELDS, calls_problem, median, pooling_problem

NO_BASELINE = "the run has no baseline to compare with"
_LEAST_CALLS = 4
"""In a session: fewer do not make two blocks with more than one call each."""


def relative(subject: Subject, question: Question, confidence: float) -> Estimate:
    """Return the quantity over the baseline's, as a ratio, with bounds each by itself at `confidence`.

    What is not comparable, as measurements of two devices are, is a problem that names the field.
    """
    baseline = subject.baseline
    if baseline is None:
        return unknown(NO_BASELINE)
    if question.quantity is Quantity.SIZE:
        return _size(subject.measurement, baseline)
    if problem := _problem(question, subject.measurement, baseline):
        return unknown(problem)
    if question.quantile is None:
        return _sessions(subject.measurement, baseline, SESSION_FIELDS[question.quantity], confidence)
    own, theirs = subject.samples, subject.baseline_samples
    problem = calls_problem(subject.measurement, own) or calls_problem(baseline, theirs)
    if problem or own is None or theirs is None:
        return unknown(problem or "", "calls")
    in_turn = timed_in_turn(baseline, subject.measurement)
    return _calls(own, theirs, question.quantile, confidence, in_turn=in_turn)


def _problem(question: Question, measurement: Measurement, baseline: Measurement) -> str | None:
    """Return why times may not be held against the baseline's, or None."""
    name, ours, theirs = baseline.artifact.id, measurement.device.uri, baseline.device.uri
    if ours != theirs:
        return f"the baseline {name} was measured on another device: {theirs}, not {ours}"
    if baseline.failure is not None:
        return f"the baseline {name} could not be measured: {baseline.failure}"
    if baseline.validity is Validity.INVALID:
        why = "; ".join(baseline.validity_reasons) or "no reason was recorded"
        return f"the baseline {name} is INVALID: {why}"
    if baseline.disturbances and question.quantity is not Quantity.MEMORY:
        what = "; ".join(baseline.disturbances)
        return f"the times of the baseline {name} may be those of a disturbance: {what}"
    if differing := unlike_measurements(measurement, baseline):
        return f"the baseline {name} was timed otherwise: {'; '.join(differing)}"
    return None


def _size(measurement: Measurement, baseline: Measurement) -> Estimate:
    own, theirs = measurement.artifact.size_bytes, baseline.artifact.size_bytes
    if not own or not theirs:
        return unknown("the size of the file or of the baseline's is not known", "file")
    return Estimate(own / theirs, own / theirs, own / theirs, 1, "file")


def _sessions(measurement: Measurement, baseline: Measurement, field: str, confidence: float) -> Estimate:
    """Return the median ratio over sessions taken in turn, which their index pairs."""
    values, others = (
        {session.index: getattr(session, field) for session in one.sessions}
        for one in (measurement, baseline)
    )
    pairs = [(values[index], others[index]) for index in sorted({*values} & {*others})]
    told = [own / theirs for own, theirs in pairs if own is not None and theirs]
    if not told:
        return unknown("the sessions do not tell it", "sessions")
    if problem := pooling_problem(measurement) or pooling_problem(baseline):
        return unknown(problem, "sessions", len(told))
    return median(np.array(told), confidence, "sessions")


def _calls(
    own: LatencySamples, theirs: LatencySamples, q: float, confidence: float, *, in_turn: bool
) -> Estimate:
    n = min(len(own.latency_ns), len(theirs.latency_ns))
    parts = [session_parts(samples.session) for samples in (own, theirs)]
    shortest = min(part.stop - part.start for of_one in parts for part in of_one)
    value = quantile(own.latency_ns, q) / quantile(theirs.latency_ns, q)
    if (
        not quantile_supported(n, q, confidence)
        or shortest < _LEAST_CALLS
        or (1 - confidence) * RESAMPLES < 1
    ):
        return Estimate(value, None, None, n, "calls")
    try:
        found = (
            compare_in_turn(theirs, own, q, 2 * confidence - 1)
            if in_turn
            else compare_latencies(
                theirs.latency_ns, theirs.session, own.latency_ns, own.session, q, 2 * confidence - 1, seed=0
            )
        )
    except MeasurementError as err:
        return unknown(f"it cannot be held against the baseline: {err.message}", "calls", n)
    bounds: Bounds = found.ratio_interval
    return Estimate(found.ratio, bounds.lower, bounds.upper, n, "calls")
