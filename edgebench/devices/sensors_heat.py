"""Heat and what it costs: thermal zones, processors' own sensors, cooling devices, counts of throttling.

Manual: the kernel's Documentation/ABI/testing/sysfs-class-thermal, Documentation/hwmon/coretemp and k10temp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgebench.devices import sensors_boards as boards
from edgebench.devices.readings import Temperature
from edgebench.devices.sysfs import SysFiles

_THERMAL = "sys/class/thermal"
_HWMON = "sys/class/hwmon/hwmon*"
_COUNTS = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count"
ZONES, STATES = f"{_THERMAL}/thermal_zone*/temp", f"{_THERMAL}/cooling_device*/cur_state"
PATTERNS = (
    ZONES,
    *(f"{_THERMAL}/thermal_zone*/{name}" for name in ("type", "trip_point_*_type", "trip_point_*_temp")),
    STATES,
    f"{_THERMAL}/cooling_device*/type",
    *(f"{_HWMON}/{name}" for name in ("name", "temp*_input", "temp*_label", "temp*_crit")),
    _COUNTS,
)

_LEAST_TRIP_C = 40.0
"""Trip points below are for fans, or stand for none."""

_SENSIBLE_C = (-40.0, 200.0)
_LEAST_UNITS = 1000  # a zone that shows 42 is not in the kernel's millidegrees, and may mean anything
_SLOWING = re.compile(r"(?i)cpufreq|devfreq|^processor$|powerclamp|throttle|cpu[_-]|gpu")
"""Cooling devices that cost speed; fans do not."""

_CHIPS = {"coretemp": None, "k10temp": 90.0, "zenpower": 90.0}
"""Sensors in processors that are no thermal zones, and where those slow down that do not tell it: AMD's are
specified up to 89, 90 or 95 °C."""


def temperatures(files: SysFiles) -> tuple[Temperature, ...]:
    """Return what the zones show, then the processor's own sensors; those that are off are left out."""
    return (*_zones(files), *_chips(files))


def throttling(files: SysFiles) -> tuple[str, ...] | None:
    """Return what slows the machine down now; None where nothing tells."""
    states = [
        (files.text(path.replace("cur_state", "type")) or "", files.number(path))
        for path in files.paths(STATES)
    ]
    slowing = [(name, state) for name, state in states if _SLOWING.search(name) and state is not None]
    told = boards.throttling(files)
    if not slowing and told is None:
        return None
    active = [f"{name} is at step {state}" for name, state in slowing if state > 0]
    return (*active, *(told or ()))


def throttle_count(files: SysFiles) -> int | None:
    """Return how often the machine was slowed down since its start; None where nothing tells."""
    counts = [files.number(path) for path in files.paths(_COUNTS)]
    told = [*(count for count in counts if count is not None), *boards.past_throttling(files)]
    return sum(told) if told else None


def _zones(files: SysFiles) -> Iterator[Temperature]:
    for path in files.paths(ZONES):
        zone, celsius = path.rpartition("/")[0], _celsius(files, path)
        if celsius is not None:
            name = files.text(f"{zone}/type") or zone.rpartition("/")[2]
            yield Temperature(name, celsius, _throttles_at(files, zone))


def _chips(files: SysFiles) -> Iterator[Temperature]:
    for path in files.paths(f"{_HWMON}/temp*_input"):
        chip, celsius = files.text(f"{path.rpartition('/')[0]}/name"), _celsius(files, path)
        if chip in _CHIPS and celsius is not None:
            label = files.text(path.replace("_input", "_label")) or ""
            limit = _celsius(files, path.replace("_input", "_crit")) or _CHIPS[chip]
            yield Temperature(f"{chip} {label}".strip(), celsius, limit)


def _celsius(files: SysFiles, path: str) -> float | None:
    """Return a temperature, None for one that is off, garbage, or in another unit."""
    value = files.number(path)
    if value is None or abs(value) < _LEAST_UNITS:
        return None
    celsius = value / 1e3
    return celsius if _SENSIBLE_C[0] < celsius < _SENSIBLE_C[1] else None  # without power it shows −256


def _throttles_at(files: SysFiles, zone: str) -> float | None:
    """Return the lowest temperature at which the kernel slows down; a critical one is a shutdown."""
    slowing = [
        _celsius(files, path.replace("_type", "_temp"))
        for path in files.paths(f"{zone}/trip_point_*_type")
        if files.text(path) in {"passive", "hot"}
    ]
    return min((at for at in slowing if at is not None and at >= _LEAST_TRIP_C), default=None)
