"""Evidence that was edited, cut off or exchanged after the measurement is named, file and what."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import fails

from edgebench.benchmark.evidence import DeviceFacts, Evidence, LatencySamples, Measurement, Session, Timing
from edgebench.benchmark.evidence_files import (
    EVIDENCE,
    calls_in_a_row,
    check_raw,
    load_samples,
    read_evidence,
    write_evidence,
    write_session,
)
from edgebench.errors import InputError

TIMING = Timing("onnxruntime", "1.0", "CPU", batch=1, threads=1, affinity=(), timed="a call")
DEVICE = DeviceFacts("local:cpu", "here", "a processor", 2, 1 << 30, "Linux")


def run(folder: Path, artifact: Any, latency_ns: np.ndarray) -> Evidence:
    """Write a run of one session with these timings, and return its evidence."""
    path = "samples/m.s0.parquet"
    session = Session(
        0, "", 1, 1, 1, None, calls=len(latency_ns), warmup_calls=0, samples=path, timing=TIMING
    )
    zeros = np.zeros(len(latency_ns), np.int64)
    calls = calls_in_a_row(LatencySamples(latency_ns, zeros, latency_ns[:0]))
    write_session(folder, session, calls, job="test")
    measured = Measurement(artifact, DEVICE, sessions=(session,))
    evidence = Evidence("m", "2026-01-02T03:04:05+00:00", "0.1.0", (measured,), None)
    write_evidence(folder, evidence)
    return evidence


@pytest.fixture
def folder(tmp_path: Path, linear: Callable[..., Any]) -> Path:
    """Return the folder of a run."""
    run(tmp_path / "run", linear()[0], np.arange(1, 400, dtype=np.int64))
    return tmp_path / "run"


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit evidence.json as somebody would by hand."""
    content = json.loads((folder / EVIDENCE).read_bytes())
    change(content)
    (folder / EVIDENCE).write_text(json.dumps(content, indent=4), encoding="utf-8")


def test_what_was_written_is_read(folder: Path) -> None:
    """Evidence that nobody touched reads, laid out anew by an editor too."""
    check_raw(folder)
    before = read_evidence(folder)
    edited(folder, lambda content: content.keys())
    assert read_evidence(folder) == before


def test_evidence_goes_before_one_of_its_files_is_replaced(folder: Path) -> None:
    """A session that evidence does not name leaves it; one that it names takes it away."""
    evidence = read_evidence(folder)
    (session,) = evidence.measurements[0].sessions
    calls = calls_in_a_row(load_samples(folder, evidence.measurements[0]))
    for _ in range(2):
        write_session(folder, replace(session, samples="samples/m.s1.parquet"), calls, job="test")
        assert read_evidence(folder) == evidence
    write_session(folder, session, calls, job="another")
    assert not (folder / EVIDENCE).exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["measurements"][0].update(validity="VALID", validity_reasons=["no"]),
        lambda content: content["measurements"][0]["sessions"][0].update(peak_rss_bytes=2),
        lambda content: content["measurements"][0].pop("failure"),
        lambda content: content["seal"]["files"].update({"samples/m.s0.parquet": "00" * 32}),
        lambda content: content.update(criteria={"gates": [], "sha256": "", "declared_utc": ""}),
    ],
)
def test_an_edited_evidence_is_named(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Whatever is changed in evidence.json, its hash is no longer the one in its seal."""
    edited(folder, change)
    with pytest.raises(InputError, match=r"evidence\.json: was edited after the measurement: its SHA-256 is"):
        read_evidence(folder)


def test_a_seal_that_was_taken_off_is_missed(folder: Path) -> None:
    """Evidence without a seal is not taken for evidence from before there were seals."""
    edited(folder, lambda content: content.pop("seal"))
    with pytest.raises(InputError, match="has lost its seal"):
        read_evidence(folder)


def test_an_exchanged_file_of_timings_is_named(folder: Path, linear: Callable[..., Any]) -> None:
    """A file of faster timings in the place of the measured one: the file is named, with both hashes."""
    run(folder.parent / "other", linear()[0], np.arange(1, 300, dtype=np.int64))
    name = "samples/m.s0.parquet"
    (folder / name).write_bytes((folder.parent / "other" / name).read_bytes())
    with pytest.raises(
        InputError, match=r"m\.s0\.parquet: is not the file that was measured: its SHA-256 is"
    ):
        check_raw(folder)


@pytest.mark.parametrize("damage", ["cut", "gone", "evidence cut"])
def test_the_report_ends_with_exit_code_2(folder: Path, damage: str) -> None:
    """A file cut in half, or gone, or half an evidence.json: `edgebench report` names it in one line."""
    path = folder / (EVIDENCE if damage == "evidence cut" else "samples/m.s0.parquet")
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[: len(content) // 2])
    said = fails(folder.parent, "report", "run", words=str(path.relative_to(folder.parent)))
    assert len(said.splitlines()) <= 2


@pytest.mark.parametrize("untimed", [0, -5])
def test_calls_that_took_no_time_are_refused(
    tmp_path: Path, linear: Callable[..., Any], untimed: int
) -> None:
    """Timings of 0 ns or less, as of a clock that was set back, are no timings; the file is named."""
    evidence = run(tmp_path, linear()[0], np.array([100, untimed, 120], np.int64))
    with pytest.raises(InputError, match=r"m\.s0\.parquet: 1 of its calls took no time, or less"):
        load_samples(tmp_path, evidence.measurements[0])
