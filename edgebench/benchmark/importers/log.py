"""What a log of another tool tells, and how its numbers are taken over or refused."""

from __future__ import annotations

import fnmatch
import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgebench.benchmark.evidence import Span, Summary, Timing
from edgebench.errors import InputError

IntArray = NDArray[np.int64]

NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
"""Nanoseconds in each unit of time."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""What some shells put before UTF-8 text."""

_HEAD = 1 << 16
_LONGEST_NS = 1e15  # eleven days
_MOST_COUNTED = 1 << 53
_LARGEST_JSON = 1 << 28
"""Files that hold figures of whole runs are thousands of lines; what is larger is something else."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the user says of a measurement beside its log; None and empty where nothing is said.

    span: which of the times that a log holds is wanted. only: a pattern of the models or benchmarks
    that are wanted. runtime: what the measured program ran the model with.
    """

    span: Span | None = None
    only: str | None = None
    runtime: str | None = None
    runtime_version: str = ""
    provider: str = ""
    threads: int | None = None
    batch: int | None = None

    def wants(self, name: str) -> bool:
        """Return whether `only` lets this model or benchmark through."""
        return self.only is None or fnmatch.fnmatchcase(name, self.only)

    def threads_of(self, logged: int | None, path: Path) -> int | None:
        """Return the runtime's threads. Raises InputError where the log says otherwise than the user."""
        if logged is not None and self.threads not in (None, logged):
            raise InputError(f"{path}: was run with {logged} threads, and --threads says {self.threads}")
        return self.threads if logged is None else logged

    def span_of(self, offered: Iterable[Span], path: Path) -> Span:
        """Return the span that is wanted, the log's first where none is. Raises InputError."""
        spans = tuple(offered)
        if self.span is not None and self.span not in spans:
            names = ", ".join(spans)
            raise InputError(f"{path}: does not hold the {self.span}", hint=f"it holds: {names}")
        return self.span or spans[0]


@dataclass(frozen=True, slots=True)
class ToolLog:
    """One process of a tool: what it timed, and what else it tells.

    model: the model or benchmark as the tool names it, None where it does not. latency_ns: int64[n],
    one per call, in order; empty where the tool printed a `summary` instead. warmup_ns: int64[m].
    model_bytes: the least and the most that the model file can weigh, by what the tool printed.
    doubts: why the figures may be off, by the tool's own account.
    """

    tool: str
    timing: Timing
    model: str | None = None
    latency_ns: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    warmup_ns: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    summary: Summary | None = None
    load_ns: int | None = None
    first_ns: int | None = None
    peak_rss_bytes: int | None = None
    model_bytes: tuple[float, float] | None = None
    coverage: str = ""
    started: str = ""
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Importer(Protocol):
    """What reads the logs of one tool."""

    def recognises(self, head: bytes, path: Path) -> bool:
        """Return whether the log is this tool's. head: the file's first 64 KiB."""

    def read(self, path: Path, told: Told) -> tuple[ToolLog, ...]:
        """Return what the log holds. Raises InputError."""


def head_of(path: Path) -> bytes:
    """Return the first 64 KiB of a log. Raises InputError where it is absent, empty or not UTF-8 text."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: is not a file", hint="save the log first: it is read more than once")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as err:
        raise InputError(f"{path}: {os.strerror(err.errno or 0).lower()}", hint="name a log file") from err
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: is UTF-16 text", hint="save it as UTF-8")
    if not head.strip():
        raise InputError(f"{path}: is empty", hint="was the tool's output redirected, and did it end?")
    if b"\0" in head:
        raise InputError(f"{path}: is not a text file", hint="name a log file")
    return head.removeprefix(BYTE_ORDER_MARK)


def file_name(path: str) -> str:
    """Return the name of a file by its path on whatever system the tool ran."""
    return re.split(r"[\\/]", path.strip().strip('"'))[-1]


def load_json(path: Path) -> Any:
    """Return a JSON file's content. Raises InputError where it is not whole, or over 256 MiB."""
    if path.stat().st_size > _LARGEST_JSON:
        raise InputError(f"{path}: is larger than any such log is (256 MiB)")
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as err:
        raise InputError(
            f"{path}: is not whole JSON: {err}", hint="did the tool end, and was all of it copied?"
        ) from err


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's keys and values; a key that stands twice is an error."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key stands twice in one object: {', '.join(key for key, _ in pairs)[:80]}")
    return found


def nanoseconds(values: ArrayLike, unit_ns: float, path: Path) -> IntArray:
    """Return times in a unit of `unit_ns` nanoseconds as int64[n] nanoseconds.

    Raises InputError, naming the first, for what cannot be the time of a call: NaN, infinite, negative,
    zero, or eleven days.
    """
    times = np.asarray(values, np.float64) * unit_ns
    wrong = np.flatnonzero(~((times > 0) & (times < _LONGEST_NS)))
    if wrong.size:
        value = times[wrong[0]]
        raise InputError(
            f"{path}: call {wrong[0] + 1:,} took {value / unit_ns:g} {_unit(unit_ns)}: that is not a time",
            hint="a negative time is a clock that was set while the tool ran" if value < 0 else None,
        )
    return np.rint(times).astype(np.int64)


def _unit(unit_ns: float) -> str:
    return next(name for name, factor in NS.items() if factor == unit_ns)


def one_time(value: Any, unit_ns: float, what: str, path: Path) -> float:
    """Return one figure in nanoseconds. Raises InputError where it is no finite number from 0 on."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < _LONGEST_NS / unit_ns:
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        raise InputError(f"{path}: {what} is {str(text)[:40]}: that is not a time")
    return number * unit_ns


def whole_number(value: Any, what: str, path: Path) -> int:
    """Return a count. Raises InputError where it is no whole number from 0 on, or beyond all counting."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < _MOST_COUNTED:
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        raise InputError(f"{path}: {what} is {str(text)[:40]}: that is not a number of them")
    return number
