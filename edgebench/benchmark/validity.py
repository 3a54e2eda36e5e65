"""Whether a measurement may carry a verdict: a pure function of what was seen of the machine."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from edgebench.benchmark.conditions import Condition, across, conditions, of_process
from edgebench.benchmark.evidence import Session, State, Validity
from edgebench.benchmark.workloads.records import Process

NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which value on a condition degrades or invalidates.

    reason: in words, of `percent`, the value times 100, and of `what`. disturbs: a time may be that of the
    disturbance, not of the model: no gate on a time is answered by such a measurement.
    """

    degraded: float
    invalid: float
    reason: str
    disturbs: bool = False


THRESHOLDS = {
    # The kernel's own count of the time that the process stood ready without a core. A quiet machine
    # shows well under 1 %; at 2 % it reaches the tail percentiles; from a quarter on, the median too.
    "wait_share": Threshold(
        0.02, 0.25, "others held the cores: the process waited {percent:.1f} % of its time", disturbs=True
    ),
    # Time that the hypervisor gave to other guests, of all cores' time. It is spread over all calls and
    # cannot be told from the model's own time.
    "steal_share": Threshold(
        0.02, 0.10, "the hypervisor gave {percent:.1f} % of the processor to other guests", disturbs=True
    ),
    # Fresh processes of one model on a quiet machine agree within a few per cent; a quarter apart means
    # that the machine changed between them, and one session cannot speak for the next.
    "spread": Threshold(0.25, 1.0, "the sessions' medians lie {percent:.0f} % apart"),
    # Another start of the system is another machine: clocks, caches and settings began anew.
    "restarts": Threshold(1, 1, "the machine was started anew during a session"),
    # Between sessions it may be: each is a process of its own. But what was warm then is cold.
    "starts": Threshold(2, NEVER, "the sessions are of {what} starts of the machine"),
    # What ran while nobody was connected may have met anything but what the process itself counts.
    "collected": Threshold(1, NEVER, "a session went on without its host: no sensors were read around it"),
    # Kelvin above the point where the kernel slows down; regulators act some degrees before it.
    "heat_c": Threshold(-5, NEVER, "{what}"),
    # The sessions were to begin alike; this one began as the last one left the machine.
    "warm_start_c": Threshold(0.5, NEVER, "a session began at {what}: the machine did not cool in time"),
    # The machine's own word that it ran slower than it can.
    "throttling": Threshold(1, NEVER, "the machine was slowed down: {what}", disturbs=True),
    # Of the highest clock that was allowed, or of the clock itself where it was pinned. Steps of cpufreq
    # tables are 4 to 10 % apart, so that one step is seen.
    "clock_lost": Threshold(
        0.02, NEVER, "the clock of {what} fell by {percent:.0f} % during a session", disturbs=True
    ),
    # Two policies in one session are two machines.
    "governor_changed": Threshold(1, NEVER, "{what}", disturbs=True),
    # Each of a Jetson's modes has clocks and cores of its own.
    "power_modes": Threshold(1, NEVER, "the sessions are of several power modes: {what}", disturbs=True),
    # These governors follow the load, some 10 ms behind it; calls with pauses between them are then timed
    # at another clock than calls in a row.
    "governor": Threshold(1, NEVER, "{what}"),
    # Where the kernel does not count the waiting: on cores that the process was bound to, every second of
    # others is one that it waits or shares. The system's own threads and this tool's shell take 1 to 3 %.
    "others_on_its_cores": Threshold(
        0.10, 0.50, "others kept its cores busy for {percent:.0f} % of the time", disturbs=True
    ),
    # The other thread of the same physical core halves its caches and takes up to half of its units.
    "others_beside": Threshold(
        0.10,
        NEVER,
        "others kept the other thread of its core busy for {percent:.0f} % of the time",
        disturbs=True,
    ),
    # Elsewhere they share caches, memory and the boost of the clock: a tenth of a machine is one of two cores
    # for a fifth of the time, and what was timed is no longer the model's alone.
    "others_share": Threshold(
        0.10, NEVER, "others kept {percent:.0f} % of the machine's cores busy", disturbs=True
    ),
    # With less than a tenth free the kernel drops files from memory, with 2 % it stalls for every page.
    "memory_share": Threshold(0.90, 0.98, "{percent:.0f} % of the memory is in use"),
    # Pages written out during a session come back one by one, in the middle of calls.
    "swapped_bytes": Threshold(1 << 20, NEVER, "{what} were swapped out during a session", disturbs=True),
    # Phones save power from 20 or 15 % on, by other clocks and fewer cores.
    "battery_used": Threshold(0.80, 0.95, "the battery is at {what}"),
    # Charging heats the battery, and phones hold their clocks by that heat.
    "charging": Threshold(1, NEVER, "the battery is being charged"),
    # The screen is drawn by the same memory and processor, and heats both.
    "screen": Threshold(1, NEVER, "the screen is on"),
}


