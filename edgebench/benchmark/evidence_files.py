"""The evidence on disk: evidence.json, every single timing in samples/, every answer in outputs/.

A session's file is complete in itself: the timings, and in its metadata the session's record and the
hash of the job that it answers. So it is there or not, and a resumed run can trust what it finds.
"""

from __future__ import annotations

import contextlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.benchmark.answer_arrays import answer_arrays, answers_of
from edgebench.benchmark.evidence import (
    SCHEMA,
    AccuracyRecord,
    Answers,
    Calls,
    Evidence,
    LatencySamples,
    Measurement,
    Session,
    Soak,
)
from edgebench.benchmark.raw_files import read_columns, read_record, write_raw
from edgebench.benchmark.seal import check_files, check_seal, named_files, sealed
from edgebench.errors import InputError, StorageError
from edgebench.storage import (
    atomic_path,
    encode_json,
    from_plain,
    read_json,
    sha256_bytes,
    to_plain,
    write_json,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Key = tuple[str, str]
"""An artifact's id and its device's URI."""

EVIDENCE = "evidence.json"
_LONGEST = 180  # bytes of a stem: file systems allow 255 with what is added to it


def write_evidence(folder: Path, evidence: Evidence) -> None:
    """Write `evidence` into the run's folder, sealed with the files it names. Raises StorageError."""
    write_json(folder / EVIDENCE, sealed(folder, to_plain(evidence)))


def read_evidence(folder: Path) -> Evidence:
    """Return the evidence in a run's folder.

    Raises InputError where it is absent, broken, edited since it was written, or of a later version.
    """
    path = folder / EVIDENCE
    content = _content(folder)
    if isinstance(schema := content.get("schema"), int) and schema > SCHEMA:
        raise InputError(f"{path}: schema {schema} is of a later version of edgebench")
    evidence = from_plain(Evidence, content, what=f"{path}: not a valid Evidence file")
    check_seal(path, content)
    return evidence


def check_raw(folder: Path) -> None:
    """Raise InputError, naming the file, where raw numbers in a run's folder are not those measured."""
    check_files(folder, folder / EVIDENCE, _content(folder))


def _content(folder: Path) -> dict[str, Any]:
    path = folder / EVIDENCE
    if not path.exists():
        raise InputError(f"{folder}: holds no evidence", hint="name the folder that a benchmark wrote")
    content: dict[str, Any] = read_json(path, dict)
    return content


def check_unmeasured(folder: Path) -> None:
    """Refuse a folder that holds evidence already. Raises StorageError."""
    if (folder / EVIDENCE).exists():
        raise StorageError(
            f"{folder}: holds a finished measurement",
            hint=f"choose another folder with -o; edgebench report {folder} judges this one",
        )


def place_of(folder: Path, name: str) -> Path:
    """Return the path of a raw file to write in a run's folder.

    Where finished evidence names a file there, that evidence goes first: it is not of what replaces the file.
    """
    path = folder / name
    with contextlib.suppress(InputError):
        if path.exists() and (folder / EVIDENCE).exists() and name in named_files(_content(folder)):
            (folder / EVIDENCE).unlink()
    return path


def file_stem(artifact_id: str) -> str:
    """Return the artifact's id as the start of a file's name; a long one is cut, with a hash."""
    if len(artifact_id.encode()) <= _LONGEST:
        return artifact_id
    cut = artifact_id.encode()[: _LONGEST - 20].decode(errors="ignore")
    return f"{cut}.{sha256_bytes(artifact_id.encode())[:16]}"


# --- timings ------------------------------------------------------------------------------------


def calls_in_a_row(samples: LatencySamples) -> Calls:
    """Return the calls of one session that was taken without blocks, its warm-up first."""
    latency = np.concatenate([samples.warmup_ns, samples.latency_ns])
    nowhere = np.full(latency.size, -1, np.int64)
    return Calls(latency, np.arange(latency.size) < samples.warmup_ns.size, nowhere, nowhere)


def write_session(folder: Path, session: Session, calls: Calls, job: str) -> None:
    """Write one session's timings and record to `session.samples`. job: the hash of what was asked."""
    columns = {
        "session": np.full(calls.latency_ns.size, session.index, np.int64),
        "warmup": calls.warmup,
        "block": calls.block,
        "turn": calls.turn,
        "latency_ns": calls.latency_ns,
    }
    write_raw(place_of(folder, session.samples), columns, session, job=job, key="session")


def read_session(path: Path, job: str) -> Session | None:
    """Return the session in a file where it answers exactly this job, else None."""
    return read_record(path, Session, job=job, key="session")


def load_samples(folder: Path, measurement: Measurement) -> LatencySamples:
    """Return all timings of a measurement, its sessions in order. Raises InputError."""
    sessions = measurement.sessions
    in_blocks = bool(sessions) and all(session.blocks is not None for session in sessions)
    parts = [_load_timings(folder / session.samples, in_blocks=in_blocks) for session in sessions]
    empty = np.zeros(0, np.int64)
    counts = np.array([part.latency_ns.size for part in parts], np.int64)
    return LatencySamples(
        latency_ns=np.concatenate([empty, *(part.latency_ns for part in parts)]),
        session=np.repeat(np.array([session.index for session in sessions], np.int64), counts),
        warmup_ns=np.concatenate([empty, *(part.warmup_ns for part in parts)]),
        block=np.concatenate([part.block for part in parts if part.block is not None]) if in_blocks else None,
        soaks=tuple(
            Soak(**read_columns(folder / run.raw, ("start_ns", "latency_ns")), window_s=run.window_s)
            for run in measurement.workloads.soaks
        ),
    )


@dataclass(frozen=True, slots=True)
class _Timings:
    """The calls of one session's file: warm-up apart, and the block of each measured one where it has any."""

    latency_ns: NDArray[np.int64]
    warmup_ns: NDArray[np.int64]
    block: NDArray[np.int64] | None


def _load_timings(path: Path, *, in_blocks: bool) -> _Timings:
    """Return the calls in a session's file, of its columns only those that are needed. Raises InputError."""
    columns = read_columns(path, ("warmup", "latency_ns", *(("block",) if in_blocks else ())))
    warmup, latency = columns["warmup"], columns["latency_ns"].astype(np.int64, copy=False)
    if untimed := int(np.count_nonzero(latency <= 0)):
        raise InputError(f"{path}: {untimed:,} of its calls took no time, or less: no clock shows that")
    count = int(np.count_nonzero(warmup))
    first = bool(warmup[:count].all())
    block = columns["block"] if in_blocks else None
    if first:  # no copies: the warm-up comes first, as it does but in blocks
        return _Timings(latency[count:], latency[:count], None if block is None else block[count:])
    return _Timings(latency[~warmup], latency[warmup], None if block is None else block[~warmup])


def load_run(folder: Path, evidence: Evidence) -> tuple[dict[Key, LatencySamples], dict[Key, Answers]]:
    """Return all timings and answers of a run, by artifact id and device URI. Raises InputError."""
    measured = {(m.artifact.id, m.device.uri): m for m in evidence.measurements}
    samples = {key: load_samples(folder, m) for key, m in measured.items() if m.sessions or m.workloads.soaks}
    answers = {key: found for key, m in measured.items() if (found := load_answers(folder, m)) is not None}
    return samples, answers


# --- answers ------------------------------------------------------------------------------------


def write_answers(folder: Path, record: AccuracyRecord, answers: Answers, job: str) -> None:
    """Write what an artifact answered, with its record and the hash of what was asked."""
    meta = np.frombuffer(encode_json({"job": job, "record": record}), np.uint8)
    with atomic_path(place_of(folder, record.outputs)) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **(answer_arrays(answers) | {"meta": meta}))


def read_accuracy(path: Path, job: str) -> AccuracyRecord | None:
    """Return the record in a file of answers where it answers exactly this job, else None."""
    import msgspec

    try:
        with np.load(path, allow_pickle=False) as arrays:
            record = msgspec.json.decode(arrays["meta"].tobytes())
        return from_plain(AccuracyRecord, record["record"], what=str(path)) if record["job"] == job else None
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile, InputError):
        return None  # absent, or of another making: it is asked again


def load_answers(folder: Path, measurement: Measurement) -> Answers | None:
    """Return what the artifact answered, None where nothing was asked. Raises InputError."""
    if measurement.accuracy is None:
        return None
    path = folder / measurement.accuracy.outputs
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return answers_of(dict(arrays))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as err:
        raise InputError(f"{path}: the answers cannot be read: {err}") from err
