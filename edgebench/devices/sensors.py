"""The sensors of a machine, read over any transport in one command; files of the kernel before tools.

Manual: the kernel's Documentation/ABI/testing/sysfs-class-thermal, sysfs-devices-system-cpu and
sysfs-class-power, Documentation/filesystems/proc. Every sensor is optional: virtual machines have none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgebench.devices import sensors_boards as boards
from edgebench.devices import sensors_heat as heat
from edgebench.devices.clusters import core_list
from edgebench.devices.readings import Core, Readings
from edgebench.devices.sysfs import SysFiles, read_files, whole

if TYPE_CHECKING:
    from edgebench.devices.transport import Transport

_CPUS = "sys/devices/system/cpu/cpu[0-9]*"
_BATTERY = "sys/class/power_supply"
_PATTERNS = (
    "proc/uptime",
    "proc/loadavg",
    "proc/sys/kernel/random/boot_id",
    "+proc/meminfo",
    "+proc/stat",
    *(
        f"{_CPUS}/cpufreq/{name}"
        for name in (
            "scaling_cur_freq",
            "scaling_max_freq",
            "scaling_min_freq",
            "cpuinfo_max_freq",
            "scaling_governor",
            "scaling_driver",
        )
    ),
    f"{_CPUS}/topology/thread_siblings_list",
    *heat.PATTERNS,
    *(f"{_BATTERY}/*/{name}" for name in ("type", "scope", "capacity", "status")),
    *boards.PATTERNS,
)

_USER_HZ = 100
"""Ticks of /proc/stat in a second, on every Linux."""


def read_sensors(machine: Transport, *, root: str = "/") -> Readings:
    """Return what the sensors of a machine show now.

    root: another tree in place of the machine's own. Raises DeviceError where the machine is gone.
    """
    return as_readings(read_files(machine, _PATTERNS, keep=boards.KEPT_LINES, root=root)[0])


def as_readings(files: SysFiles) -> Readings:
    """Return what a machine's files and tools told as the record that evidence carries."""
    found: dict[str, Any] = {
        "boot_id": files.text("proc/sys/kernel/random/boot_id"),
        "uptime_s": _first_number(files, "proc/uptime"),
        "load_average": _first_number(files, "proc/loadavg"),
        "temperatures": heat.temperatures(files),
        "cores": _cores(files),
        "power_mode": boards.power_mode(files),
        "throttling": heat.throttling(files),
        "throttle_count": heat.throttle_count(files),
        "screen_on": boards.screen_on(files),
        **_memory(files),
        **_battery(files),
    }
    absent = {
        name: files.why_not(*_SOURCES.get(name, ())) for name, value in found.items() if value in (None, ())
    }
    if found["throttling"] == ():
        del absent["throttling"]
    return Readings(**found, absent=absent)


_SOURCES = {
    "temperatures": (heat.ZONES,),
    "throttling": (heat.STATES,),
    "battery_percent": (f"{_BATTERY}/*/capacity",),
    "charging": (f"{_BATTERY}/*/status",),
}
"""Files whose presence shows that a reading was kept from this user."""


def _first_number(files: SysFiles, path: str) -> float | None:
    try:
        return float((files.text(path) or "").split()[0])
    except (ValueError, IndexError):
        return None


def _cores(files: SysFiles) -> tuple[Core, ...]:
    busy = _busy_s(files)
    clocked = {int(path.split("/")[4].removeprefix("cpu")) for path in files.paths(f"{_CPUS}/cpufreq/*")}
    return tuple(_core(files, core, busy.get(core)) for core in sorted(clocked | set(busy)))


def _core(files: SysFiles, core: int, busy_s: float | None) -> Core:
    folder = f"sys/devices/system/cpu/cpu{core}/cpufreq"
    mhz = {
        name: None if (khz := files.number(f"{folder}/{name}")) is None else khz / 1e3
        for name in ("scaling_cur_freq", "scaling_max_freq", "scaling_min_freq", "cpuinfo_max_freq")
    }
    return Core(
        core=core,
        busy_s=busy_s,
        clock_mhz=mhz["scaling_cur_freq"],
        limit_mhz=mhz["scaling_max_freq"],
        floor_mhz=mhz["scaling_min_freq"],
        highest_mhz=mhz["cpuinfo_max_freq"],
        governor=files.text(f"{folder}/scaling_governor"),
        driver=files.text(f"{folder}/scaling_driver"),
        siblings=_siblings(files, core),
    )


def _siblings(files: SysFiles, core: int) -> tuple[int, ...]:
    listed = files.text(f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    return tuple(other for other in core_list(listed or "") if other != core)


def _busy_s(files: SysFiles) -> dict[int, float]:
    """Return each core's seconds of work: all columns of /proc/stat but idle and waiting for disks."""
    found = {}
    for line in files.lines.get("proc/stat", ()):
        words = line.split()
        if not re.fullmatch(r"cpu\d+", words[0] if words else ""):
            continue
        ticks = [whole(word) or 0 for word in words[1:9]]
        found[int(words[0][3:])] = (sum(ticks) - sum(ticks[3:5])) / _USER_HZ
    return found


def _memory(files: SysFiles) -> dict[str, int | None]:
    lines = (line.partition(":") for line in files.lines.get("proc/meminfo", ()))
    sizes = {name: whole(rest.split()[0]) for name, _, rest in lines if rest.split()}

    def size(name: str) -> int | None:
        kib = sizes.get(name)
        return None if kib is None else kib << 10

    total, free = size("SwapTotal"), size("SwapFree")
    return {
        "memory_bytes": size("MemTotal"),
        "memory_available_bytes": size("MemAvailable"),
        "swap_used_bytes": None if total is None or free is None else total - free,
    }


def _battery(files: SysFiles) -> dict[str, Any]:
    """Return level and charging of the machine's own battery, not of a mouse's."""
    for path in files.paths(f"{_BATTERY}/*/type"):
        folder = path.rpartition("/")[0]
        level, status = files.number(f"{folder}/capacity"), files.text(f"{folder}/status")
        own = files.text(path) == "Battery" and files.text(f"{folder}/scope") != "Device"
        if own and level is not None and status is not None:
            return {"battery_percent": level, "charging": status == "Charging"}
    return boards.battery(files)
