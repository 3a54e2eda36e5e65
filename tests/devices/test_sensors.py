"""Sensors as machines have them, read through a real shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from devices.conftest import Bench
from devices.sys_trees import BOOT, cooling, jetson_orin, off, phone, pi_5, system, tool, write, zone

from edgebench.devices.local import LocalDevice
from edgebench.devices.readings import Core, Readings, Temperature
from edgebench.devices.sensors import read_sensors


def _read(root: Path) -> Readings:
    return read_sensors(LocalDevice(), root=str(root))


def test_every_transport_reads_the_same(bench: Bench) -> None:
    """A Pi's sensors are read alike here, over ssh, over adb and on a phone without exit codes."""
    pi_5(bench.seen)
    read = read_sensors(bench.transport, root=str(bench.folder))
    assert read.temperatures == (Temperature("cpu-thermal", 51.25, None),)
    assert (read.boot_id, read.uptime_s, read.load_average) == (BOOT, 1000.0, 0.12)
    assert read.cores[0] == Core(0, 15.6, 2400.0, 2400.0, 1500.0, 2400.0, "ondemand")
    assert len(read.cores) == 4
    assert (read.memory_bytes, read.memory_available_bytes) == (8_000_000 << 10, 4_000_000 << 10)
    assert read.swap_used_bytes == 0


def test_this_machine_is_read() -> None:
    """This machine tells its boot, its time, its cores' work and its memory, whatever else it lacks."""
    read = read_sensors(LocalDevice())
    assert read.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert read.uptime_s is not None
    assert read.memory_bytes is not None
    assert read.memory_bytes > 0
    assert all(core.busy_s is not None and core.busy_s > 0 for core in read.cores)


def test_a_fan_does_not_throttle(tmp_path: Path) -> None:
    """A fan at work costs no speed; a machine with nothing but a fan does not tell whether it throttles."""
    assert _read(pi_5(tmp_path)).throttling is None


@pytest.mark.parametrize(
    ("flags", "now", "past"),
    [
        ("0x0", (), 0),
        ("0x50005", ("under-voltage", "throttled"), 2),
        ("0x80008", ("soft temperature limit",), 1),
        ("0xe0000", (), 3),
    ],
)
def test_a_pis_flags_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, now: tuple[str, ...], past: int
) -> None:
    """The firmware's flags: the low bits are of now, those from 16 on of any time since the start."""
    tool(tmp_path, monkeypatch, "vcgencmd", f'[ "$1" = get_throttled ] && echo throttled={flags}')
    read = _read(pi_5(tmp_path))
    assert (read.throttling, read.throttle_count) == (now, past)


def test_a_pis_flags_come_from_a_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has the firmware's flags as a file, the tool is not believed over it."""
    tool(tmp_path, monkeypatch, "vcgencmd", "echo throttled=0x0")
    write(pi_5(tmp_path), {"sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": "4"})
    assert _read(tmp_path).throttling == ("throttled",)


