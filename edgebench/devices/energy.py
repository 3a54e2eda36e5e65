"""The energy that a machine has used, as its own meters tell it.

RAPL: the kernel's Documentation/power/powercap; the counter of a package runs over. INA3221 and other
meters on a rail: Documentation/hwmon; millivolts times milliamperes. A battery's fuel gauge:
Documentation/ABI/testing/sysfs-class-power. A meter that counts energy needs two readings; one that shows
power needs many, and the time between them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from edgebench.devices.sysfs import SysFiles, read_files

if TYPE_CHECKING:
    from edgebench.devices.transport import Transport

LEAST_POWER_READINGS = 10
"""Readings of a power from which an energy is drawn; with fewer, one peak would decide."""

METER_FILES = (
    "proc/uptime",
    "sys/class/powercap/*/name",
    "sys/class/powercap/*/energy_uj",
    "sys/class/powercap/*/max_energy_range_uj",
    "sys/class/hwmon/hwmon*/name",
    "sys/class/hwmon/hwmon*/in*_label",
    "sys/class/hwmon/hwmon*/in*_input",
    "sys/class/hwmon/hwmon*/curr*_input",
    "sys/class/hwmon/hwmon*/power*_input",
    "sys/class/hwmon/hwmon*/power*_label",
    "sys/class/hwmon/hwmon*/energy*_input",
    "sys/class/hwmon/hwmon*/energy*_label",
    "sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*",
    "sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power*_input",
    "sys/class/power_supply/*/type",
    "sys/class/power_supply/*/charge_counter",
    "sys/class/power_supply/*/charge_now",
    "sys/class/power_supply/*/energy_now",
    "sys/class/power_supply/*/voltage_now",
)
"""The files of all meters: their names, which stay, and what they show."""

_UNCONNECTED = "NC"


class Scope(enum.StrEnum):
    """What a meter's energy is drawn by."""

    PROCESSOR = "processor"
    RAIL = "rail"
    BATTERY = "battery"


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter at one time. name: the rail's, package's or battery's. source: the file.

    One of three is given. energy_uj: counted so far, microjoules, from 0 again at wraps_uj where that is not
    None; a battery's goes down. charge_uc: what is left in a battery, microcoulombs, at `volts`. power_mw:
    now.
    """

    name: str
    source: str
    scope: Scope
    energy_uj: float | None = None
    wraps_uj: float | None = None
    charge_uc: float | None = None
    volts: float = 0.0
    power_mw: float | None = None

    def since_uj(self, earlier: Meter) -> float:
        """Return the microjoules that a meter which counts saw since an earlier reading."""
        if self.charge_uc is not None and earlier.charge_uc is not None:
            return (earlier.charge_uc - self.charge_uc) * (earlier.volts + self.volts) / 2
        step = (self.energy_uj or 0.0) - (earlier.energy_uj or 0.0)
        if self.scope is Scope.BATTERY:
            return -step
        return step + self.wraps_uj if step < 0 and self.wraps_uj is not None else step


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """All meters of a machine at one time, on its own clock. absent: why there are none."""

    uptime_s: float
    meters: tuple[Meter, ...]
    absent: str = ""


@dataclass(frozen=True, slots=True)
class Energy:
    """What one meter saw between the first reading and the last.

    joules: None where it cannot be told, and `unavailable` says why. method: how it was had, in words.
    """

    name: str
    source: str
    scope: Scope
    joules: float | None
    duration_s: float
    method: str
    unavailable: str = ""


def read_energy(
    machine: Transport, *, root: str = "/", times: int = 1, every_s: float = 0.2
) -> tuple[EnergyReading, ...]:
    """Return what the meters show, `times` times in one command, `every_s` seconds apart.

    Two single readings around the work are enough for meters that count; those of power need the work to
    go on beside one long command. root: another tree in place of the machine's own. Raises DeviceError.
    """
    return tuple(
        as_reading(files)
        for files in read_files(machine, METER_FILES, root=root, times=times, every_s=every_s)
    )


def energy_used(readings: Sequence[EnergyReading]) -> tuple[Energy, ...]:
    """Return the energy of each meter from the first reading to the last, empty where there is no meter.

    Raises ValueError for fewer than two readings.
    """
    if len(readings) < 2:  # noqa: PLR2004 a beginning and an end
        raise ValueError("energy lies between two readings")
    found = []
    for meter in readings[0].meters:
        series = [(r.uptime_s, m) for r in readings for m in r.meters if m.source == meter.source]
        found.append(_counted(series) if meter.power_mw is None else _integrated(series))
    return tuple(found)


def _counted(series: Sequence[tuple[float, Meter]]) -> Energy:
    """Return the difference of a count; between two readings it may have run over once."""
    meters = [meter for _, meter in series]
    used = sum(later.since_uj(earlier) for earlier, later in pairwise(meters))
    why, first = "", meters[0]
    if first.scope is Scope.BATTERY and used <= 0:
        why = "the battery's count did not fall: it is charged, or its gauge is too coarse for this time"
    elif used < 0:
        why = "the count went backwards"
    return Energy(
        name=first.name,
        source=first.source,
        scope=first.scope,
        joules=None if why else used / 1e6,
        duration_s=series[-1][0] - series[0][0],
        method="difference of a counter",
        unavailable=why,
    )


def _integrated(series: Sequence[tuple[float, Meter]]) -> Energy:
    """Return the area under a power by the trapezoidal rule."""
    meter, duration = series[0][1], series[-1][0] - series[0][0]
    why, joules = "", None
    if len(series) < LEAST_POWER_READINGS or duration <= 0:
        why = f"{len(series)} readings of a power are no energy: it takes {LEAST_POWER_READINGS} or more"
    else:
        joules = sum(
            (end - begin) * ((first.power_mw or 0.0) + (second.power_mw or 0.0)) / 2e3
            for (begin, first), (end, second) in pairwise(series)
        )
    method = f"{len(series)} readings of the power over time"
    return Energy(meter.name, meter.source, meter.scope, joules, duration, method, why)


def as_reading(files: SysFiles) -> EnergyReading:
    """Return what the meters show, from the content of `METER_FILES` at one time."""
    meters = (*_powercap(files), *_hwmon(files), *_iio(files), *_batteries(files))
    uptime = (files.text("proc/uptime") or "0").split()[0]
    absent = (
        "" if meters else files.why_not("sys/class/powercap/*/energy_uj", "sys/class/hwmon/*/curr*_input")
    )
    return EnergyReading(float(uptime), meters, absent)


def _powercap(files: SysFiles) -> Iterator[Meter]:
    """Yield RAPL's counters; root alone may read them since Linux 5.10."""
    for path in files.paths("sys/class/powercap/*/energy_uj"):
        count, zone = files.number(path), path.rpartition("/")[0]
        if count is not None:
            name, wraps = files.text(f"{zone}/name") or zone, files.number(f"{zone}/max_energy_range_uj")
            yield Meter(name, path, Scope.PROCESSOR, energy_uj=count, wraps_uj=wraps)


