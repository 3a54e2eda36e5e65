"""Two measurements held against each other: pure, from evidence to what may be said of the difference."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgebench.benchmark import accuracy
from edgebench.benchmark.comparable import OF_THE_RUNTIME, unlike, unlike_measurements
from edgebench.benchmark.comparison import Comparison, compare_latencies
from edgebench.benchmark.evidence import Answers, LatencySamples, Measurement, Validity
from edgebench.benchmark.noise_record import NoiseFloor
from edgebench.benchmark.pairing import compare_in_turn, timed_in_turn
from edgebench.benchmark.statistics import drop_bounds, quantile_supported, side_confidence
from edgebench.errors import InputError, MeasurementError
from edgebench.reports.verdict import Interval

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Difference(enum.StrEnum):
    """What may be said of the candidate's time against the baseline's."""

    FASTER = "faster"
    SLOWER = "slower"
    NONE_SHOWN = "no difference shown"
    BELOW_NOISE = "below the noise floor"


@dataclass(frozen=True, slots=True)
class Side:
    """One of two measurements. name: what the user called it, for messages."""

    name: str
    measurement: Measurement
    samples: LatencySamples
    answers: Answers | None = None


@dataclass(frozen=True, slots=True)
class PercentileCompared:
    """A percentile of both, in nanoseconds, and the candidate's over the baseline's.

    floor: the share below which a difference is none on this device; None where it is not known.
    """

    percentile: str
    baseline_ns: float
    candidate_ns: float
    ratio: float
    interval: Interval
    floor: float | None
    difference: Difference
    words: str


@dataclass(frozen=True, slots=True)
class AccuracyCompared:
    """What the candidate loses in top-1 on the same samples, in percentage points; a gain is negative."""

    samples: int
    drop_pp: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Compared:
    """Two measurements compared. in_turn: whether they were timed in the same sessions, block by block."""

    baseline: str
    candidate: str
    device: str
    in_turn: bool
    sessions: int
    confidence: float
    percentiles: tuple[PercentileCompared, ...]
    accuracy: AccuracyCompared | None
    notes: tuple[str, ...] = ()


def compare(
    baseline: Side,
    candidate: Side,
    *,
    noise: NoiseFloor | None = None,
    despite: Sequence[str] = (),
    confidence: float = 0.95,
) -> Compared:
    """Return what may be said of two measurements; the same for the same evidence.

    noise: the device's floor. despite: fields in which they may differ. confidence: of each interval.
    Raises InputError where they are unlike, naming the fields; MeasurementError where one was not
    measured, is INVALID, or has other sessions.
    """
    sides = (baseline, candidate)
    _check(sides, despite)
    in_turn = timed_in_turn(baseline.measurement, candidate.measurement)
    fewest = min(len(side.samples.latency_ns) for side in sides)
    asked = {
        name: q
        for name, q in PERCENTILES.items()
        if quantile_supported(fewest, q, side_confidence(confidence))
    }
    return Compared(
        baseline=baseline.name,
        candidate=candidate.name,
        device=candidate.measurement.device.uri,
        in_turn=in_turn,
        sessions=len(candidate.measurement.sessions),
        confidence=confidence,
        percentiles=tuple(
            _percentile(name, q, sides, _compared(sides, q, confidence, in_turn=in_turn), noise)
            for name, q in asked.items()
        ),
        accuracy=_accuracy(baseline, candidate, confidence),
        notes=tuple(_notes(sides, noise, despite, in_turn=in_turn)),
    )


def _check(sides: tuple[Side, Side], despite: Sequence[str]) -> None:
    for side in sides:
        if side.measurement.failure is not None:
            raise MeasurementError(f"{side.name} could not be measured: {side.measurement.failure}")
        if side.measurement.validity is Validity.INVALID:
            why = "; ".join(side.measurement.validity_reasons) or "no reason was recorded"
            raise MeasurementError(f"{side.name} is INVALID: {why}")
        if not len(side.samples.latency_ns):
            raise MeasurementError(f"{side.name} has no timings of single calls")
    first, second = (side.measurement for side in sides)
    if differing := unlike_measurements(first, second, despite):
        fields = " ".join(f"--despite {text.split()[0]}" for text in differing)
        raise InputError(
            f"{sides[0].name} and {sides[1].name} cannot be compared, they differ in {'; '.join(differing)}",
            hint=f"measure both alike; where that difference is what you ask about: {fields}",
        )


def _compared(sides: tuple[Side, Side], q: float, confidence: float, *, in_turn: bool) -> Comparison:
    baseline, candidate = (side.samples for side in sides)
    if in_turn:
        return compare_in_turn(baseline, candidate, q, confidence)
    try:
        return compare_latencies(
            baseline.latency_ns,
            baseline.session,
            candidate.latency_ns,
            candidate.session,
            q,
            confidence,
            seed=0,
        )
    except MeasurementError as err:
        raise MeasurementError(err.message, hint="measure both with the same number of sessions") from err


def _percentile(
    name: str, q: float, sides: tuple[Side, Side], found: Comparison, noise: NoiseFloor | None
) -> PercentileCompared:
    floor = noise.at(q) if noise is not None else None
    difference = difference_of(found, floor)
    baseline, candidate = (float(np.quantile(side.samples.latency_ns, q)) for side in sides)
    ends = Interval(found.ratio_interval.lower, found.ratio_interval.upper)
    words = _words(found, difference, floor)
    return PercentileCompared(name, baseline, candidate, found.ratio, ends, floor, difference, words)


def difference_of(found: Comparison, floor: float | None) -> Difference:
    """Return what a ratio with its interval shows; nothing at or below the floor is a difference."""
    lower, upper = found.ratio_interval.lower, found.ratio_interval.upper
    if lower is None or upper is None or lower <= 1 <= upper:
        return Difference.NONE_SHOWN
    if floor is not None and abs(math.log(found.ratio)) <= math.log1p(floor):
        return Difference.BELOW_NOISE
    return Difference.SLOWER if lower > 1 else Difference.FASTER


def _words(found: Comparison, difference: Difference, floor: float | None) -> str:
    change = f"{100 * abs(found.ratio - 1):.1f} %"
    if difference in (Difference.SLOWER, Difference.FASTER):
        return f"{change} {difference}"
    if difference is Difference.BELOW_NOISE:
        return f"no difference: {change} is within the device's noise floor of {100 * (floor or 0):.1f} %"
    if found.ratio_interval.lower is None:
        return "no difference shown: one session has no interval"
    return f"{difference}: the interval holds 1"


def _accuracy(baseline: Side, candidate: Side, confidence: float) -> AccuracyCompared | None:
    """Return the drop in top-1, None where the two did not answer the same samples with classes."""
    first, second = baseline.answers, candidate.answers
    records = [side.measurement.accuracy for side in (baseline, candidate)]
    if first is None or second is None or None in records or not len(first.labels):
        return None
    same = len({record.fingerprint for record in records if record is not None}) == 1
    if not same or not np.array_equal(first.labels, second.labels):
        return None
    counts = accuracy.paired_counts(first.logits, second.logits, first.labels)
    b, c, n = counts.baseline_only, counts.candidate_only, counts.n
    ends = drop_bounds(b, c, n, side_confidence(confidence))
    lower, upper = (None if end is None else 100 * end for end in (ends.lower, ends.upper))
    return AccuracyCompared(n, 100 * (b - c) / n, Interval(lower, upper))


def _notes(
    sides: tuple[Side, Side], noise: NoiseFloor | None, despite: Sequence[str], *, in_turn: bool
) -> list[str]:
    first, second = (side.measurement for side in sides)
    notes = []
    if not in_turn:
        notes.append(
            "they were not timed in turn: what changed on the machine between them is in the difference"
        )
    if noise is None:
        notes.append(
            f"the noise floor of {second.device.uri} is not known: "
            f"`edgebench devices noise {second.device.uri} MODEL` measures it"
        )
    else:
        notes.append(f"noise floor of {second.device.uri}: {noise.words}")
    theirs, ours = first.sessions[0].timing, second.sessions[0].timing
    if first.artifact.format is not second.artifact.format:
        notes += [
            f"of two formats: {text}" for text in unlike(theirs, ours) if text.split()[0] in OF_THE_RUNTIME
        ]
    if given := [text for text in unlike_measurements(first, second) if text.split()[0] in despite]:
        notes.append(f"compared although they differ in {'; '.join(given)}")
    notes += [
        f"{side.name} is DEGRADED: {'; '.join(side.measurement.validity_reasons)}"
        for side in sides
        if side.measurement.validity is Validity.DEGRADED
    ]
    return notes
