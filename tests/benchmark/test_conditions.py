"""What the sensors showed around a session, and what that makes of the measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgebench.benchmark.evidence import Session, Timing, Validity
from edgebench.benchmark.validity import THRESHOLDS, Assessment, assess
from edgebench.devices.readings import Core, Readings, Temperature

TIMING = Timing("onnxruntime", "1.0", "CPU", batch=1, threads=1, affinity=(0,), timed="a call")
CORES = tuple(
    Core(
        core, 100.0, clock_mhz=1500, limit_mhz=1500, floor_mhz=1500, highest_mhz=1500, governor="performance"
    )
    for core in range(4)
)
BEFORE = Readings(
    boot_id="a",
    uptime_s=1000.0,
    temperatures=(Temperature("cpu-thermal", 50.0, 85.0),),
    cores=CORES,
    throttling=(),
    throttle_count=0,
    memory_bytes=4_000_000_000,
    memory_available_bytes=2_000_000_000,
    swap_used_bytes=0,
    battery_percent=80,
    charging=False,
    screen_on=False,
)
WORKED = (replace(CORES[0], busy_s=109.8), *CORES[1:])
AFTER = replace(BEFORE, uptime_s=1010.0, cores=WORKED)


def assessed(before: Readings = BEFORE, after: Readings = AFTER, **session: Any) -> Assessment:
    """Return what one session of ten seconds on core 0 makes of a measurement."""
    made = Session(
        index=0,
        started_utc="",
        load_ns=1,
        first_ns=1,
        peak_rss_bytes=1,
        model_rss_bytes=None,
        calls=100,
        warmup_calls=0,
        samples="",
        timing=TIMING,
        wait_share=0.0,
        steal_share=0.0,
        before=before,
        after=after,
        cpu_s=9.8,
    )
    return assess([replace(made, **session)], [1e6])


def clock(core: Core, **changes: Any) -> tuple[Core, ...]:
    """Return the cores, the first one changed."""
    return (replace(core, **changes), *CORES[1:])


def test_a_quiet_session_is_valid() -> None:
    """Cool, pinned, alone, awake from one start to its end: VALID, without a word."""
    assert assessed() == Assessment(Validity.VALID)


DEGRADING = {
    "heat": (
        {"temperatures": (Temperature("cpu-thermal", 81.0, 85.0),)},
        "cpu-thermal is at 81 °C and slows down at 85 °C",
        False,
    ),
    "heat of a processor whose kernel tells no limit": (
        {"temperatures": (Temperature("cpu-thermal", 84.0),)},
        "cpu-thermal is at 84 °C and slows down at 85 °C",
        False,
    ),
    "throttling": (
        {"throttling": ("under-voltage",)},
        "the machine was slowed down: under-voltage after a session",
        True,
    ),
    "a counted event": (
        {"throttle_count": 3},
        "the machine was slowed down: its processor counted so during a session",
        True,
    ),
    "a lower limit": (
        {"cores": clock(WORKED[0], limit_mhz=1200)},
        "the clock of core 0 fell by 20 % during a session",
        True,
    ),
    "a pinned clock that fell": (
        {"cores": clock(WORKED[0], clock_mhz=600)},
        "the clock of core 0 fell by 60 % during a session",
        True,
    ),
    "another governor": (
        {"cores": clock(WORKED[0], governor="powersave")},
        "the governor of core 0 went from performance to powersave",
        True,
    ),
    "others on its core": (
        {"cores": clock(WORKED[0], busy_s=111.8)},
        "others kept its cores busy for 20 % of the time",
        True,
    ),
    "little memory": ({"memory_available_bytes": 200_000_000}, "95 % of the memory is in use", False),
    "swapping": ({"swap_used_bytes": 50_000_000}, "50 MB were swapped out during a session", True),
    "an empty battery": ({"battery_percent": 15}, "the battery is at 15 %", False),
    "charging": ({"charging": True}, "the battery is being charged", False),
    "a screen that is on": ({"screen_on": True}, "the screen is on", False),
}


@pytest.mark.parametrize(("changes", "reason", "disturbs"), DEGRADING.values(), ids=list(DEGRADING))
def test_a_condition_degrades(changes: dict[str, Any], reason: str, *, disturbs: bool) -> None:
    """One condition that is not as it should be degrades the measurement and is named, and no other."""
    found = assessed(after=replace(AFTER, **changes), wait_share=None)
    assert found == Assessment(Validity.DEGRADED, (reason,), (reason,) if disturbs else ())


INVALIDATING = {
    "another start": ({"boot_id": "b", "uptime_s": 5.0}, "the machine was started anew during a session"),
    "no memory": ({"memory_available_bytes": 40_000_000}, "99 % of the memory is in use"),
    "half of its core": (
        {"cores": clock(WORKED[0], busy_s=116.8)},
        "others kept its cores busy for 70 % of the time",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), INVALIDATING.values(), ids=list(INVALIDATING))
def test_a_condition_invalidates(changes: dict[str, Any], reason: str) -> None:
    """What makes two machines of one, or leaves the model a part of it, is INVALID."""
    found = assessed(after=replace(AFTER, **changes), wait_share=None)
    assert (found.validity, found.reasons) == (Validity.INVALID, (reason,))


def test_a_counted_wait_needs_no_stand_in() -> None:
    """Where the kernel counted no waiting, other work on its core is not held against it."""
    after = replace(AFTER, cores=clock(WORKED[0], busy_s=116.8))
    assert assessed(after=after, wait_share=0.0) == Assessment(Validity.VALID)
    assert assessed(after=after, wait_share=0.3).validity is Validity.INVALID


def test_a_modem_may_be_hot() -> None:
    """A zone that no throttle point is known of, and that is no processor's, says nothing."""
    hot = (Temperature("modem0", 95.0), *BEFORE.temperatures)
    assert assessed(after=replace(AFTER, temperatures=hot)).validity is Validity.VALID


