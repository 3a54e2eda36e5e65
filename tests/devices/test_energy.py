"""Energy from a machine's own meters."""

from __future__ import annotations

from pathlib import Path

import pytest
from devices.sys_trees import jetson_orin, off, phone, pi_5, system, write

from edgebench.devices.energy import EnergyReading, Meter, Scope, energy_used, read_energy
from edgebench.devices.local import LocalDevice
from edgebench.errors import DeviceError

PACKAGE = "sys/class/powercap/intel-rapl:0"


def _read(root: Path, times: int = 1) -> tuple[EnergyReading, ...]:
    return read_energy(LocalDevice(), root=str(root), times=times, every_s=0.01)


def _rapl(root: Path, count_uj: int, *, uptime_s: float) -> EnergyReading:
    system(root, cores=2, memory_kib=4_000_000, uptime_s=uptime_s)
    names = {"name": "package-0", "energy_uj": count_uj, "max_energy_range_uj": 262_143_328_850}
    write(root, {f"{PACKAGE}/{name}": value for name, value in names.items()})
    return _read(root)[0]


def test_a_package_counts_its_energy(tmp_path: Path) -> None:
    """RAPL's counter grew by 3,500,000 µJ in two seconds: 3.5 J of the processor."""
    first, last = _rapl(tmp_path, 1_000_000, uptime_s=10), _rapl(tmp_path, 4_500_000, uptime_s=12)
    (used,) = energy_used([first, last])
    assert (used.name, used.scope, used.joules, used.duration_s) == ("package-0", Scope.PROCESSOR, 3.5, 2.0)


def test_a_counter_that_ran_over_goes_on(tmp_path: Path) -> None:
    """A counter that began again at 0 has counted to its range first."""
    first = _rapl(tmp_path, 262_143_328_850 - 1_000_000, uptime_s=10)
    (used,) = energy_used([first, _rapl(tmp_path, 500_000, uptime_s=12)])
    assert used.joules == pytest.approx(1.5)


def test_a_counter_for_root_alone_is_no_zero(tmp_path: Path) -> None:
    """A counter that this user may not read is said to be there, and gives no energy."""
    _rapl(tmp_path, 1, uptime_s=10)
    off(tmp_path, f"{PACKAGE}/energy_uj")
    (reading,) = _read(tmp_path)
    assert reading.meters == ()
    assert reading.absent == "the files are there, but give nothing to this user"


def test_a_machine_without_meters_says_so(tmp_path: Path) -> None:
    """A Pi has no meter: no energy, and a reason."""
    (reading,) = _read(pi_5(tmp_path))
    assert (reading.meters, reading.absent) == ((), "this machine does not tell")
    assert energy_used([reading, reading]) == ()


def test_a_jetsons_rails_are_read(tmp_path: Path) -> None:
    """An INA3221's named channels give millivolts times milliamperes; sums, shunts and NC are left out."""
    (reading,) = _read(jetson_orin(tmp_path))
    assert {meter.name: meter.power_mw for meter in reading.meters} == {
        "VDD_GPU_SOC": 2000,
        "VDD_CPU_CV": 500,
    }


def test_two_readings_of_a_power_are_no_energy(tmp_path: Path) -> None:
    """Power read twice is refused as energy, with how many readings it takes."""
    reading = _read(jetson_orin(tmp_path))[0]
    used = energy_used([reading, EnergyReading(reading.uptime_s + 5, reading.meters)])
    assert [one.joules for one in used] == [None, None]
    assert "it takes 10 or more" in used[0].unavailable


def test_a_power_is_integrated_over_time() -> None:
    """A rail whose power rises evenly from 1 to 3 W in 10 s has used 20 J."""
    readings = [
        EnergyReading(100.0 + t, (Meter("VDD_IN", "curr1_input", Scope.RAIL, power_mw=1000 + 200 * t),))
        for t in range(11)
    ]
    (used,) = energy_used(readings)
    assert used.joules == pytest.approx(20)
    assert (used.duration_s, used.method) == (10.0, "11 readings of the power over time")


def test_a_battery_gives_charge_times_voltage(tmp_path: Path) -> None:
    """A phone's gauge fell by 1,000 µAh between 4.1 and 4.0 V: 14.58 J; the charge left has no part in it."""
    gauge = "sys/class/power_supply/battery"
    phone(tmp_path)
    write(tmp_path, {f"{gauge}/charge_counter": 3_000_000, f"{gauge}/voltage_now": 4_100_000})
    (first,) = _read(tmp_path)
    write(tmp_path, {f"{gauge}/charge_counter": 2_999_000, f"{gauge}/voltage_now": 4_000_000})
    (used,) = energy_used([first, *_read(tmp_path)])
    assert used.joules == pytest.approx(1e-3 * 3600 * 4.05)
    assert used.scope is Scope.BATTERY


def test_a_battery_that_is_charged_tells_nothing(tmp_path: Path) -> None:
    """A gauge that did not fall is not an energy of zero."""
    (reading,) = _read(phone(tmp_path))
    (used,) = energy_used([reading, reading])
    assert used.joules is None
    assert "did not fall" in used.unavailable


def test_many_readings_take_one_command(tmp_path: Path) -> None:
    """Twelve readings of a power, and the time between them, come from one command."""
    assert len(_read(jetson_orin(tmp_path), times=12)) == 12


def test_a_root_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A machine whose files cannot be entered is a DeviceError, not one without meters."""
    with pytest.raises(DeviceError, match="does not read"):
        _read(tmp_path / "nowhere")
