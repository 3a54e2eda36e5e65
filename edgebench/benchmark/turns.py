"""One session of all artifacts: a fresh process each, all alive, their calls timed in turn, block by block.

A session is finished when its mark is written, after every artifact's file. What is found without a mark,
or not of the same moment, is taken again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.artifact import Artifact
from edgebench.benchmark import evidence_files as files
from edgebench.benchmark.agent_run import AgentResult
from edgebench.benchmark.conducting import conduct
from edgebench.benchmark.evidence import Calls, Session, State
from edgebench.benchmark.inputs import calls, grouping
from edgebench.benchmark.measuring import LATENCY_SAMPLES, Measurer, as_session
from edgebench.benchmark.steady import steady_state
from edgebench.errors import InputError, MeasurementError
from edgebench.storage import encode_json, read_json, sha256_bytes, write_json

Subject = tuple[Artifact, Path]


@dataclass(frozen=True, slots=True)
class Taken:
    """One session: each artifact's record, or why it could not be measured, by its id."""

    sessions: Mapping[str, Session]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Mark:
    """Says that a session is finished. job: the hash of what was asked. failures: by artifact id."""

    job: str
    started_utc: str
    failures: dict[str, str] = field(default_factory=dict)


def take_session(
    measurer: Measurer, subjects: Sequence[Subject], *, index: int, count: tuple[int, int]
) -> Taken:
    """Return session `index` of these artifacts, timed now or kept from before.

    count: how many sessions are done, and of how many. Raises DeviceError where the device is gone,
    ConfigError for settings that it does not have, StorageError where a disk is full.
    """
    request = measurer.request
    jobs = {artifact.id: measurer.job_hash(artifact, _settings(measurer, index)) for artifact, _ in subjects}
    together = sha256_bytes(encode_json(jobs))
    known = _kept(request.out, index, jobs, together)
    measurer.tell(f"session {index + 1} of {', '.join(jobs)}", count, kept=known is not None)
    if known is not None:
        return known
    sessions, failures = {}, {}
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    for name, found in _timed(measurer, subjects, index, started).items():
        if isinstance(found, MeasurementError):
            failures[name] = in_one_line(found)
            continue
        sessions[name], timed = found
        files.write_session(request.out, sessions[name], timed, f"{jobs[name]} {together}")
    write_json(_mark_path(request.out, index), _Mark(together, started, failures))
    return Taken(sessions, failures)


def in_one_line(error: MeasurementError) -> str:
    """Return what an error says, its hint in brackets."""
    return error.message if error.hint is None else f"{error.message} ({error.hint})"


def _settings(measurer: Measurer, index: int) -> dict[str, Any]:
    request = measurer.request
    return {
        "mode": "turns",
        "warmup_s": request.warmup_s,
        "min_warmup_calls": request.min_warmup_calls,
        "max_s": request.max_session_s,
        "calls": request.calls,
        "data": request.data.fingerprint if request.data else "random",
        "seed": f"{request.seed}.{index}",
    }


# --- kept from before ---------------------------------------------------------------------------


def _path(artifact_id: str, index: int) -> str:
    return f"samples/{files.file_stem(artifact_id)}.s{index}.parquet"


def _mark_path(out: Path, index: int) -> Path:
    return out / "samples" / f"session_{index}.json"


def _kept(out: Path, index: int, jobs: Mapping[str, str], together: str) -> Taken | None:
    """Return a session that was finished before and answers exactly these jobs, else None."""
    try:
        mark = read_json(_mark_path(out, index), _Mark)
    except InputError:
        return None
    if mark.job != together:
        return None
    sessions = {}
    for name in jobs.keys() - mark.failures.keys():
        session = files.read_session(out / _path(name, index), f"{jobs[name]} {together}")
        if session is None or session.started_utc != mark.started_utc:
            return None
        sessions[name] = session
    return Taken(sessions, mark.failures)


# --- timed now ----------------------------------------------------------------------------------

Found = tuple[Session, Calls] | MeasurementError


