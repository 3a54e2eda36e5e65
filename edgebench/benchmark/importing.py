"""Logs of other tools made into a run's folder, as if edgebench had measured it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgebench import __version__
from edgebench.artifact import Artifact
from edgebench.benchmark import evidence_files as files
from edgebench.benchmark.comparable import unlike_sessions
from edgebench.benchmark.evidence import (
    DeviceFacts,
    Evidence,
    LatencySamples,
    Measurement,
    Session,
    State,
    Validity,
)
from edgebench.benchmark.importers.log import ToolLog
from edgebench.benchmark.steady import steady_state
from edgebench.benchmark.validity import assess
from edgebench.errors import InputError

_STATE = (
    "imported: the logs do not tell temperature, clocks or other load, so that validity rests on how far "
    "the sessions agree and on what the tools themselves warn of"
)

_LOOKED_AT = 200_000
"""Of a longer log every second, third … call is looked at for warm-up: ranking all of millions takes long."""


@dataclass(frozen=True, slots=True)
class NamedLog:
    """One process of a tool, the artifact that it ran, and the file that tells of it."""

    artifact: Artifact
    log: ToolLog
    path: Path
    sha256: str

    @property
    def origin(self) -> str:
        """Return where the figures are from: the tool, the file and its SHA-256."""
        return f"{self.log.tool}: {self.path.name}, SHA-256 {self.sha256}"


def import_evidence(
    folder: Path, logs: Sequence[NamedLog], device: DeviceFacts, *, name: str, baseline: str | None
) -> Evidence:
    """Write what the logs tell into `folder` as evidence, and return it.

    Logs of one artifact become its sessions, in their order; the calls before a session is steady become
    its warm-up. Raises InputError for two artifacts that
    are called alike, a log whose model weighs something else than the artifact, and sessions that were
    timed unlike each other.
    """
    groups: dict[str, list[NamedLog]] = {}
    logs = [_settled(named) for named in logs]
    for named in logs:
        _check_size(named)
        groups.setdefault(named.artifact.id, []).append(named)
    for group in groups.values():
        _check_alike(group)
    evidence = Evidence(
        name=name,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=__version__,
        measurements=tuple(_measurement(folder, group, device) for group in groups.values()),
        baseline=baseline,
        notes=(_STATE, *dict.fromkeys(note for named in logs for note in named.log.notes)),
    )
    files.write_evidence(folder, evidence)
    return evidence


def _settled(named: NamedLog) -> NamedLog:
    """Return the log with the calls before it became steady as warm-up; one that never did is in doubt."""
    log = named.log
    step = max(1, log.latency_ns.size // _LOOKED_AT)
    found = steady_state(log.latency_ns[::step])
    if found.state is State.NEVER:
        never = f"the calls of {named.path.name} never become steady"
        return replace(named, log=replace(log, doubts=(*log.doubts, never)))
    if found.state is State.TOO_FEW or not found.start:
        return named
    start = found.start * step
    note = f"{named.path}: its first {start:,} calls were taken for warm-up: the later ones are alike"
    settled = replace(
        log,
        latency_ns=log.latency_ns[start:],
        warmup_ns=np.concatenate([log.warmup_ns, log.latency_ns[:start]]),
        notes=(*log.notes, note),
    )
    return replace(named, log=settled)


def _check_size(named: NamedLog) -> None:
    """Refuse an artifact that is not the model which the log tells of, as far as its size shows."""
    size, told = named.artifact.size_bytes, named.log.model_bytes
    if size and told is not None and not told[0] <= size <= told[1]:
        raise InputError(
            f"{named.path}: is of a model of {(told[0] + told[1]) / 2:,.0f} B, and {named.artifact.id} "
            f"has {size:,} B",
            hint="name the file that was measured with --artifact",
        )


def _check_alike(group: Sequence[NamedLog]) -> None:
    first = group[0]
    for other in group[1:]:
        if other.artifact != first.artifact:
            raise InputError(f"two artifacts are called {first.artifact.id}", hint="rename one of the files")
        unlike = unlike_sessions(first.log, other.log)
        if unlike:
            raise InputError(
                f"{first.path} and {other.path}: cannot be sessions of {first.artifact.id}, they differ in "
                f"{'; '.join(unlike)}",
                hint="import them into runs of their own",
            )


def _measurement(folder: Path, group: Sequence[NamedLog], device: DeviceFacts) -> Measurement:
    sessions = tuple(_session(folder, named, index) for index, named in enumerate(group))
    times = [named.log.latency_ns for named in group]
    found = assess([], [float(np.median(values)) for values in times if values.size])
    doubts = tuple(dict.fromkeys(doubt for named in group for doubt in named.log.doubts))
    validity = Validity.DEGRADED if doubts and found.validity is Validity.VALID else found.validity
    return Measurement(
        artifact=group[0].artifact,
        device=device,
        sessions=sessions,
        validity=validity,
        validity_reasons=(*found.reasons, *doubts),
    )


def _session(folder: Path, named: NamedLog, index: int) -> Session:
    """Write one process's timings, none where the tool kept none, and return its record."""
    log = named.log
    session = Session(
        index=index,
        started_utc=log.started,
        load_ns=log.load_ns,
        first_ns=log.first_ns,
        peak_rss_bytes=log.peak_rss_bytes,
        model_rss_bytes=None,
        calls=log.latency_ns.size,
        warmup_calls=log.warmup_ns.size,
        samples=f"samples/{files.file_stem(named.artifact.id)}.s{index}.parquet",
        timing=log.timing,
        coverage=log.coverage,
        ended_by=named.log.tool,
        origin=named.origin,
        summary=log.summary,
    )
    taken = np.full(log.latency_ns.size, index, np.int64)
    samples = LatencySamples(latency_ns=log.latency_ns, session=taken, warmup_ns=log.warmup_ns)
    files.write_session(folder, session, files.calls_in_a_row(samples), job=named.sha256)
    return session