def test_a_jetsons_zones_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zones with their throttle point; one without power, which gives an error, is left out."""
    tool(
        tmp_path,
        monkeypatch,
        "nvpmodel",
        'echo "NVPM WARN: fan mode is not set!"\necho "NV Power Mode: MAXN"\necho 0',
    )
    read = _read(jetson_orin(tmp_path))
    assert [(t.zone, t.celsius, t.throttles_at_c) for t in read.temperatures] == [
        ("cpu-thermal", 47.406, 99.0),
        ("tj-thermal", 48.5, 99.0),
    ]
    assert read.power_mode == "MAXN"
    assert read.throttling == ()
    assert "throttling" not in read.absent
    assert [core.core for core in read.cores] == list(range(12))


def test_a_cooling_device_at_work_is_throttling(tmp_path: Path) -> None:
    """A cooling device that takes clock away is named, with its step."""
    cooling(jetson_orin(tmp_path), 0, "cpu-cpufreq-0", 2)
    assert _read(tmp_path).throttling == ("cpu-cpufreq-0 is at step 2",)


@pytest.mark.parametrize("value", ["-256000", "garbage", "42", "", "999999999"])
def test_senseless_temperatures_are_no_readings(tmp_path: Path, value: str) -> None:
    """A zone that is off, tells garbage, or tells in another unit is left out, and never 0."""
    zone(tmp_path, 0, "soc", value, {})
    read = _read(tmp_path)
    assert read.temperatures == ()
    assert "temperatures" in read.absent


def test_processors_without_zones_are_read(tmp_path: Path) -> None:
    """A desktop's sensors: Intel's with the limit that it tells, AMD's with its specified one, no disk's."""
    chips = {
        "hwmon0/name": "coretemp",
        "hwmon0/temp1_input": 61000,
        "hwmon0/temp1_label": "Package id 0",
        "hwmon0/temp1_crit": 100000,
        "hwmon1/name": "k10temp",
        "hwmon1/temp1_input": 55500,
        "hwmon1/temp1_label": "Tctl",
        "hwmon2/name": "nvme",
        "hwmon2/temp1_input": 70000,
    }
    write(tmp_path, {f"sys/class/hwmon/{name}": value for name, value in chips.items()})
    assert _read(tmp_path).temperatures == (
        Temperature("coretemp Package id 0", 61.0, 100.0),
        Temperature("k10temp Tctl", 55.5, 90.0),
    )


def test_the_threads_of_a_core_are_known(tmp_path: Path) -> None:
    """Cores 0 and 2 are threads of one physical core: each has the other for a sibling."""
    system(tmp_path, cores=3, memory_kib=1000)
    for core, siblings in {0: "0,2", 1: "1", 2: "0,2"}.items():
        folder = f"sys/devices/system/cpu/cpu{core}/topology"
        write(tmp_path, {f"{folder}/thread_siblings_list": siblings})
    assert [core.siblings for core in _read(tmp_path).cores] == [(2,), (), (0,)]


def test_a_processors_own_count_of_throttling_is_read(tmp_path: Path) -> None:
    """Intel's cores count how often they were slowed down; all cores' counts add up."""
    counts = {f"cpu{core}/thermal_throttle/core_throttle_count": core + 1 for core in range(3)}
    write(tmp_path, {f"sys/devices/system/cpu/{name}": value for name, value in counts.items()})
    assert _read(tmp_path).throttle_count == 6


def test_what_is_kept_from_this_user_is_said(tmp_path: Path) -> None:
    """A file that is there and gives an error is told apart from one that is not there."""
    off(tmp_path, "sys/class/thermal/thermal_zone0/temp")
    absent = _read(tmp_path).absent
    assert absent["temperatures"] == "the files are there, but give nothing to this user"
    assert absent["power_mode"] == "this machine does not tell"


def test_a_phone_is_read_by_its_files(tmp_path: Path) -> None:
    """A phone that lets its shell read: battery by the files, a battery's zone without a throttle point."""
    read = _read(phone(tmp_path))
    assert (read.battery_percent, read.charging) == (84, False)
    assert read.temperatures == (Temperature("BIG", 42.0, 90.0), Temperature("battery", 30.1))
    assert {core.governor for core in read.cores} == {"sched_pixel"}


DUMPSYS = """case $1 in
battery) echo "Current Battery Service state:"; echo "  USB powered: true"; echo "  status: 2"
echo "  level: 61";;
thermalservice) echo "IsStatusOverride: false"; echo "Thermal Status: 3";;
power) echo "  mIsPowered=true"; echo "  mWakefulness=Awake"; echo "  mWakefulnessChanging=false";;
esac"""


def test_a_phone_is_read_by_dumpsys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone whose files are closed: level and charging, thermal status and screen from dumpsys."""
    tool(tmp_path, monkeypatch, "dumpsys", DUMPSYS)
    read = _read(tmp_path)
    assert (read.battery_percent, read.charging, read.screen_on) == (61, True, True)
    assert read.throttling == ("Android's thermal status is severe",)


def test_a_sleeping_phone_has_its_screen_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone that dozes is one with its screen off."""
    tool(
        tmp_path, monkeypatch, "dumpsys", DUMPSYS.replace("Awake", "Dozing").replace("Status: 3", "Status: 0")
    )
    read = _read(tmp_path)
    assert read.screen_on is False
    assert read.throttling == ()


def test_a_mouses_battery_is_not_the_machines(tmp_path: Path) -> None:
    """A supply of scope `Device` is a mouse or a keyboard, and says nothing of the machine."""
    supply = {"type": "Battery", "scope": "Device", "capacity": 5, "status": "Discharging"}
    write(tmp_path, {f"sys/class/power_supply/hid-0/{name}": value for name, value in supply.items()})
    assert _read(tmp_path).battery_percent is None


def test_a_machine_without_sensors_has_none(tmp_path: Path) -> None:
    """An empty tree gives no reading and a reason for each: absence is said, never zero."""
    read = _read(tmp_path)
    assert read.cores == ()
    assert read.memory_bytes is None
    assert set(read.absent) == {name for name in Readings.__dataclass_fields__ if name != "absent"}
