"""The sensors around a session: read right before and right after it, once the machine is cool enough."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgebench.benchmark.conditions import hottest
from edgebench.devices.sensors import read_sensors
from edgebench.errors import ConfigError
from edgebench.progress import Progress, silent

if TYPE_CHECKING:
    from edgebench.devices.readings import Readings
    from edgebench.devices.transport import Transport

_COOL_DOWN = re.compile(r"(\d+(?:\.\d+)?) ?°?C(?:[, ] ?(\d+(?:\.\d+)?) ?(s|min|m|h))?")
_SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_PAUSE_S = 5.0
"""Between two looks at a machine that cools: it loses some tenths of a kelvin in that time."""


@dataclass(frozen=True, slots=True)
class CoolDown:
    """Each session begins at `celsius` or less; after `at_most_s` it begins as it is, and that is said."""

    celsius: float
    at_most_s: float = 600.0


def parse_cool_down(text: str) -> CoolDown:
    """Return what a text such as `60C` or `60C,15m` asks for. Raises ConfigError."""
    found = _COOL_DOWN.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"cool-down {text!r} is not a temperature", hint="as in 60C, or 60C,15m to wait so long"
        )
    if found[2] is None:
        return CoolDown(float(found[1]))
    return CoolDown(float(found[1]), float(found[2]) * _SECONDS[found[3]])


@dataclass(frozen=True, slots=True)
class Watch:
    """Reads one machine's sensors. root: another tree in place of the machine's own."""

    machine: Transport
    cool_down: CoolDown | None = None
    progress: Progress = silent
    root: str = "/"
    clock: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], None] = field(default=time.sleep)

    def read(self) -> Readings:
        """Return what the sensors show now. Raises DeviceError where the machine is gone."""
        return read_sensors(self.machine, root=self.root)

    def ready(self) -> Readings:
        """Return what they show once the machine is cool enough, or the time for that is over.

        Raises ConfigError where a temperature is asked for and the machine shows none.
        """
        readings = self.read()
        if self.cool_down is None:
            return readings
        until = self.clock() + self.cool_down.at_most_s
        while (heat := _heat(readings, self.machine.uri)) > self.cool_down.celsius and self.clock() < until:
            wanted = f"{self.cool_down.celsius:g} °C"
            self.progress(f"{self.machine.uri} cools down: {heat:.0f} °C, begins at {wanted}")
            self.sleep(_PAUSE_S)
            readings = self.read()
        return readings


def _heat(readings: Readings, uri: str) -> float:
    heat = hottest(readings)
    if heat is None:
        raise ConfigError(
            f"{uri}: shows no temperature of its processor",
            hint=f"leave cool-down out; edgebench devices doctor {uri} says what it shows",
        )
    return heat
