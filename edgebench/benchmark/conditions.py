"""What the sensors showed around a session, as numbers of which more is worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgebench.benchmark.evidence import Session
from edgebench.benchmark.workloads.records import Process
from edgebench.devices.readings import Core, Readings, Temperature

FIRMWARE_LIMIT_C = 85.0
"""Where a processor slows down whose kernel does not say: a Raspberry Pi's firmware does so at 85 °C."""

_PROCESSOR_ZONES = ("cpu", "soc", "gpu", "tj", "big", "mid", "little", "pkg", "package", "core")
_MOVING = frozenset({"powersave", "ondemand", "conservative", "schedutil", "interactive", "userspace"})
_HARDWARE_CHOOSES = frozenset({"intel_pstate", "amd-pstate-epp", "amd_pstate_epp"})
_LEAST_S = 0.2
"""Between two readings, for a share of time: the kernel counts in hundredths of a second."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One number of a session. name: its threshold's. what: in words, where a number does not say it."""

    name: str
    value: float
    what: str = ""


def conditions(session: Session, cool_c: float | None = None) -> Iterator[Condition]:
    """Yield what is known of the conditions of a session; nothing for what no sensor told.

    cool_c: at what temperature it was to begin at most.
    """
    yield from _shares(session.wait_share, session.steal_share)
    yield from _sensed(session, cool_c)


def of_process(process: Process) -> Iterator[Condition]:
    """Yield what is known of the conditions of one run's process; waiting is taken per thread."""
    wait = process.wait_share
    yield from _shares(None if wait is None else wait / (process.timing.threads or 1), process.steal_share)
    yield from _sensed(process)


def _shares(wait: float | None, steal: float | None) -> Iterator[Condition]:
    shares = {"wait_share": wait, "steal_share": steal}
    yield from (Condition(name, share) for name, share in shares.items() if share is not None)


def _sensed(run: Session | Process, cool_c: float | None = None) -> Iterator[Condition]:
    """Yield whether nobody looked, or what the two readings around a run say of the time between them."""
    yield Condition("collected", float(run.collected))
    if run.before is None or run.after is None:
        return
    found = between(run.before, run.after, used=run.timing.affinity, cpu_s=run.cpu_s, cool_c=cool_c)
    counted = run.wait_share is not None  # by the kernel, exactly: then nothing stands in for it
    yield from (one for one in found if not (counted and one.name == "others_on_its_cores"))


def across(sessions: Sequence[Session]) -> Iterator[Condition]:
    """Yield what changed of a machine from one session to another."""
    read = [session.before for session in sessions if session.before is not None]
    starts = {readings.boot_id for readings in read} - {None}
    yield Condition("starts", len(starts), str(len(starts)))
    modes = sorted({readings.power_mode for readings in read if readings.power_mode})
    if len(modes) > 1:
        yield Condition("power_modes", 1, ", ".join(modes))
    governors = {tuple(core.governor for core in readings.cores) for readings in read}
    if len(governors) > 1:
        named = sorted({name for cores in governors for name in cores if name})
        yield Condition(
            "governor_changed", 1, f"the governors differ from session to session: {', '.join(named)}"
        )


def between(
    before: Readings,
    after: Readings,
    *,
    used: Sequence[int] = (),
    cpu_s: float | None = None,
    cool_c: float | None = None,
) -> Iterator[Condition]:
    """Yield what two readings of a machine's sensors say of the time between them.

    used: the cores in use, none for all. cpu_s: seconds of a processor that were not others'. cool_c: as
    above.
    """
    if None not in (before.boot_id, after.boot_id) and before.boot_id != after.boot_id:
        yield Condition("restarts", 1)
        return
    if cool_c is not None and (heat := hottest(before)) is not None:
        yield Condition("warm_start_c", heat - cool_c, f"{heat:.0f} °C in place of {cool_c:g} °C")
    yield from _heat(before, after)
    yield from _throttling(before, after)
    yield from _clocks(before, after, used)
    if cpu_s is not None:
        yield from _others(before, after, used, cpu_s)
    yield from _memory(before, after)
    yield from _battery(before, after)


def hottest(readings: Readings) -> float | None:
    """Return the highest temperature, in °C, of the zones that slow a machine down; None without any."""
    return max((zone.celsius for zone in readings.temperatures if _limit(zone) is not None), default=None)


def _limit(zone: Temperature) -> float | None:
    """Return where a zone slows the machine down; None for one that does not, such as a modem's."""
    if zone.throttles_at_c is not None:
        return zone.throttles_at_c
    return FIRMWARE_LIMIT_C if any(part in zone.zone.lower() for part in _PROCESSOR_ZONES) else None