@dataclass(frozen=True, slots=True)
class Assessment:
    """The worst of all conditions. reasons: for each that is not VALID. disturbances: those that disturb."""

    validity: Validity
    reasons: tuple[str, ...] = ()
    disturbances: tuple[str, ...] = ()


def assess(
    sessions: Sequence[Session], medians_ns: Sequence[float], cool_c: float | None = None
) -> Assessment:
    """Return whether the sessions' times may carry a verdict; of each condition the worst session's.

    medians_ns: the median latency of each session. cool_c: at which temperature they were to begin at
    most. Sessions that never became steady speak for the time
    that they took and for no longer.
    """
    worst, reasons, disturbances = Validity.VALID, [], []
    single = (condition for session in sessions for condition in conditions(session, cool_c))
    found = [*_spread(medians_ns), *across(sessions), *single]
    for condition in worst_conditions(found):
        grade, reason = graded(condition)
        if grade is Validity.VALID:
            continue
        worst = grade if worst is not Validity.INVALID else worst
        reasons.append(reason)
        disturbances += [reason] if THRESHOLDS[condition.name].disturbs else []
    if restless := [session.index for session in sessions if session.steady is State.NEVER]:
        reasons.append(f"the calls of session {', '.join(map(str, restless))} never became steady")
        worst = Validity.DEGRADED if worst is Validity.VALID else worst
    return Assessment(worst, tuple(reasons), tuple(disturbances))


def disturbances(process: Process, ignored: Collection[str] = ()) -> dict[str, str]:
    """Return what makes the times and the energy of a run beyond single calls another's, with the reasons.

    ignored: names of conditions. Keys are the names of the others that disturb, or make the run INVALID.
    """
    found = {}
    for condition in worst_conditions(list(of_process(process))):
        grade, reason = graded(condition)
        disturbs = grade is Validity.INVALID or THRESHOLDS[condition.name].disturbs
        if grade is not Validity.VALID and disturbs and condition.name not in ignored:
            found[condition.name] = f"{grade}: {reason}"
    return found


def graded(condition: Condition) -> tuple[Validity, str]:
    """Return what a condition makes of a measurement, and its reason, empty where that is VALID."""
    threshold = THRESHOLDS[condition.name]
    if condition.value < threshold.degraded:
        return Validity.VALID, ""
    reason = threshold.reason.format(percent=condition.value * 100, what=condition.what)
    return Validity.INVALID if condition.value >= threshold.invalid else Validity.DEGRADED, reason


def worst_conditions(found: Sequence[Condition]) -> list[Condition]:
    """Return of each name the condition of the highest value, in the order of the table."""
    named = [[one for one in found if one.name == name] for name in THRESHOLDS]
    return [max(alike, key=lambda one: one.value) for alike in named if alike]


def _spread(medians_ns: Sequence[float]) -> Iterator[Condition]:
    if medians_ns and min(medians_ns) > 0:
        yield Condition("spread", max(medians_ns) / min(medians_ns) - 1)
