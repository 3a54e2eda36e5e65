"""What steadiness does to a measured session, and evidence written before it was looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgebench.benchmark.evidence import SCHEMA, Calls, Session, State, Timing, Validity
from edgebench.benchmark.evidence_files import EVIDENCE, read_evidence
from edgebench.benchmark.turns import at_rest
from edgebench.benchmark.validity import Assessment, assess
from edgebench.benchmark.workloads.records import Workloads
from edgebench.errors import InputError

SCHEMAS = Path(__file__).with_name("schemas")
TIMING = Timing("onnxruntime", "1.0", "CPU", batch=1, threads=1, affinity=(), timed="a call")


def session(calls: int, warmup: int) -> Session:
    """Return a session's record as the agent's result gives it."""
    return Session(2, "", 1, 1, 1, None, calls=calls, warmup_calls=warmup, samples="s", timing=TIMING)


def in_blocks(timed: np.ndarray, warmup: np.ndarray) -> Calls:
    """Return calls after a warm-up, in blocks of 20."""
    block = np.append(np.full(warmup.size, -1), np.arange(timed.size) // 20)
    return Calls(np.append(warmup, timed), np.arange(block.size) < warmup.size, block, block)


def times(level: np.ndarray) -> np.ndarray:
    """Return calls of about a millisecond times the level, in nanoseconds."""
    noise = np.random.default_rng(1).lognormal(0, 0.05, level.size)
    return np.rint(1e6 * level * noise).astype(np.int64)


def test_calls_before_rest_become_warm_up() -> None:
    """A session that is slower at first keeps every timing, and counts those before it rests as warm-up."""
    timed, warmup = times(np.where(np.arange(1000) < 150, 1.5, 1.0)), times(np.full(20, 3.0))
    given = in_blocks(timed, warmup)
    found, taken = at_rest(session(1000, 20), given)
    assert found.steady is State.STEADY
    assert 700 <= found.calls <= 850
    assert found.calls + found.warmup_calls == 1020
    assert np.count_nonzero(~taken.warmup) == found.calls
    assert (taken.warmup[:20].all(), taken.warmup[20:].argmin()) == (True, found.warmup_calls - 20)
    np.testing.assert_array_equal(taken.latency_ns, given.latency_ns)


def test_cold_calls_stay_warm_up() -> None:
    """The cold calls at each block's beginning are neither looked at for rest nor ever measured."""
    cold = np.arange(1000) % 20 == 0
    given = in_blocks(times(np.where(cold, 3.0, 1.0)), times(np.ones(0)))
    found, taken = at_rest(session(1000, 0), replace(given, warmup=cold))
    assert (found.steady, found.calls, found.warmup_calls) == (State.STEADY, 950, 50)
    np.testing.assert_array_equal(taken.warmup, cold)


@pytest.mark.parametrize(
    ("level", "state"),
    [(np.linspace(1, 2, 1000), State.NEVER), (np.ones(100), State.TOO_FEW)],
    ids=["drift", "few calls"],
)
def test_a_session_without_rest_keeps_its_calls(level: np.ndarray, state: State) -> None:
    """Where calls never rest, or are too few to show it, none is cut, and the record says which."""
    found, taken = at_rest(session(level.size, 0), in_blocks(times(level), np.zeros(0, np.int64)))
    assert (found.steady, found.calls, taken.warmup.any()) == (state, level.size, False)


def test_a_restless_session_degrades_the_measurement() -> None:
    """A session that never rests is a reason, naming it; what is INVALID stays so."""
    quiet = replace(session(100, 0), wait_share=0.0, steal_share=0.0)
    loud, restless = replace(quiet, wait_share=0.5), replace(quiet, steady=State.NEVER)
    assert assess([restless], [1.0]) == Assessment(
        Validity.DEGRADED, ("the calls of session 2 never became steady",)
    )
    assert assess([loud, restless], [1.0]).validity is Validity.INVALID
    assert assess([quiet], [1.0]) == Assessment(Validity.VALID)


def test_evidence_of_schema_1_still_reads(tmp_path: Path) -> None:
    """Evidence from before steadiness was looked at reads, and says that nobody looked."""
    (tmp_path / EVIDENCE).write_bytes((SCHEMAS / "evidence_1.json").read_bytes())
    found = read_evidence(tmp_path)
    assert found.schema == 1
    assert [session.steady for session in found.measurements[0].sessions] == [None] * 3


def test_evidence_of_schema_2_still_reads(tmp_path: Path) -> None:
    """Evidence from before anything but single calls was measured reads, and holds none of it."""
    (tmp_path / EVIDENCE).write_bytes((SCHEMAS / "evidence_2.json").read_bytes())
    found = read_evidence(tmp_path)
    measured = found.measurements[0]
    assert found.schema == 2
    assert measured.workloads == Workloads()
    assert [session.steady_rss_bytes for session in measured.sessions] == [None, None]


def test_evidence_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    """What a later version wrote is not guessed at."""
    later = json.loads((SCHEMAS / "evidence_1.json").read_text(encoding="utf-8")) | {"schema": SCHEMA + 1}
    (tmp_path / EVIDENCE).write_text(json.dumps(later), encoding="utf-8")
    with pytest.raises(InputError, match="later version"):
        read_evidence(tmp_path)
