"""The evidence on disk: evidence.json, every single timing in samples/, every answer in outputs/.

A session's file is complete in itself: the timings, and in its metadata the session's record and the
hash of the job that it answers. So it is there or not, and a resumed run can trust what it finds.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from edgebench.benchmark.evidence import (
    SCHEMA,
    AccuracyRecord,
    Answers,
    Evidence,
    LatencySamples,
    Measurement,
    Session,
)
from edgebench.benchmark.raw_files import read_columns, read_record, write_raw
from edgebench.errors import InputError, StorageError
from edgebench.storage import atomic_path, encode_json, from_plain, read_json, sha256_bytes, write_json

EVIDENCE = "evidence.json"
_LONGEST = 180  # bytes of a stem: file systems allow 255 with what is added to it


def write_evidence(folder: Path, evidence: Evidence) -> None:
    """Write `evidence` into the run's folder. Raises StorageError."""
    write_json(folder / EVIDENCE, evidence)


def read_evidence(folder: Path) -> Evidence:
    """Return the evidence in a run's folder.

    Raises InputError where it is absent, broken, or written by a later version.
    """
    path = folder / EVIDENCE
    if not path.exists():
        raise InputError(f"{folder}: holds no evidence", hint="name the folder that a benchmark wrote")
    evidence = read_json(path, Evidence)
    if evidence.schema > SCHEMA:
        raise InputError(f"{path}: schema {evidence.schema} is of a later version of edgebench")
    return evidence


def check_unmeasured(folder: Path) -> None:
    """Refuse a folder that holds evidence already. Raises StorageError."""
    if (folder / EVIDENCE).exists():
        raise StorageError(
            f"{folder}: holds a finished measurement",
            hint=f"choose another folder with -o; edgebench report {folder} judges this one",
        )


def file_stem(artifact_id: str) -> str:
    """Return the artifact's id as the start of a file's name; a long one is cut, with a hash."""
    if len(artifact_id.encode()) <= _LONGEST:
        return artifact_id
    cut = artifact_id.encode()[: _LONGEST - 20].decode(errors="ignore")
    return f"{cut}.{sha256_bytes(artifact_id.encode())[:16]}"


# --- timings ------------------------------------------------------------------------------------


def write_session(folder: Path, session: Session, samples: LatencySamples, job: str) -> None:
    """Write one session's timings and record to `session.samples`. job: the hash of what was asked."""
    latency = np.concatenate([samples.warmup_ns, samples.latency_ns])
    columns = {
        "session": np.full(latency.size, session.index, np.int64),
        "warmup": np.arange(latency.size) < samples.warmup_ns.size,
        "latency_ns": latency,
    }
    write_raw(folder / session.samples, columns, session, job=job, key="session")


def read_session(path: Path, job: str) -> Session | None:
    """Return the session in a file where it answers exactly this job, else None."""
    return read_record(path, Session, job=job, key="session")


def load_samples(folder: Path, measurement: Measurement) -> LatencySamples:
    """Return all timings of a measurement, its sessions in order. Raises InputError."""
    parts = []
    for session in measurement.sessions:
        columns = read_columns(folder / session.samples, ("warmup", "latency_ns"))
        warmup, latency = columns["warmup"], columns["latency_ns"].astype(np.int64)
        parts.append((session.index, latency[~warmup], latency[warmup]))
    empty = np.zeros(0, np.int64)
    return LatencySamples(
        latency_ns=np.concatenate([empty, *(measured for _, measured, _ in parts)]),
        session=np.concatenate([empty, *(np.full(m.size, i, np.int64) for i, m, _ in parts)]),
        warmup_ns=np.concatenate([empty, *(warm for _, _, warm in parts)]),
    )


# --- answers ------------------------------------------------------------------------------------


def write_answers(folder: Path, record: AccuracyRecord, answers: Answers, job: str) -> None:
    """Write what an artifact answered, with its record and the hash of what was asked."""
    meta = np.frombuffer(encode_json({"job": job, "record": record}), np.uint8)
    with atomic_path(folder / record.outputs) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, logits=answers.logits, labels=answers.labels, meta=meta)


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
            logits, labels = arrays["logits"], arrays["labels"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as err:
        raise InputError(f"{path}: the answers cannot be read: {err}") from err
    return Answers(logits=logits.astype(np.float32), labels=labels.astype(np.int64))
