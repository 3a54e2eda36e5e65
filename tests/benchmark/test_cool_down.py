"""The sensors around a session: waiting until a machine is cool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from devices.sys_trees import pi_5, zone

from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.benchmark.watch import CoolDown, Watch, parse_cool_down
from edgebench.devices.local import LocalDevice
from edgebench.errors import ConfigError


class Cooling:
    """A machine that loses a number of kelvin in each pause, and the clock that counts the pauses."""

    def __init__(self, root: Path, millidegrees: int, step: int) -> None:
        self.root, self.millidegrees, self.step, self.now = root, millidegrees, step, 0.0
        self._write()

    def _write(self) -> None:
        zone(self.root, 0, "cpu-thermal", self.millidegrees, {})

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.millidegrees -= self.step
        self._write()


def _watch(machine: Cooling, cool_down: CoolDown) -> tuple[Watch, list[str]]:
    said: list[str] = []

    def progress(text: str, **_: object) -> None:
        said.append(text)

    root = str(machine.root)
    watch = Watch(LocalDevice(), cool_down, progress, root, clock=lambda: machine.now, sleep=machine.sleep)
    return watch, said


def test_a_session_waits_until_its_machine_is_cool(tmp_path: Path) -> None:
    """A machine at 70 °C that loses 4 K a look begins at 58 °C, and says what it waits for."""
    watch, said = _watch(Cooling(tmp_path, 70_000, 4_000), CoolDown(60))
    assert watch.ready().temperatures[0].celsius == 58.0
    assert said[0] == "local:cpu cools down: 70 °C, begins at 60 °C"
    assert len(said) == 3


def test_the_wait_has_an_end(tmp_path: Path) -> None:
    """A machine that does not cool is measured as it is when the time is over."""
    machine = Cooling(tmp_path, 70_000, 0)
    watch, _ = _watch(machine, CoolDown(60, at_most_s=30))
    assert watch.ready().temperatures[0].celsius == 70.0
    assert machine.now == 30.0


def test_a_fan_or_a_modem_is_not_waited_for(tmp_path: Path) -> None:
    """A zone that slows nothing down may be as hot as it likes."""
    zone(pi_5(tmp_path), 1, "modem0", 95_000, {})
    watch = Watch(LocalDevice(), CoolDown(60), root=str(tmp_path))
    assert max(t.celsius for t in watch.ready().temperatures) == 95.0


def test_a_machine_without_a_thermometer_is_refused(tmp_path: Path) -> None:
    """Asked to cool down, a machine that shows no temperature is not taken to be cool."""
    with pytest.raises(ConfigError, match="shows no temperature"):
        Watch(LocalDevice(), CoolDown(60), root=str(tmp_path)).ready()


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("60C", CoolDown(60)),
        ("55.5 °C", CoolDown(55.5)),
        ("60C,15m", CoolDown(60, 900)),
        ("60C, 90s", CoolDown(60, 90)),
    ],
)
def test_temperatures_are_read(text: str, asked: CoolDown) -> None:
    """Degrees Celsius, and after a comma the longest wait."""
    assert parse_cool_down(text) == asked


@pytest.mark.parametrize("text", ["60", "60F", "C", "60C,15", "-5C", "60C 15m x"])
def test_what_is_no_temperature_is_refused(text: str) -> None:
    """A number without a unit, or of another one, is not guessed at."""
    with pytest.raises(ConfigError, match="is not a temperature"):
        parse_cool_down(text)


def test_a_run_says_how_it_was_prepared(tmp_path: Path, linear: Callable[..., object]) -> None:
    """The evidence of a prepared run holds both readings of each session, and what was changed."""
    request = BenchmarkRequest(
        artifacts=(linear(),),  # type: ignore[arg-type]
        out=tmp_path / "run",
        sessions=2,
        calls=30,
        warmup_s=0.01,
        min_warmup_calls=3,
        prepare=True,
    )
    evidence = benchmark(request)
    assert any("prepared" in note for note in evidence.notes)
    for session in evidence.measurements[0].sessions:
        assert session.before is not None
        assert session.after is not None
        assert session.before.boot_id == session.after.boot_id
        assert (session.after.uptime_s or 0) > (session.before.uptime_s or 0)
        assert session.cpu_s is not None
        assert 0 < session.cpu_s < 60
