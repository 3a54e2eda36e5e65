"""What a device's sensors show before a measurement, and what would make it less than VALID."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgebench.benchmark.conditions import between, hottest
from edgebench.benchmark.evidence import Validity
from edgebench.benchmark.validity import graded, worst_conditions
from edgebench.devices.clusters import read_clusters
from edgebench.devices.energy import read_energy
from edgebench.devices.prepare import recovered
from edgebench.devices.sensors import read_sensors
from edgebench.doctor import Finding
from edgebench.errors import DeviceBusyError
from edgebench.progress import silent

if TYPE_CHECKING:
    from edgebench.devices.device import Device
    from edgebench.devices.readings import Readings

_BETWEEN_S = 1.0
"""Over which the work of others is looked at."""

_REMEDIES = {
    "heat_c": "edgebench benchmark --cool-down 60C waits before each session",
    "governor": "edgebench benchmark --prepare sets it for the time of the measurement",
    "others_share": "end what else runs there, or wait for it",
    "screen": "switch it off",
    "throttling": "let it cool, or give it a better power supply",
}


def examine_state(device: Device, *, root: str = "/") -> Iterator[Finding]:
    """Yield what the sensors show and what would degrade a measurement now; put back what one left changed.

    root: another tree in place of the machine's own. Raises DeviceError.
    """
    yield from _left_changed(device, root)
    before = read_sensors(device, root=root)
    time.sleep(_BETWEEN_S)
    after = read_sensors(device, root=root)
    yield Finding("sensors", present=True, detail=sensors_text(after))
    found = ", ".join(map(str, read_clusters(device, root=root)))
    if found:
        yield Finding("cores", present=True, detail=found)
    (energy,) = read_energy(device, root=root)
    meters = ", ".join(meter.name for meter in energy.meters)
    yield Finding("energy", present=True, detail=meters or f"not available: {energy.absent}")
    yield from _degrading(before, after)


def sensors_text(readings: Readings) -> str:
    """Return what the sensors show, on one line; absent ones are left out."""
    heat, cores = hottest(readings), readings.cores
    clocked = [core for core in cores if core.clock_mhz is not None]
    governors = sorted({core.governor for core in clocked if core.governor is not None})
    memory = readings.memory_available_bytes
    parts = [
        f"{heat:.0f} °C" if heat is not None else "",
        f"{max(core.clock_mhz or 0 for core in clocked):.0f} MHz" if clocked else "",
        f"governor {', '.join(governors)}" if governors else "",
        f"power mode {readings.power_mode}" if readings.power_mode else "",
        f"battery {readings.battery_percent} %" if readings.battery_percent is not None else "",
        f"load {readings.load_average:g}" if readings.load_average is not None else "",
        f"{memory / 2**30:.1f} GiB free" if memory is not None else "",
    ]
    shown = ", ".join(part for part in parts if part)
    without = ", ".join(name.replace("_", " ") for name in readings.absent)
    return f"{shown}; without {without}" if without else shown


def _left_changed(device: Device, root: str) -> Iterator[Finding]:
    """Yield what an earlier measurement had left changed; nothing where one is at work."""
    try:
        with device.lease(silent, wait_s=0):
            for line in recovered(device, root=root):
                yield Finding("settings", present="cannot" not in line, detail=line)
    except DeviceBusyError as err:
        yield Finding("settings", present=True, detail=err.message)


def _degrading(before: Readings, after: Readings) -> Iterator[Finding]:
    for condition in worst_conditions(list(between(before, after, cpu_s=0.0))):
        grade, reason = graded(condition)
        if grade is not Validity.VALID:
            detail = f"would be {grade} now: {reason}"
            yield Finding("valid run", present=False, detail=detail, remedy=_REMEDIES.get(condition.name))
