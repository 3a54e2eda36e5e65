"""Gates that nothing can keep together are refused, with both named."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.small_onnx import save_classifier
from processes import fails

from edgebench.errors import ConfigError
from edgebench.reports.gate_files import gates_from_config


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("p99 <= 5ms", "p99 >= 10ms"),
        ("p99 >= 0.01s", "p99 < 5ms"),
        ("p99 < 5ms", "p99 >= 5ms"),
        ("p50 <= 1ms on w8a8", "p50 >= 2ms"),
        ("metric >= 0.9", "metric <= 0.8"),
    ],
)
def test_both_gates_are_named(first: str, second: str) -> None:
    """No value keeps both, whichever of them would pass what is worse by itself."""
    with pytest.raises(ConfigError, match="contradict each other") as caught:
        gates_from_config([first, second])
    said = str(caught.value)
    assert all(words in said for words in (first, second))


@pytest.mark.parametrize(
    "gates",
    [
        ["p99 <= 5ms", "p99 <= 10ms"],
        ["p99 <= 5ms", "p50 <= 1ms"],
        ["metric >= 0.8 on onnx", "metric <= 0.7 on tflite"],
        ["metric >= 0.8", "metric <= 0.9"],
    ],
)
def test_gates_that_something_keeps_are_taken(gates: list[str]) -> None:
    """A stricter one beside another, other quantities, other artifacts, and a span are no contradiction."""
    assert len(gates_from_config(gates)) == len(gates)


def test_nothing_is_measured_for_them(tmp_path: Path) -> None:
    """`edgebench benchmark` ends with exit code 2 before anything runs, naming file and gates."""
    save_classifier(tmp_path / "m.onnx")
    (tmp_path / "g.yaml").write_text("- p99 <= 5ms\n- gate: p99 >= 10ms\n  on: fp32\n")
    words = "g.yaml: gates 'p99 <= 5ms' and 'p99 >= 10ms on fp32' contradict each other: no p99 keeps both"
    fails(tmp_path, "benchmark", "m.onnx", "--gates", "g.yaml", words=words)
    assert not (tmp_path / "runs").exists()