def test_a_moving_governor_degrades() -> None:
    """A governor that follows the load degrades; one pinned to a single clock does not, nor hardware's."""
    moving = {"governor": "schedutil", "floor_mhz": 300.0}
    before = replace(BEFORE, cores=clock(CORES[0], **moving))
    after = replace(AFTER, cores=clock(WORKED[0], **moving, clock_mhz=300.0))
    assert assessed(before, after).reasons == ("the governor schedutil moves the clock",)
    driven = {**moving, "governor": "powersave", "driver": "intel_pstate"}
    before = replace(BEFORE, cores=clock(CORES[0], **driven))
    assert assessed(before, replace(AFTER, cores=clock(WORKED[0], **driven))).validity is Validity.VALID


def test_other_cores_are_not_looked_at() -> None:
    """What happens to the clock of a core that the process is not bound to is none of its business."""
    other = (WORKED[0], replace(CORES[1], limit_mhz=600.0, governor="powersave"), *CORES[2:])
    assert assessed(after=replace(AFTER, cores=other)).validity is Validity.VALID


def test_others_beside_its_core_disturb() -> None:
    """Where a core has two threads, others on the second one take from the first."""
    first, second = replace(WORKED[0], siblings=(2,)), replace(CORES[2], busy_s=103.0, siblings=(0,))
    beside = (first, CORES[1], second, CORES[3])
    found = assessed(after=replace(AFTER, cores=beside))
    reason = "others kept the other thread of its core busy for 30 % of the time"
    assert found == Assessment(Validity.DEGRADED, (reason,), (reason,))
    elsewhere = (first, replace(CORES[1], busy_s=103.0), CORES[2], CORES[3])
    assert assessed(after=replace(AFTER, cores=elsewhere)).validity is Validity.VALID


def test_others_all_over_the_machine_disturb() -> None:
    """Of a process that may use all cores no gate on a time is answered where others keep many busy."""
    loaded = tuple(replace(core, busy_s=107.05) for core in CORES)
    timing = replace(TIMING, affinity=(0, 1, 2, 3))
    found = assessed(after=replace(AFTER, cores=loaded), timing=timing)
    reasons = ("others kept 46 % of the machine's cores busy",)
    assert found == Assessment(Validity.DEGRADED, reasons, disturbances=reasons)


def test_a_warm_start_is_said() -> None:
    """A session that began above the temperature it was to wait for degrades the measurement."""
    session = Session(0, "", 1, 1, 1, None, 1, 0, "", TIMING, before=BEFORE, after=AFTER, cpu_s=9.8)
    assert assess([session], [1e6], 60.0).validity is Validity.VALID
    found = assess([session], [1e6], 45.0)
    assert found.reasons == ("a session began at 50 °C in place of 45 °C: the machine did not cool in time",)


def _two(second: Readings) -> Assessment:
    """Return what a second session of other readings makes of a quiet first one."""
    first = Session(0, "", 1, 1, 1, None, 1, 0, "", TIMING, before=BEFORE, after=BEFORE, cpu_s=0.0)
    return assess([first, replace(first, index=1, before=second, after=second)], [1e6, 1e6])


def test_a_start_between_sessions_degrades() -> None:
    """A run that was taken up after the machine went down is of two starts, and says so."""
    assert _two(BEFORE) == Assessment(Validity.VALID)
    assert _two(replace(BEFORE, boot_id="b")) == Assessment(
        Validity.DEGRADED, ("the sessions are of 2 starts of the machine",)
    )


def test_settings_that_change_between_sessions_disturb() -> None:
    """Sessions in two power modes, or under two governors, are of two machines."""
    first = replace(BEFORE, power_mode="MAXN")
    made = Session(0, "", 1, 1, 1, None, 1, 0, "", TIMING, before=first, after=first, cpu_s=0.0)
    second = replace(BEFORE, power_mode="15W")
    found = assess([made, replace(made, index=1, before=second, after=second)], [1e6, 1e6])
    assert found.disturbances == ("the sessions are of several power modes: 15W, MAXN",)
    found = _two(replace(BEFORE, cores=clock(CORES[0], governor="ondemand")))
    assert found.disturbances == ("the governors differ from session to session: ondemand, performance",)


def test_a_machine_that_tells_nothing_is_not_degraded() -> None:
    """Virtual machines have no sensors: absence is no reason."""
    assert assessed(Readings(), Readings()) == Assessment(Validity.VALID)


def test_every_threshold_can_be_crossed() -> None:
    """Each line of the table has an order: what invalidates is not less than what degrades."""
    assert all(threshold.degraded <= threshold.invalid for threshold in THRESHOLDS.values())
