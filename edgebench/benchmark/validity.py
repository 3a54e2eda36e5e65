"""Whether a measurement may carry a verdict: a pure function of what the agent saw of the machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgebench.benchmark.evidence import Validity


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which value on a reading degrades or invalidates. reason: takes the value as a percentage."""

    degraded: float
    invalid: float
    reason: str


@dataclass(frozen=True, slots=True)
class Strain:
    """What others took while a session ran, as shares of its time; None where the system does not tell."""

    wait_share: float | None
    steal_share: float | None


THRESHOLDS = {
    # The kernel's own count of the time that the process stood ready without a core. A quiet machine
    # shows well under 1 %; at 2 % it reaches the tail percentiles; from a quarter on, the median too.
    "wait_share": Threshold(0.02, 0.25, "others held the cores: the process waited {:.1f} % of its time"),
    # Time that the hypervisor gave to other guests, of all cores' time. It is spread over all calls and
    # cannot be told from the model's own time.
    "steal_share": Threshold(0.02, 0.10, "the hypervisor gave {:.1f} % of the processor to other guests"),
    # Fresh processes of one model on a quiet machine agree within a few per cent; a quarter apart means
    # that the machine changed between them, and one session cannot speak for the next.
    "spread": Threshold(0.25, 1.0, "the sessions' medians lie {:.0f} % apart"),
}


def assess(
    strains: Sequence[Strain], medians_ns: Sequence[float], restless: Sequence[int] = ()
) -> tuple[Validity, tuple[str, ...]]:
    """Return the worst of all readings, and a reason for each that is not VALID.

    medians_ns: the median latency of each session. restless: the sessions that never became steady, which
    speak for the time that they took and for no longer.
    """
    readings = {
        "wait_share": _worst(strain.wait_share for strain in strains),
        "steal_share": _worst(strain.steal_share for strain in strains),
        "spread": max(medians_ns) / min(medians_ns) - 1 if medians_ns and min(medians_ns) > 0 else None,
    }
    worst, reasons = Validity.VALID, []
    for name, value in readings.items():
        threshold = THRESHOLDS[name]
        if value is None or value < threshold.degraded:
            continue
        reasons.append(threshold.reason.format(value * 100))
        if value >= threshold.invalid:
            worst = Validity.INVALID
        elif worst is Validity.VALID:
            worst = Validity.DEGRADED
    if restless:
        which = ", ".join(map(str, restless))
        reasons.append(f"the calls of session {which} never became steady")
        worst = Validity.DEGRADED if worst is Validity.VALID else worst
    return worst, tuple(reasons)


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
