"""Which measurements may be held against each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from reports.evidence_builders import DEVICE, artifact, sessions, timing

from edgebench.artifact import Format, Precision
from edgebench.benchmark.comparable import unlike, unlike_measurements
from edgebench.benchmark.evidence import Measurement


@pytest.fixture
def measured() -> Measurement:
    """Return a measurement of three sessions on a device with a fingerprint."""
    device = replace(DEVICE, extra={"governor": "performance", "fingerprint": "ab12"})
    made = artifact("net", Precision.FP32, Format.ONNX, 1000)
    return Measurement(made, device, sessions(3, 100, "net", timing()))


def retimed(measured: Measurement, **changes: Any) -> Measurement:
    """Return the measurement, timed in another way."""
    return replace(measured, sessions=sessions(3, 100, "net", timing(**changes)))


def test_alike_measurements_may_be_compared(measured: Measurement) -> None:
    """Two measurements of one device, timed alike, differ in nothing, though their artifacts do."""
    other = replace(measured, artifact=artifact("net", Precision.W8A8, Format.ONNX, 300))
    assert unlike_measurements(measured, other) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threads": 4}, "threads 1 and 4"),
        ({"threads": None}, "threads 1 and not told"),
        ({"affinity": (1,)}, "affinity (0,) and (1,)"),
        ({"runtime_version": "1.33.0"}, "runtime_version 1.32.0 and 1.33.0"),
        ({"provider": "CUDAExecutionProvider"}, "provider CPUExecutionProvider and CUDAExecutionProvider"),
        ({"batch": 8}, "batch 1 and 8"),
        ({"clock": "steady_clock"}, "clock perf_counter_ns and steady_clock"),
    ],
)
def test_each_field_of_what_was_timed_is_named(
    measured: Measurement, changes: dict[str, Any], said: str
) -> None:
    """Each field of the definition that differs is named with both values, and may be left out by name."""
    other = retimed(measured, **changes)
    assert unlike_measurements(measured, other) == (said,)
    assert unlike_measurements(measured, other, tuple(changes)) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extra": {"governor": "performance", "fingerprint": "cd34"}}, "fingerprint ab12 and cd34"),
        ({"extra": {"governor": "powersave", "fingerprint": "ab12"}}, "governor performance and powersave"),
        ({"system": "Linux 6.2.0"}, "system Linux 6.1.0 x86_64 and Linux 6.2.0"),
        ({"extra": {}, "processor": "Cortex-A76"}, f"processor {DEVICE.processor} and Cortex-A76"),
    ],
)
def test_another_device_or_state_is_named(measured: Measurement, change: dict[str, Any], said: str) -> None:
    """Another machine, governor or system is named; without fingerprints, another processor."""
    other = replace(measured, device=replace(measured.device, **change))
    assert unlike_measurements(measured, other) == (said,)


def test_formats_bring_their_runtimes(measured: Measurement) -> None:
    """Between ONNX and TFLite the runtime is part of the candidate; threads have to be alike all the same."""
    lite = artifact("net", Precision.W8A8, Format.TFLITE, 300)
    timed = sessions(3, 100, "lite", timing("litert", threads=4), coverage="every node")
    other = replace(measured, artifact=lite, sessions=timed)
    assert unlike_measurements(measured, other) == ("threads 1 and 4",)
    assert unlike(timing(), timing("litert"))[0] == "runtime onnxruntime and litert"


def test_another_coverage_is_named(measured: Measurement) -> None:
    """Sessions of which one runs part of the graph elsewhere are not alike."""
    other = replace(measured, sessions=sessions(3, 100, "net", timing(), coverage="12 of 40 nodes"))
    assert unlike_measurements(measured, other) == ("coverage not told and 12 of 40 nodes",)
