"""What the sensors showed around all sessions of a device, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from edgebench.benchmark.conditions import hottest
from edgebench.benchmark.evidence import Measurement, Readings
from edgebench.reports.units import Dimension, stored_text
from edgebench.reports.words import join


def sensor_pairs(measurements: Sequence[Measurement]) -> Iterator[tuple[str, str]]:
    """Yield name and words of each sensor, over all readings; nothing where none was taken."""
    readings = [
        reading
        for measurement in measurements
        for session in measurement.sessions
        for reading in (session.before, session.after)
        if reading is not None
    ]
    if not readings:
        return
    yield "readings", f"{len(readings)}, right before and right after each session"
    yield from _known("temperature", map(hottest, readings), lambda c: f"{c:.0f} °C")
    yield from _known("highest clock of a core", map(_clock, readings), lambda mhz: f"{mhz:.0f} MHz")
    yield from _named("governor", (core.governor for reading in readings for core in reading.cores))
    yield from _named("power mode", (reading.power_mode for reading in readings))
    yield from _throttling(readings)
    yield from _known(
        "free memory",
        (reading.memory_available_bytes for reading in readings),
        lambda size: stored_text(size, Dimension.SIZE),
    )
    yield from _known(
        "battery", (reading.battery_percent for reading in readings), lambda level: f"{level:g} %"
    )
    yield from _named("started", (reading.boot_id and reading.boot_id[:8] for reading in readings))
    for reason in dict.fromkeys(readings[0].absent.values()):
        names = [name.replace("_", " ") for name, why in readings[0].absent.items() if why == reason]
        yield "no reading", f"{join(names)}: {reason}"


def _clock(reading: Readings) -> float | None:
    return max((core.clock_mhz for core in reading.cores if core.clock_mhz is not None), default=None)


def _known(
    name: str, values: Iterable[float | None], text: Callable[[float], str]
) -> Iterator[tuple[str, str]]:
    """Yield the span of what was read, its ends in words."""
    read = [value for value in values if value is not None]
    if read:
        least, most = text(min(read)), text(max(read))
        yield name, least if least == most else f"{least} to {most}"


def _named(name: str, values: Iterable[str | None]) -> Iterator[tuple[str, str]]:
    read = sorted({value for value in values if value})
    if read:
        yield name, join(read)


def _throttling(readings: Sequence[Readings]) -> Iterator[tuple[str, str]]:
    told = [reading.throttling for reading in readings if reading.throttling is not None]
    if told:
        words = sorted({word for words in told for word in words})
        yield "slowed down", join(words) if words else "never"
