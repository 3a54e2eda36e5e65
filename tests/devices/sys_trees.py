"""Trees of /sys and /proc as machines have them, written as files: the wire that sensors read.

Names and units are those of the kernel's Documentation/ABI and of the machines' own drivers; the numbers
are made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

BOOT = "5ad1e2c4-7a53-4d0e-9a57-1b1f6a4f0c11"
OFF = "/proc/self/mem"
"""A file that answers every reading with an input/output error, as a sensor does that is off."""


def write(root: Path, files: Mapping[str, object]) -> Path:
    """Write files under a root, each with a newline; return the root."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def off(root: Path, name: str) -> None:
    """Make a file one that is there and cannot be read."""
    path = root / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(OFF)


def system(root: Path, *, cores: int, memory_kib: int, uptime_s: float = 1000.0) -> Path:
    """Write what every Linux has under /proc."""
    ticks = "".join(f"\ncpu{core} 1000 10 500 98000 100 0 50 0 0 0" for core in range(cores))
    total = " ".join(str(cores * each) for each in (1000, 10, 500, 98000, 100, 0, 50, 0, 0, 0))
    memory = (
        f"MemTotal:       {memory_kib} kB\nMemFree:        {memory_kib // 4} kB\n"
        f"MemAvailable:   {memory_kib // 2} kB\nSwapTotal:      1000000 kB\nSwapFree:       1000000 kB"
    )
    return write(
        root,
        {
            "proc/uptime": f"{uptime_s:.2f} {cores * uptime_s:.2f}",
            "proc/loadavg": "0.12 0.20 0.18 1/234 5678",
            "proc/meminfo": memory,
            "proc/stat": f"cpu  {total}{ticks}\nintr 12345 0 0\nctxt 99\nbtime 1700000000",
            "proc/sys/kernel/random/boot_id": BOOT,
        },
    )


def cores(root: Path, frequencies_khz: Mapping[int, int], *, governor: str, least_khz: int = 300_000) -> None:
    """Write each core's clock: the highest and present by `frequencies_khz`."""
    for core, highest in frequencies_khz.items():
        folder = f"sys/devices/system/cpu/cpu{core}/cpufreq"
        clock = {
            "cpuinfo_max_freq": highest,
            "cpuinfo_min_freq": least_khz,
            "scaling_cur_freq": highest,
            "scaling_max_freq": highest,
            "scaling_min_freq": least_khz,
            "scaling_governor": governor,
            "scaling_available_governors": "performance schedutil powersave",
        }
        write(root, {f"{folder}/{name}": value for name, value in clock.items()})


def policies(root: Path, clusters: Mapping[int, str], *, governor: str) -> list[Path]:
    """Write the clusters' policies, by their first core; return the files of their governors."""
    for first, affected in clusters.items():
        folder = f"sys/devices/system/cpu/cpufreq/policy{first}"
        offered = "performance schedutil powersave"
        names = {
            "scaling_governor": governor,
            "scaling_available_governors": offered,
            "affected_cpus": affected,
        }
        write(root, {f"{folder}/{name}": value for name, value in names.items()})
    return [root / f"sys/devices/system/cpu/cpufreq/policy{first}/scaling_governor" for first in clusters]


def zone(root: Path, number: int, name: str, millidegrees: object, trips: Mapping[str, int]) -> None:
    """Write a thermal zone with its trip points."""
    folder = f"sys/class/thermal/thermal_zone{number}"
    write(root, {f"{folder}/type": name, f"{folder}/temp": millidegrees})
    for index, (kind, at) in enumerate(trips.items()):
        write(root, {f"{folder}/trip_point_{index}_type": kind, f"{folder}/trip_point_{index}_temp": at})


def cooling(root: Path, number: int, name: str, state: int) -> None:
    """Write a cooling device: 0 is at rest."""
    folder = f"sys/class/thermal/cooling_device{number}"
    write(root, {f"{folder}/type": name, f"{folder}/cur_state": state, f"{folder}/max_state": 3})


def pi_5(root: Path) -> Path:
    """Write a Raspberry Pi 5: four cores of one kind, one zone, a fan."""
    system(root, cores=4, memory_kib=8_000_000)
    cores(root, dict.fromkeys(range(4), 2_400_000), governor="ondemand", least_khz=1_500_000)
    zone(root, 0, "cpu-thermal", 51_250, {"critical": 110_000, "active": 50_000})
    cooling(root, 0, "pwm-fan", 1)
    return root


def jetson_orin(root: Path) -> Path:
    """Write a Jetson AGX Orin: twelve cores in three clusters, zones of which one is off, an INA3221."""
    system(root, cores=12, memory_kib=31_000_000)
    cores(root, dict.fromkeys(range(12), 2_201_600), governor="schedutil", least_khz=115_200)
    trips = {"passive": 99_000, "critical": 104_500}
    zone(root, 0, "cpu-thermal", 47_406, trips)
    zone(root, 1, "gpu-thermal", -256_000, trips)
    zone(root, 2, "tj-thermal", 48_500, trips)
    off(root, "sys/class/thermal/thermal_zone1/temp")
    cooling(root, 0, "cpu-cpufreq-0", 0)
    meter = "sys/class/hwmon/hwmon4"
    rails = {
        "in1_label": "VDD_GPU_SOC",
        "in1_input": 5000,
        "curr1_input": 400,
        "in2_label": "VDD_CPU_CV",
        "in2_input": 5000,
        "curr2_input": 100,
        "in3_label": "NC",
        "in3_input": 0,
        "curr3_input": 0,
        "curr4_input": 500,
        "in7_label": "sum of shunt voltages",
        "in7_input": 8,
    }
    write(root, {f"{meter}/name": "ina3221", **{f"{meter}/{name}": value for name, value in rails.items()}})
    return root


def phone(root: Path) -> Path:
    """Write a phone's tree: four little, three middle, one big core, a battery, a vendor's names of zones."""
    system(root, cores=8, memory_kib=7_600_000)
    clocks = {**dict.fromkeys(range(4), 1_803_000), **dict.fromkeys(range(4, 7), 2_348_000), 7: 2_850_000}
    cores(root, clocks, governor="sched_pixel")
    capacities = {1_803_000: 160, 2_348_000: 498, 2_850_000: 1024}
    for core, clock in clocks.items():
        write(root, {f"sys/devices/system/cpu/cpu{core}/cpu_capacity": capacities[clock]})
    zone(root, 0, "BIG", 42_000, {"active": 0, "passive": 90_000, "hot": 115_000})
    zone(root, 1, "battery", 30_100, {})
    battery = {
        "type": "Battery",
        "capacity": 84,
        "status": "Discharging",
        "charge_counter": 3_450_000,
        "voltage_now": 4_063_000,
    }
    write(root, {f"sys/class/power_supply/battery/{name}": value for name, value in battery.items()})
    return root


def tool(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Put a tool of the machine's maker on PATH: a script that answers as it does."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / name).write_text(f"#!/bin/sh\n{script}\n")
    (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
