"""Whether the times of two measurements may be held against each other, and if not, in what they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Protocol

from edgebench.benchmark.evidence import NOT_TOLD, Measurement, Timing

OF_THE_RUNTIME = ("runtime", "runtime_version", "provider", "timed")
"""Timing fields in which artifacts of two formats differ by nature: the runtime is part of the candidate."""

_OF_THE_DEVICE = ("fingerprint", "governor", "power_mode")
"""What a device's facts tell that must be alike, where both tell it."""


class Timed(Protocol):
    """A session, or what a log tells of one."""

    @property
    def timing(self) -> Timing:
        """Return what exactly was timed."""

    @property
    def coverage(self) -> str:
        """Return which part of the graph the provider runs."""


def unlike(first: Timing, second: Timing, ignored: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the fields in which two timing definitions differ: `threads 1 and 4`; none where they are alike.

    ignored: fields that may differ, as OF_THE_RUNTIME does between formats.
    """
    return tuple(
        f"{field.name} {_said(getattr(first, field.name))} and {_said(getattr(second, field.name))}"
        for field in fields(Timing)
        if field.name not in ignored and getattr(first, field.name) != getattr(second, field.name)
    )


def unlike_sessions(first: Timed, second: Timed, ignored: Sequence[str] = ()) -> tuple[str, ...]:
    """Return in what the times of two sessions are unlike: their definitions, the provider's coverage."""
    found = unlike(first.timing, second.timing, ignored)
    if first.coverage == second.coverage or "coverage" in ignored:
        return found
    return (*found, f"coverage {first.coverage or NOT_TOLD} and {second.coverage or NOT_TOLD}")


def unlike_measurements(
    first: Measurement, second: Measurement, ignored: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return in what two measurements are unlike: the device and its state, what was timed.

    The first session of each speaks for all. Between formats the fields of OF_THE_RUNTIME, and the
    coverage, may differ.
    """
    if first.artifact.format is not second.artifact.format:
        ignored = (*ignored, *OF_THE_RUNTIME, "coverage")
    found = [
        f"{name} {ours} and {theirs}"
        for name, ours, theirs in _device_pairs(first, second)
        if name not in ignored and ours != theirs
    ]
    if first.sessions and second.sessions:
        found += unlike_sessions(first.sessions[0], second.sessions[0], ignored)
    return tuple(found)


def _device_pairs(first: Measurement, second: Measurement) -> list[tuple[str, str, str]]:
    """Return the name and both values of each fact of the two devices that has to be alike."""
    ours, theirs = first.device, second.device
    told: list[Mapping[str, str]] = [ours.extra, theirs.extra]
    pairs = [(key, told[0][key], told[1][key]) for key in _OF_THE_DEVICE if all(key in one for one in told)]
    if not any(name == "fingerprint" for name, _, _ in pairs):
        pairs.append(("processor", ours.processor, theirs.processor))
    return [*pairs, ("system", ours.system, theirs.system)]


def _said(value: object) -> object:
    return NOT_TOLD if value is None else value
