"""What the report says of the sensors around the sessions."""

from __future__ import annotations

from dataclasses import replace

from reports.evidence_builders import Builder, artifact, latencies

from edgebench.artifact import Format, Precision
from edgebench.devices.readings import Core, Readings, Temperature
from edgebench.reports.gate_words import DEFAULT_GATES
from edgebench.reports.html import Page, render_page
from edgebench.reports.judge import judge
from edgebench.reports.results import make_results
from edgebench.reports.sensor_words import sensor_pairs

COOL = Readings(
    boot_id="5ad1e2c4-7a53",
    temperatures=(Temperature("cpu-thermal", 48.2), Temperature("modem0", 90.0)),
    cores=(Core(0, clock_mhz=1500.0, governor="ondemand"), Core(1, clock_mhz=2400.0, governor="ondemand")),
    throttling=(),
    memory_available_bytes=4_000_000_000,
    absent={"battery_percent": "this machine does not tell", "charging": "this machine does not tell"},
)
HOT = replace(COOL, temperatures=(Temperature("cpu-thermal", 71.0),), throttling=("under-voltage",))


def _measured(before: Readings | None, after: Readings | None) -> Builder:
    builder = Builder().add(artifact("m", Precision.FP32, Format.ONNX, 1000), latencies(1))
    made = builder.measurements[0]
    read = tuple(replace(session, before=before, after=after) for session in made.sessions)
    builder.measurements = [replace(made, sessions=read)]
    return builder


def test_readings_are_told_as_spans() -> None:
    """Lowest and highest over all sessions, by zones that slow it down; what is absent, and why."""
    pairs = dict(sensor_pairs(_measured(COOL, HOT).measurements))
    assert pairs["readings"] == "6, right before and right after each session"
    assert pairs["temperature"] == "48 °C to 71 °C"
    assert pairs["highest clock of a core"] == "2400 MHz"
    assert pairs["governor"] == "ondemand"
    assert pairs["slowed down"] == "under-voltage"
    assert pairs["no reading"] == "battery percent, charging: this machine does not tell"
    assert "battery" not in pairs


def test_a_machine_that_never_slowed_down_says_so() -> None:
    """Sensors of throttling that showed none are told apart from a machine without them."""
    assert dict(sensor_pairs(_measured(COOL, COOL).measurements))["slowed down"] == "never"
    silent = replace(COOL, throttling=None)
    assert "slowed down" not in dict(sensor_pairs(_measured(silent, silent).measurements))


def test_the_page_shows_them_and_a_hostile_sensor_runs_nothing() -> None:
    """The page has a section of sensors for the device; a zone or governor of markup stays text."""
    evil = replace(COOL, power_mode="<script>alert(1)</script>")
    run = _measured(COOL, evil).run()
    verdict = judge(run.evidence, DEFAULT_GATES, run.samples, run.answers)
    results = make_results(run.evidence, verdict, run.samples, run.answers)
    page = render_page(Page(run.evidence, verdict, results, run.samples, run.answers))
    assert "Sensors of " in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_evidence_without_readings_has_no_such_section() -> None:
    """Evidence of an earlier schema shows no sensors."""
    assert list(sensor_pairs(_measured(None, None).measurements)) == []
