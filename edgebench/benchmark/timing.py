"""What one latency sample covers, as data: samples of unlike definitions are not compared."""

from __future__ import annotations

import enum
from dataclasses import dataclass

NOT_TOLD = "not told"
"""Stands where a log of another tool does not say, and nobody else did."""


class Span(enum.StrEnum):
    """From when to when one latency sample lasts."""

    CALL = "call"
    """One call of the runtime, on the host's clock, until it returns."""

    COPIES_AND_COMPUTE = "copies+compute"
    """Inputs to the accelerator, kernels, outputs back; not the host's work around them."""

    COMPUTE = "compute"
    """The accelerator's kernels alone."""

    PROCESSOR = "processor-time"
    """The time that the processor spent on the call, not the time that passed."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What exactly one latency sample covers. Samples of unlike definitions are not compared.

    batch: samples per call. threads: of the runtime. Both None where a log of another tool does not
    tell. affinity: the cores the process was bound to. timed: the calls inside the clock, in words.
    clock: the clock's name, in Python's `time` or as the tool has it.
    """

    runtime: str
    runtime_version: str
    provider: str
    batch: int | None
    threads: int | None
    affinity: tuple[int, ...]
    timed: str
    process: str = "fresh process per session"
    clock: str = "perf_counter_ns"
    span: Span = Span.CALL
