"""A device's own noise floor: how far an artifact seems to differ from itself, kept beside the inventory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.evidence import Evidence, LatencySamples, Measurement, Validity
from edgebench.benchmark.evidence_files import load_samples
from edgebench.benchmark.noise_record import NOISE_SCHEMA, PERCENTILES, NoiseFloor
from edgebench.benchmark.pairing import compare_in_turn
from edgebench.errors import InputError, MeasurementError
from edgebench.storage import read_json, write_json

FLOOR = 0.95
"""The share of A/A comparisons whose ratio stays below the floor."""


def noise_file(folder: Path, fingerprint: str) -> Path:
    """Return where the floor of the device with this fingerprint is kept. folder: of the user's inventory."""
    return folder / "noise" / f"{fingerprint}.json"


def load_noise(folder: Path, fingerprint: str | None) -> NoiseFloor | None:
    """Return the floor that is kept of a device, None where there is none. Raises InputError."""
    if not fingerprint or not (path := noise_file(folder, fingerprint)).exists():
        return None
    floor = read_json(path, NoiseFloor)
    if floor.schema > NOISE_SCHEMA:
        raise InputError(f"{path}: schema {floor.schema} is of a later version of edgebench")
    return floor


def save_noise(folder: Path, floor: NoiseFloor) -> Path:
    """Keep a floor in place of an older one of the same device; return its file. Raises StorageError."""
    path = noise_file(folder, floor.fingerprint)
    write_json(path, floor)
    return path


def noise_of(folder: Path, evidence: Evidence, comparisons: int) -> NoiseFloor:
    """Return the floor from a run that timed one artifact twice, in so many comparisons of equal sessions.

    folder: the run's. Raises MeasurementError where one of the two failed or is INVALID, InputError for a
    device that tells no fingerprint to keep it under.
    """
    first, second = evidence.measurements
    for measurement in (first, second):
        if measurement.failure is not None:
            raise MeasurementError(f"{measurement.artifact.id}: {measurement.failure}")
        if measurement.validity is Validity.INVALID:
            why = "; ".join(measurement.validity_reasons)
            raise MeasurementError(f"{measurement.device.uri}: the measurement is INVALID: {why}")
    fingerprint = first.device.extra.get("fingerprint")
    if not fingerprint:
        raise InputError(f"{first.device.uri} has no fingerprint to keep a noise floor under")
    sides = load_samples(folder, first), load_samples(folder, second)
    each = len(first.sessions) // comparisons
    runs = [range(start, start + each) for start in range(0, each * comparisons, each)]
    logs = {name: tuple(_log_ratio(sides, run, q) for run in runs) for name, q in PERCENTILES.items()}
    return NoiseFloor(
        fingerprint=fingerprint,
        device=first.device.uri,
        measured_utc=evidence.created_utc,
        tool_version=evidence.tool_version,
        model=first.artifact.id,
        model_sha256=first.artifact.sha256,
        sessions=each,
        calls=_calls(first),
        threads=first.sessions[0].timing.threads,
        affinity=first.sessions[0].timing.affinity,
        validity=str(first.validity),
        floors={name: math.expm1(floor_of(values)) for name, values in logs.items()},
        log_ratios=logs,
    )


def floor_of(logs: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the order statistic under which FLOOR of the sizes of ratios' logarithms lie."""
    return float(np.quantile(np.abs(logs), FLOOR, method="inverted_cdf"))


def _log_ratio(sides: tuple[LatencySamples, LatencySamples], sessions: range, q: float) -> float:
    first, second = (only(samples, sessions) for samples in sides)
    return math.log(compare_in_turn(first, second, q, FLOOR).ratio)


def only(samples: LatencySamples, sessions: Sequence[int]) -> LatencySamples:
    """Return the calls of some sessions."""
    kept = np.isin(samples.session, list(sessions))
    block = None if samples.block is None else samples.block[kept]
    return LatencySamples(samples.latency_ns[kept], samples.session[kept], samples.warmup_ns[:0], block=block)


def _calls(measurement: Measurement) -> int:
    return int(np.median([session.calls for session in measurement.sessions]))
