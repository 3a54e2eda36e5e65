"""Others at work while a model is timed: a real one, on the very core."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from burner import CORE, burner_halfway, idle_share, measured

from edgebench.artifact import Artifact
from edgebench.benchmark.evidence import Validity
from edgebench.reports.verdict import Decision

FREE = 0.9


@pytest.fixture
def model(linear: Callable[..., tuple[Artifact, Path]]) -> tuple[Artifact, Path]:
    """Return a model of which a call takes some tenths of a millisecond."""
    return linear(weight=np.ones((1000, 1000), np.float32))


def test_a_burner_halfway_is_no_go(tmp_path: Path, model: tuple[Artifact, Path]) -> None:
    """A process that burns the same core from halfway on: not VALID, named, and GO for no gate on a time."""
    with burner_halfway(tmp_path) as begun:
        found, decision = measured(tmp_path, *model)
        assert begun.is_set()
    assert found.validity in {Validity.DEGRADED, Validity.INVALID}
    assert any("others" in reason for reason in found.disturbances), found.validity_reasons
    assert decision is Decision.INCONCLUSIVE


def test_without_a_burner_nobody_is_blamed(tmp_path: Path, model: tuple[Artifact, Path]) -> None:
    """The same run alone is GO, and its core was its own; skipped where others do hold the core."""
    for attempt in range(3):
        free = idle_share()
        found, decision = measured(tmp_path / str(attempt), *model)
        if not found.disturbances:
            break
        if free < FREE:
            pytest.skip(f"core {CORE} was idle for {free:.0%} before: run this on a machine that is free")
    assert found.disturbances == ()
    assert found.validity is not Validity.INVALID
    assert decision is Decision.GO
