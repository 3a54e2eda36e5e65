"""The state of a machine at one time, as its sensors tell: a record that evidence carries."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Temperature:
    """One thermal zone. throttles_at_c: where the kernel begins to slow down for it; None if not told."""

    zone: str
    celsius: float
    throttles_at_c: float | None = None


@dataclass(frozen=True, slots=True)
class Core:
    """One core of the processor; None where the system does not tell.

    busy_s: seconds since the start in which it was not idle. clock_mhz: now. limit_mhz, floor_mhz: between
    which the governor may choose now. highest_mhz: what the hardware can do. siblings: the other threads of
    the same physical core.
    """

    core: int
    busy_s: float | None = None
    clock_mhz: float | None = None
    limit_mhz: float | None = None
    floor_mhz: float | None = None
    highest_mhz: float | None = None
    governor: str | None = None
    driver: str | None = None
    siblings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Readings:
    """What the sensors showed; None, or nothing in a tuple, where there is no reading.

    boot_id: of the running system. uptime_s: on the machine's own clock. throttling: what slows it down now,
    in words; empty where its sensors say that nothing does. throttle_count: how often something did since
    the start. load_average: of one minute. battery_percent, charging: of the machine's own battery.
    absent: why a field has no reading, by its name.
    """

    boot_id: str | None = None
    uptime_s: float | None = None
    temperatures: tuple[Temperature, ...] = ()
    cores: tuple[Core, ...] = ()
    power_mode: str | None = None
    throttling: tuple[str, ...] | None = None
    throttle_count: int | None = None
    load_average: float | None = None
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    swap_used_bytes: int | None = None
    battery_percent: int | None = None
    charging: bool | None = None
    screen_on: bool | None = None
    absent: dict[str, str] = field(default_factory=dict)
