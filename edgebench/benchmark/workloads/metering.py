"""The energy of calls: a device's meters, read by the agent between its calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgebench.benchmark.workloads.records import Energy
from edgebench.devices import energy as devices
from edgebench.devices.sysfs import SysFiles, read_files

if TYPE_CHECKING:
    from edgebench.devices.transport import Transport

_MOVING = ("_input", "energy_uj", "energy_now", "charge_counter", "charge_now", "voltage_now", "uptime")
"""How the files end whose content changes; the others are names and limits."""

_LEAST_S = 0.5
"""RAPL counts every millisecond and an INA3221 every tenth of a second: of less time nothing is said."""


@dataclass(frozen=True, slots=True)
class Meters:
    """What a device's meters are. absent: why there are none, else empty. root: of /sys and /proc there."""

    files: SysFiles
    root: str
    absent: str

    def watched(self) -> list[str]:
        """Return the files that the agent reads between calls, none where there is no meter."""
        if self.absent:
            return []
        return [f"{self.root.rstrip('/')}/{path}" for path in self.files.lines if path.endswith(_MOVING)]

    def used(self, texts: Sequence[Sequence[str | None]], elapsed_ns: int) -> Energy | None:
        """Return what the best meter saw from the first reading to the last; None where none can tell.

        texts: the content of `watched()`, one reading after the other, at least two. Rails come before the
        processor's own count, which does not see the memory and the board, and that before a battery.
        """
        paths = [path for path in self.files.lines if path.endswith(_MOVING)]
        readings = [devices.as_reading(self._at(dict(zip(paths, one, strict=True)))) for one in texts]
        if len(readings) < 2 or elapsed_ns < _LEAST_S * 1e9:  # noqa: PLR2004 a beginning and an end
            return None
        found = [one for one in devices.energy_used(readings) if one.joules is not None]
        for scope in (devices.Scope.RAIL, devices.Scope.PROCESSOR, devices.Scope.BATTERY):
            best = max((one for one in found if one.scope is scope), key=_joules, default=None)
            if best is not None:
                return Energy(_joules(best), round(best.duration_s * 1e9), _words(best))
        return None

    def _at(self, moving: dict[str, str | None]) -> SysFiles:
        now = {path: (text.strip(),) for path, text in moving.items() if text is not None}
        names = {path: lines for path, lines in self.files.lines.items() if path not in moving}
        return SysFiles({**names, **now})


def find_meters(machine: Transport, root: str = "/") -> Meters:
    """Return a device's meters of energy. Raises DeviceError where the device is gone."""
    files = read_files(machine, devices.METER_FILES, root=root)[0]
    return Meters(files, root, devices.as_reading(files).absent)


def _joules(energy: devices.Energy) -> float:
    return energy.joules or 0.0


def _words(energy: devices.Energy) -> str:
    return f"{energy.scope} {energy.name}, {energy.method} ({energy.source})"
