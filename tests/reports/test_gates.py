"""The gate language: what it reads, and how it answers what it cannot read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from edgebench.errors import ConfigError
from edgebench.reports.gate_files import gates_from_config, load_gates
from edgebench.reports.gate_words import DEFAULT_GATES, parse_gate
from edgebench.reports.gates import Operator
from edgebench.reports.quantities import Quantity


def test_the_edge_checklist_is_the_default() -> None:
    """The default gates are the four of the checklist, at 95 %."""
    assert [str(gate) for gate in DEFAULT_GATES] == [
        "p99 <= 50ms",
        "size <= 10MB",
        "shrink >= 3.5x on w8a8",
        "drop <= 2pp",
    ]
    assert {gate.confidence for gate in DEFAULT_GATES} == {0.95}


@pytest.mark.parametrize(
    ("words", "stored"),
    [
        ("p99 <= 50ms", 5e7),
        ("p50<=800us", 8e5),
        ("p50 ≤ 800 µs", 8e5),
        ("p50 <= 800μs", 8e5),
        ("load <= .5 s", 5e8),
        ("size < 10MB", 1e7),
        ("size < 10 MiB", 10 * 2**20),
        ("memory <= 64KB", 64e3),
        ("shrink > 3.5×", 3.5),
        ("drop <= -0.5pp", -0.5),
        ("top1 >= 97%", 97),
        ("Top-5 >= 9.9e1 %", 99),
        ("churn <= 3%", 3),
        ("first <= 1500000ns", 1.5e6),
    ],
)
def test_units_are_read(words: str, stored: float) -> None:
    """Every unit is turned into the one that the quantity is stored in."""
    assert parse_gate(words).stored_bound == pytest.approx(stored)


@pytest.mark.parametrize(
    ("words", "confidence", "on"),
    [
        ("p99 <= 50ms @99%", 0.99, None),
        ("p99 <= 50ms @ 0.9", 0.9, None),
        ("p99 <= 50ms on w8a8", 0.95, "w8a8"),
        ("p99 <= 50ms @97.5% on *.tflite", 0.975, "*.tflite"),
        ("p99 <= 50ms on my model* @99%", 0.99, "my model*"),
    ],
)
def test_confidence_and_artifacts_are_read(words: str, confidence: float, on: str | None) -> None:
    """`@` gives the confidence and `on` the artifacts, in either order."""
    gate = parse_gate(words)
    assert (gate.confidence, gate.on) == (pytest.approx(confidence), on)


@pytest.mark.parametrize("words", ["p99 <= 50ms", "shrink >= 3.5x on w8a8", "size < 9.5KiB @99% on a b"])
def test_a_gate_reads_itself(words: str) -> None:
    """A gate written down again is the same gate."""
    assert parse_gate(str(parse_gate(words))) == parse_gate(words)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("p98 <= 5ms", "unknown quantity 'p98'", "did you mean `p99`?"),
        ("shrnk >= 3x", "unknown quantity 'shrnk'", "did you mean `shrink`?"),
        ("size <= 10mb", "unit 'mb'", "did you mean 'MB'?"),
        ("p99 <= 50mss", "unit 'mss'", "did you mean 'ms'?"),
        ("drop <= 2%", "unit '%'", "valid: pp"),
        ("p99 <= 50", "has no unit", "valid: ns"),
        ("p99 == 50ms", "not understood", "never equals"),
        ("fast please", "not understood", "as in `p99 <= 50ms`"),
        ("p99 <= 50ms @95", "confidence '95'", "@95%"),
        ("p99 <= 50ms @0.2", "confidence '0.2'", "@95%"),
        ("p99 <= 50ms @1.2.3", "confidence '1.2.3'", "@95%"),
        ("p99 <= 50ms @99% w8a8", "not understood", "on w8a8"),
        ("p99 <= -5ms", "never negative", ""),
    ],
)
def test_a_mistake_is_named_with_the_nearest_valid_word(words: str, message: str, hint: str) -> None:
    """What cannot be read is quoted, and the hint gives the nearest thing that can."""
    with pytest.raises(ConfigError) as caught:
        parse_gate(words)
    assert repr(words) in caught.value.message
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_gate_turned_round_is_refused() -> None:
    """`p99 >= 50ms` would pass whatever is slow: it is refused, and the other way is offered."""
    with pytest.raises(ConfigError, match="pass what is worse") as caught:
        parse_gate("p99 >= 50ms")
    assert caught.value.hint == "did you mean `p99 <= 50ms`?"


@pytest.mark.parametrize(
    ("operator", "holds"),
    [("<=", (True, True)), ("<", (True, False)), (">=", (False, True)), (">", (False, False))],
)
def test_operators_at_and_beside_the_bound(operator: str, holds: tuple[bool, bool]) -> None:
    """The bound itself meets <= and >=, not < and >."""
    assert (Operator(operator).holds(1.0, 2.0), Operator(operator).holds(2.0, 2.0)) == holds


def test_a_file_of_gates(tmp_path: Path) -> None:
    """A file holds words and records, as a list or under `gates`."""
    path = tmp_path / "gates.yaml"
    text = "- p99 <= 50ms\n- {gate: drop <= 1pp, confidence: 0.99, on: onnx}\n"
    path.write_text(text)
    gates = load_gates(path)
    assert [str(gate) for gate in gates] == ["p99 <= 50ms", "drop <= 1pp @99% on onnx"]
    path.write_text("schema_version: 1\ngates:\n" + text)
    assert load_gates(path) == gates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- p99 <= 50ms\n- p98 <= 5ms\n", ":2: gate 'p98 <= 5ms': unknown quantity"),
        ("gates:\n\n  - size <= 1\n", ":3: gate 'size <= 1': the bound has no unit"),
        ("- {gate: p99 <= 5ms, confidense: 0.9}\n", ":1: unknown key `confidense`"),
        ("- {gate: p99 <= 5ms, confidence: 95}\n", ":1: confidence 95"),
        ("- p99 <= 50ms\n- 7\n", ":2: 7 is not a gate"),
        ("- {gate: p99 <= 5ms on onnx, on: tflite}\n", "names 'onnx', and `on` names 'tflite'"),
        ("gate:\n- p99 <= 50ms\n", "unknown key `gate`"),
        ("gates: []\n", "holds no gates"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_mistake_in_a_file_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    """The message begins with file and line of the gate that is wrong."""
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_gates(path)
    assert str(path) in caught.value.message
    assert message in caught.value.message


def test_an_absent_file_of_gates(tmp_path: Path) -> None:
    """A file that is not there is one line and a hint."""
    with pytest.raises(ConfigError, match="no such file"):
        load_gates(tmp_path / "gates.yaml")


def test_gates_of_a_pipeline() -> None:
    """A pipeline's records are read by their fields; the words' own confidence wins over the default."""

    @dataclass(frozen=True)
    class Item:
        gate: str
        confidence: float = 0.95
        on: str | None = None

    found = gates_from_config(["p99 <= 5ms", Item("drop <= 1pp @99%"), Item("size <= 1MB", 0.9, "onnx")])
    assert [str(g) for g in found] == ["p99 <= 5ms", "drop <= 1pp @99%", "size <= 1MB @90% on onnx"]


def test_every_quantity_has_a_meaning_and_a_unit() -> None:
    """No quantity is without the words that reports explain it with."""
    assert all(quantity.meaning and quantity.dimension for quantity in Quantity)