def _timed(measurer: Measurer, subjects: Sequence[Subject], index: int, started: str) -> dict[str, Found]:
    """Return each artifact's record and calls, or why there are none."""
    request, settings = measurer.request, _settings(measurer, index)
    found: dict[str, Found] = {}
    jobs = {}
    for place, (artifact, model) in enumerate(subjects):
        try:
            jobs[artifact.id] = {**settings, **_job(measurer, artifact, model, f"{place}.")}
        except MeasurementError as err:
            found[artifact.id] = err
    before = measurer.watch.ready()
    try:
        conducted = conduct(
            measurer.host,
            list(jobs.values()),
            calls=request.calls,
            max_s=request.max_session_s,
            seed=settings["seed"],
        )
    except MeasurementError as err:
        return found | dict.fromkeys(jobs, err)
    after = measurer.watch.read()
    results = dict(zip(jobs, conducted.results, strict=True))
    for artifact, _ in subjects:
        result = results.get(artifact.id)
        if isinstance(result, AgentResult):
            beside = [name for name in results if name != artifact.id and conducted.together]
            making = _Making(measurer, artifact, index, started, tuple(beside))
            found[artifact.id] = making.record(result.watched(before, after))
        elif result is not None:
            found[artifact.id] = result
    return found


def _job(measurer: Measurer, artifact: Artifact, model: Path, prefix: str) -> dict[str, Any]:
    group = grouping(artifact, measurer.request.data, largest=1)
    columns = calls(measurer.tensors(artifact, LATENCY_SAMPLES * group.batch), group)
    job = measurer.subject(artifact, model, columns, measurer.host.send_array, prefix=prefix)
    return {**job, **measurer.host.library(job["runtime"])}


@dataclass(frozen=True, slots=True)
class _Making:
    """What a session's record says beside the agent's result."""

    measurer: Measurer
    artifact: Artifact
    index: int
    started: str
    beside: tuple[str, ...]

    def record(self, result: AgentResult) -> Found:
        """Return the record and the calls, or why there are none."""
        try:
            session = as_session(
                result,
                index=self.index,
                started=self.started,
                samples=_path(self.artifact.id, self.index),
                batch=grouping(self.artifact, self.measurer.request.data, largest=1).batch,
                artifact=self.artifact,
            )
            taken = _calls(result)
        except MeasurementError as err:
            return err
        blocks = int(taken.block.max(initial=-1)) + 1
        return at_rest(replace(session, blocks=blocks, beside=self.beside), taken)


def _calls(result: AgentResult) -> Calls:
    """Return every call that an agent took in turns, the warm-up first. Raises MeasurementError."""
    try:
        latency, block, turn, warmup = (
            result.arrays[name].astype(np.int64) for name in ("latency_ns", "block", "turn", "warmup_ns")
        )
        cold = result.arrays["cold"].astype(np.bool_)
    except KeyError as err:
        raise MeasurementError(f"the agent's result lacks what it should tell: {err!r}") from err
    if untimed := int((latency <= 0).sum() + (warmup <= 0).sum()):
        raise MeasurementError(f"{untimed:,} calls took no time, or less, by the device's clock")
    before = np.full(warmup.size, -1, np.int64)
    return Calls(
        latency_ns=np.concatenate([warmup, latency]),
        warmup=np.concatenate([np.ones(warmup.size, np.bool_), cold]),
        block=np.concatenate([before, block]),
        turn=np.concatenate([before, turn]),
    )


def at_rest(session: Session, taken: Calls) -> tuple[Session, Calls]:
    """Return the session with the calls before it was steady moved to its warm-up, and its calls.

    One that never is steady, or has too few calls to show it, keeps them all, and says so.
    """
    measured = np.flatnonzero(~taken.warmup)
    found = steady_state(taken.latency_ns[measured])
    warmup = taken.warmup.copy()
    if found.state is State.STEADY:
        warmup[measured[: found.start]] = True
    count = int(warmup.sum())
    settled = replace(session, calls=warmup.size - count, warmup_calls=count, steady=found.state)
    return settled, replace(taken, warmup=warmup)
