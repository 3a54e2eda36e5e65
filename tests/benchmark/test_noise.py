"""A device's noise floor: which share stands for it, and what gives none."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reports.evidence_builders import DEVICE, artifact, sessions, timing

from edgebench.artifact import Format, Precision
from edgebench.benchmark.evidence import Calls, Evidence, Measurement, Validity
from edgebench.benchmark.evidence_files import write_session
from edgebench.benchmark.noise import floor_of, noise_of
from edgebench.errors import InputError, MeasurementError

HERE = replace(DEVICE, extra={"fingerprint": "ab12"})


def twice(folder: Path, levels: list[float]) -> Evidence:
    """Write two sides of which the second is slower by a level in each session; return the evidence."""
    block = np.repeat(np.arange(10), 20)
    sides = []
    for index, name in enumerate(("a", "b")):
        made = artifact(name, Precision.FP32, Format.ONNX, 9)
        taken = sessions(len(levels), 200, name, timing(), blocks=10, beside=("x",))
        for session, level in zip(taken, levels, strict=True):
            calls = np.full(200, round(1e6 * (level if index else 1)))
            write_session(folder, session, Calls(calls, np.zeros(200, bool), block, block), job="test")
        sides.append(Measurement(made, HERE, taken))
    return Evidence("noise", "2026-01-02T03:04:05Z", "0.1", tuple(sides), baseline=None)


def test_the_floor_is_that_of_each_comparisons_sessions(tmp_path: Path) -> None:
    """Six sessions in three comparisons give three ratios, each of its own two; the largest is the floor."""
    floor = noise_of(tmp_path, twice(tmp_path, [1.01, 1.01, 0.98, 0.98, 1.03, 1.03]), comparisons=3)
    assert np.exp(floor.log_ratios["p50"]) == pytest.approx([1.01, 0.98, 1.03], abs=1e-6)
    assert floor.floors == pytest.approx({"p50": 0.03, "p95": 0.03}, abs=1e-6)
    assert (floor.sessions, floor.calls, floor.fingerprint, floor.threads) == (2, 200, "ab12", 1)
    assert floor.words.startswith("p50 3 %, p95 3 %: 95 % of 3 A/A comparisons of a.fp32.onnx stayed below")


def test_of_twenty_comparisons_the_second_largest_stands_for_95_percent() -> None:
    """The floor is an order statistic of the ratios' sizes: a slower side counts as a faster one does."""
    logs = [math.log(1 + index / 100) * (-1) ** index for index in range(20)]
    assert floor_of(logs) == pytest.approx(math.log(1.18))
    assert sum(abs(log) <= floor_of(logs) for log in logs) == 19


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"failure": "it crashed"}, MeasurementError, "it crashed"),
        ({"validity": Validity.INVALID, "validity_reasons": ("it was hot",)}, MeasurementError, "it was hot"),
        ({"device": DEVICE}, InputError, "no fingerprint"),
    ],
)
def test_what_was_not_measured_well_gives_no_floor(
    tmp_path: Path, changes: dict[str, object], error: type[Exception], said: str
) -> None:
    """A failure, an INVALID measurement and a device without a fingerprint give no floor."""
    evidence = twice(tmp_path, [1.0, 1.0])
    worse = tuple(replace(one, **changes) for one in evidence.measurements)  # type: ignore[arg-type]
    with pytest.raises(error, match=said):
        noise_of(tmp_path, replace(evidence, measurements=worse), comparisons=1)
