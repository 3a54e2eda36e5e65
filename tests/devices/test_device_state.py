"""What `edgebench devices doctor` says of a device's state."""

from __future__ import annotations

from pathlib import Path

import pytest
from devices.conftest import LinkedBench
from devices.sys_trees import jetson_orin, off, phone, pi_5, write, zone

from edgebench.device_state import examine_state
from edgebench.devices.local import LocalDevice
from edgebench.devices.prepare import journal_of
from edgebench.devices.remote_device import RemoteDevice
from edgebench.doctor import Finding


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's journal out of the user's cache."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


def _found(root: Path) -> list[Finding]:
    return list(examine_state(LocalDevice(), root=str(root)))


def test_a_pis_state_is_shown(tmp_path: Path) -> None:
    """Temperature, clock, governor, load and memory on one line; the moving governor, with what sets it."""
    sensors, _, energy, degraded = _found(pi_5(tmp_path))
    assert sensors.detail.startswith("51 °C, 2400 MHz, governor ondemand, load 0.12, 3.8 GiB free; without")
    assert energy.detail == "not available: this machine does not tell"
    assert degraded == Finding(
        "valid run",
        present=False,
        detail="would be DEGRADED now: the governor ondemand moves the clock",
        remedy="edgebench benchmark --prepare sets it for the time of the measurement",
    )


def test_a_phones_cores_and_meters_are_shown(tmp_path: Path) -> None:
    """A phone's clusters by name, and its battery as the meter that it has."""
    found = {finding.name: finding.detail for finding in _found(phone(tmp_path))}
    assert found["cores"] == "little 0-3, mid 4-6, big 7"
    assert found["energy"] == "battery"


def test_heat_is_said_with_what_helps(tmp_path: Path) -> None:
    """A machine near its throttle point would be DEGRADED, and can be waited for."""
    zone(jetson_orin(tmp_path), 0, "cpu-thermal", 97_000, {"passive": 99_000})
    off(tmp_path, "sys/class/thermal/thermal_zone2/temp")
    details = [finding.detail for finding in _found(tmp_path) if not finding.present]
    assert "would be DEGRADED now: cpu-thermal is at 97 °C and slows down at 99 °C" in details


@pytest.mark.parametrize("bench", ["ssh", "adb", "adb-old"], indirect=True)
def test_the_state_is_the_same_over_a_link(bench: LinkedBench) -> None:
    """Over ssh and adb, also without exit codes, the same is found as here."""
    root = jetson_orin(bench.seen / "root")
    device = RemoteDevice(bench.transport, folder=bench.folder)  # type: ignore[arg-type]
    far = [(f.name, f.detail) for f in examine_state(device, root=str(root))]
    assert far == [(f.name, f.detail) for f in _found(root)]


def test_what_was_left_changed_is_put_back(tmp_path: Path) -> None:
    """A setting in a dead measurement's journal is put back, and said."""
    journal = Path(journal_of(LocalDevice()))
    name = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
    write(tmp_path, {name: "performance"})
    write(journal.parent, {journal.name: f"file\t{name}\tondemand"})
    first = _found(tmp_path)[0]
    assert (first.name, first.present) == ("settings", True)
    assert "was put back" in first.detail
    assert (tmp_path / name).read_text() == "ondemand\n"