def _hwmon(files: SysFiles) -> Iterator[Meter]:
    """Yield the rails of meters: those that count, that show microwatts, or volts and amperes of a name."""
    for path in files.paths("sys/class/hwmon/*/energy*_input"):
        if (count := files.number(path)) is not None:
            yield Meter(_label(files, path), path, Scope.RAIL, energy_uj=count)
    for path in files.paths("sys/class/hwmon/*/power*_input"):
        if (microwatts := files.number(path)) is not None:
            yield Meter(_label(files, path), path, Scope.RAIL, power_mw=microwatts / 1e3)
    for path in files.paths("sys/class/hwmon/*/curr*_input"):
        volts = path.replace("/curr", "/in")  # an INA3221 has more of both, sums and shunts, without a name
        label = files.text(volts.replace("_input", "_label"))
        milliamperes, millivolts = files.number(path), files.number(volts)
        if label not in {None, _UNCONNECTED} and milliamperes is not None and millivolts is not None:
            yield Meter(str(label), path, Scope.RAIL, power_mw=millivolts * milliamperes / 1e3)


def _label(files: SysFiles, path: str) -> str:
    """Return what a meter's file is called: by its own label, or by its chip."""
    chip = files.text(f"{path.rpartition('/')[0]}/name")
    return files.text(path.replace("_input", "_label")) or chip or path


def _iio(files: SysFiles) -> Iterator[Meter]:
    """Yield the rails of a Jetson with JetPack 4."""
    for path in files.paths("sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power*_input"):
        folder, _, name = path.rpartition("/")
        channel = name.removeprefix("in_power").removesuffix("_input")
        power = files.number(path)
        if power is not None:
            yield Meter(files.text(f"{folder}/rail_name_{channel}") or path, path, Scope.RAIL, power_mw=power)


def _batteries(files: SysFiles) -> Iterator[Meter]:
    """Yield fuel gauges: microwatt hours, or microampere hours at the voltage of now."""
    for path in files.paths("sys/class/power_supply/*/type"):
        folder = path.rpartition("/")[0]
        if files.text(path) != "Battery":
            continue
        energy_uwh = files.number(f"{folder}/energy_now")
        charge_uah = files.number(f"{folder}/charge_counter") or files.number(f"{folder}/charge_now")
        microvolts, name = files.number(f"{folder}/voltage_now"), folder.rpartition("/")[2]
        if energy_uwh is not None:
            yield Meter(name, f"{folder}/energy_now", Scope.BATTERY, energy_uj=energy_uwh * 3600.0)
        elif charge_uah is not None and microvolts is not None:
            source, charge = f"{folder}/charge_counter", charge_uah * 3600.0
            yield Meter(name, source, Scope.BATTERY, charge_uc=charge, volts=microvolts / 1e6)