def _heat(before: Readings, after: Readings) -> Iterator[Condition]:
    """Yield by how much each zone is above the point where it slows the machine down."""
    for zone in (*before.temperatures, *after.temperatures):
        limit = _limit(zone)
        if limit is not None:
            what = f"{zone.zone} is at {zone.celsius:.0f} °C and slows down at {limit:.0f} °C"
            yield Condition("heat_c", zone.celsius - limit, what)


def _throttling(before: Readings, after: Readings) -> Iterator[Condition]:
    for when, readings in (("before", before), ("after", after)):
        if readings.throttling:
            yield Condition("throttling", 1, f"{', '.join(readings.throttling)} {when} a session")
    if before.throttle_count is not None and after.throttle_count is not None:
        events = after.throttle_count - before.throttle_count
        yield Condition("throttling", events, "its processor counted so during a session")


def _clocks(before: Readings, after: Readings, used: Sequence[int]) -> Iterator[Condition]:
    """Yield what happened to the clocks of the cores in use."""
    later = {core.core: core for core in after.cores}
    for core in _used(before, used):
        end = later.get(core.core, core)
        lost = max(_lost(core.limit_mhz, end.limit_mhz), _pinned_lost(core, end))
        yield Condition("clock_lost", lost, f"core {core.core}")
        if core.governor != end.governor:
            what = f"the governor of core {core.core} went from {core.governor} to {end.governor}"
            yield Condition("governor_changed", 1, what)
        elif core.governor in _MOVING and core.driver not in _HARDWARE_CHOOSES and _moves(core):
            yield Condition("governor", 1, f"the governor {core.governor} moves the clock")


def _used(readings: Readings, used: Sequence[int]) -> list[Core]:
    """Return the cores that the process was bound to; all where that is not known."""
    return [core for core in readings.cores if not used or core.core in used]


def _lost(first: float | None, last: float | None) -> float:
    return 0.0 if not first or last is None else 1 - last / first


def _pinned_lost(core: Core, end: Core) -> float:
    """Return the share of its clock that a core lost which had no other clock to choose."""
    pinned = core.floor_mhz is not None and core.floor_mhz == core.limit_mhz
    return _lost(core.clock_mhz, end.clock_mhz) if pinned else 0.0


def _moves(core: Core) -> bool:
    return core.floor_mhz is None or core.floor_mhz != core.limit_mhz


def _others(before: Readings, after: Readings, used: Sequence[int], cpu_s: float) -> Iterator[Condition]:
    """Yield the share of the cores' time that others took: of those in use where bound, else of all."""
    if before.uptime_s is None or after.uptime_s is None:
        return
    passed = after.uptime_s - before.uptime_s
    own, worked = {core.core for core in _used(after, used)}, _worked_s(before, after)
    if passed < _LEAST_S or not own & set(worked):
        return
    mine = [worked[core] for core in own if core in worked]
    share = max(sum(mine) - cpu_s, 0.0) / (len(mine) * passed)
    bound = 0 < len(used) < len(after.cores)
    yield Condition("others_on_its_cores" if bound else "others_share", share)
    beside = {other for core in _used(after, used) for other in core.siblings} - own
    if bound and beside & set(worked):
        yield Condition("others_beside", max(worked.get(core, 0.0) for core in beside) / passed)


def _worked_s(before: Readings, after: Readings) -> dict[int, float]:
    """Return for how long each core worked between two readings."""
    begin = {core.core: core.busy_s for core in before.cores}
    return {
        core.core: core.busy_s - start
        for core in after.cores
        if core.busy_s is not None and (start := begin.get(core.core)) is not None
    }


def _memory(before: Readings, after: Readings) -> Iterator[Condition]:
    for readings in (before, after):
        total, free = readings.memory_bytes, readings.memory_available_bytes
        if total and free is not None:
            yield Condition("memory_share", 1 - free / total)
    if before.swap_used_bytes is not None and after.swap_used_bytes is not None:
        grown = after.swap_used_bytes - before.swap_used_bytes
        yield Condition("swapped_bytes", grown, f"{grown / 1e6:.0f} MB")


def _battery(before: Readings, after: Readings) -> Iterator[Condition]:
    for readings in (before, after):
        level = readings.battery_percent
        if level is not None:
            yield Condition("battery_used", 1 - level / 100, f"{level} %")
        yield Condition("charging", float(bool(readings.charging)))
        yield Condition("screen", float(bool(readings.screen_on)))
