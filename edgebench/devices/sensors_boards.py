"""What single kinds of machines tell beyond the kernel's common files: Raspberry Pi, Jetson, Android.

Manuals: Raspberry Pi's documentation of `vcgencmd get_throttled`; NVIDIA's Jetson Linux guide for nvpmodel;
AOSP's BatteryService, ThermalManagerService and PowerManagerService for what dumpsys prints.
"""

from __future__ import annotations

import re
from typing import Any

from edgebench.devices.sysfs import SysFiles, whole

_PI_FLAGS = "sys/devices/platform/soc*/soc*firmware/get_throttled"
_PI_VOLTAGE = "sys/class/hwmon/hwmon*/in0_lcrit_alarm"
_VCGENCMD, _NVPMODEL = "$ vcgencmd get_throttled", "$ nvpmodel -q"
_BATTERY, _THERMAL, _POWER = "$ dumpsys battery", "$ dumpsys thermalservice", "$ dumpsys power"
PATTERNS = (_PI_FLAGS, _PI_VOLTAGE, _VCGENCMD, _NVPMODEL, _BATTERY, _THERMAL, _POWER)

KEPT_LINES = "throttled=|Power Mode|powered:|level:|status:|Thermal Status|mWakefulness=|Display Power"
"""Of the tools' output, which runs to hundreds of lines on a phone."""

_PI_WORDS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
_PI_PAST = 16  # the same four flags, for any time since the start
_ANDROID_HEAT = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_ANDROID_CHARGING = "2"


def power_mode(files: SysFiles) -> str | None:
    """Return the name of a Jetson's power mode."""
    for line in files.lines.get(_NVPMODEL, ()):
        name, colon, mode = line.partition(":")
        if colon and name.strip() == "NV Power Mode":
            return mode.strip()
    return None


def throttling(files: SysFiles) -> tuple[str, ...] | None:
    """Return what slows the machine down now, as its own tools say; None where they do not."""
    flags, alarm, status = _pi_flags(files), _pi_alarm(files), _android_heat(files)
    if flags is None and alarm is None and status is None:
        return None
    words = [word for bit, word in enumerate(_PI_WORDS) if (flags or 0) >> bit & 1]
    words += ["under-voltage"] if alarm and "under-voltage" not in words else []
    if status:
        named = _ANDROID_HEAT[min(status, len(_ANDROID_HEAT) - 1)]
        words.append(f"Android's thermal status is {named}")
    return tuple(words)


def past_throttling(files: SysFiles) -> list[int]:
    """Return how many kinds of throttling a Pi has seen since its start, in a list; empty elsewhere."""
    flags = _pi_flags(files)
    return [] if flags is None else [(flags >> _PI_PAST & 0xF).bit_count()]


def battery(files: SysFiles) -> dict[str, Any]:
    """Return a phone's battery as dumpsys tells, whose files the shell often may not read."""
    told = dict(_pairs(files, _BATTERY))
    level, status = whole(told.get("level")), told.get("status")
    return {"battery_percent": level, "charging": None if status is None else status == _ANDROID_CHARGING}


def screen_on(files: SysFiles) -> bool | None:
    """Return whether a phone's screen is on, or dims before it goes off."""
    for line in files.lines.get(_POWER, ()):
        if found := re.match(r"mWakefulness=(\w+)", line):
            return found[1] == "Awake"
        if found := re.match(r"Display Power: state=(\w+)", line):
            return found[1] == "ON"
    return None


def _pi_flags(files: SysFiles) -> int | None:
    """Return the firmware's flags, hexadecimal: those of now in the low bits, of the past from bit 16 on."""
    paths = files.paths(_PI_FLAGS)
    told = files.text(paths[0]) if paths else files.text(_VCGENCMD)
    found = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})", told or "")
    return int(found[1], 16) if found else None


def _pi_alarm(files: SysFiles) -> bool | None:
    values = [files.number(path) for path in files.paths(_PI_VOLTAGE)]
    return None if not values else any(values)


def _android_heat(files: SysFiles) -> int | None:
    return whole(dict(_pairs(files, _THERMAL)).get("Thermal Status"))


def _pairs(files: SysFiles, command: str) -> list[tuple[str, str]]:
    """Return what a tool prints as `name: value`."""
    lines = (line.partition(":") for line in files.lines.get(command, ()))
    return [(name.strip(), value.strip()) for name, colon, value in lines if colon]
