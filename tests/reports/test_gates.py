"""The gate language: what it reads, and how it answers what it cannot read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from evidence_builders import artifact

from edgebench.artifact import Format, Precision
from edgebench.benchmark.evidence import DeviceFacts, Measurement
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
        ("p99.9 <= 50ms", 5e7),
        ("p95[sustained] <= 60ms", 6e7),
        ("throughput >= 100/s", 100),
        ("energy <= 0.5J", 500),
        ("coverage >= 90%", 90),
        ("memory[steady] <= 1KiB", 1024),
        ("p95 <= 1.05x baseline", 1.05),
        ("p95 <= 1.05 ×  baseline", 1.05),
        ("p50 <= -20%rel", 0.8),
        ("load <= +20%rel", 1.2),
        ("drop <= 1%rel", 1),
        ("f1 >= 0.9", 0.9),
        ("rmse <= 50", 50),
        ("metric drop <= -0.01", -0.01),
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


@pytest.mark.parametrize(
    "words",
    [
        "p99 <= 50ms", "shrink >= 3.5x on w8a8", "size < 9.5KiB @99% on a b", "p99.9 <= 5ms",
        "p50 <= -20%rel", "p95[sustained] <= 1s at tag:lab, ssh://me@orin-*", "load <= +5%rel @99%",
        "memory[steady] <= 1MB", "p95 <= 1.05x baseline on w8a8", "drop[class cat] <= 2pp",
        "top1[worst weather] >= 5%", "rmse[weather=night] <= 3", "metric drop <= 1%rel",
        "drop[worst class] <= 3%rel", "throughput > 9/s", "f1 drop <= 0.1",
    ],
)  # fmt: skip
def test_a_gate_reads_itself(words: str) -> None:
    """A gate written down again is the same gate."""
    assert parse_gate(str(parse_gate(words))) == parse_gate(words)
    assert str(parse_gate(words)) == words


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("p9g <= 5ms", "unknown quantity 'p9g'", "did you mean `p99`?"),
        ("p100 <= 5ms", "p100 is no percentile", "p99.9"),
        ("f1 >= 90%", "f1 has no unit", "f1 >= 0.9"),
        ("p50 <= 20%rel", "may be a change or a share", "p50 <= +20%rel"),
        ("p50 <= 0x baseline", "leaves nothing", ""),
        ("p50 <= -100%rel", "leaves nothing", ""),
        ("top1 >= -1%rel", "not held against a baseline", "`drop`"),
        ("p99[class 1] <= 5ms", "p99[class 1] is not measured", "leave the brackets out"),
        ("size[steady] <= 5MB", "size[steady] is not measured", "memory[steady]"),
        ("drop[class] <= 1pp", "[class] names no samples", "[worst class]"),
        ("drop[night] <= 1pp", "[night] names no samples", "[weather=night]"),
        ("churn drop <= 1pp", "churn has no drop", "f1 drop"),
        ("p99 <= 5ms on a on b", "'on b' is not understood", "on w8a8"),
        ("p99 <= 5ms at tag:", "names no device", "tag:lab"),
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


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ("top1 drop <= 1pp", "drop <= 1pp"),
        ("memory[peak] <= 1MB", "memory <= 1MB"),
        ("Top-1[class=cat] >= 1%", "top1[class cat] >= 1%"),
        ("p50.0 <= 1s", "p50 <= 1s"),
        ("p99 <= 1s at tag:a,b @99% on onnx", "p99 <= 1s @99% on onnx at tag:a, b"),
    ],
)
def test_two_ways_to_say_it(words: str, same: str) -> None:
    """What can be said in two ways is the same gate, and is written in one."""
    assert str(parse_gate(words)) == same


@pytest.mark.parametrize("words", ["rmse >= 5", "coverage <= 5%", "throughput <= 5/s", "auc <= 0.9"])
def test_the_direction_of_a_metric_is_known(words: str) -> None:
    """Of an error little is better, of a score much; a gate the other way is refused."""
    with pytest.raises(ConfigError, match="pass what is worse"):
        parse_gate(words)


def test_devices_of_a_gate() -> None:
    """A gate holds on devices whose address, name or alias a pattern matches, or that have a tag."""
    lab = DeviceFacts("ssh://me@orin-1", "orin", "", 1, 0, "", aliases=("desk",), tags=("lab",))
    measured = Measurement(artifact("net", Precision.FP32, Format.ONNX, 1), lab)
    held = {
        pattern: parse_gate(f"p99 <= 1ms at {pattern}").covers(measured)
        for pattern in (
            "tag:lab",
            "tag:l*",
            "ssh://*@orin-*",
            "orin",
            "de?k",
            "ssh://orin-2",
            "local:*, desk",
        )
    }
    assert held == {
        "tag:lab": True,
        "tag:l*": False,
        "ssh://*@orin-*": True,
        "orin": True,
        "de?k": True,
        "ssh://orin-2": False,
        "local:*, desk": True,
    }


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
    text = "- p99 <= 50ms\n- {gate: drop <= 1pp, confidence: 0.99, on: onnx, devices: [tag:lab, 'ssh://*']}\n"
    path.write_text(text)
    gates = load_gates(path)
    assert [str(gate) for gate in gates] == [
        "p99 <= 50ms",
        "drop <= 1pp @99% on onnx at tag:lab, ssh://*",
    ]
    path.write_text("schema_version: 1\ngates:\n" + text)
    assert load_gates(path) == gates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- p99 <= 50ms\n- p9g <= 5ms\n", ":2: gate 'p9g <= 5ms': unknown quantity"),
        ("gates:\n\n  - size <= 1\n", ":3: gate 'size <= 1': the bound has no unit"),
        ("- {gate: p99 <= 5ms, confidense: 0.9}\n", ":1: unknown key `confidense`"),
        ("- {gate: p99 <= 5ms, confidence: 95}\n", ":1: confidence 95"),
        (
            "- size <= 1MB\n- {gate: drop <= 1pp @90%, confidence: 0.99}\n",
            ":2: gate 'drop <= 1pp @90%'",
        ),
        ("- {gate: drop <= 1pp @95%, confidence: 0.99}\n", "another confidence than `confidence`: 0.99"),
        ("- size <= 1MB\n- {gate: p99 <= 5ms, on: net@2.onnx}\n", ":2: gate `p99 <= 5ms on net@2.onnx` does"),
        ("- {gate: p99 <= 5ms, on: a at b.onnx}\n", "does not read back as it was meant"),
        ("- {gate: p99 <= 5ms, on: ''}\n", "does not read back as it was meant"),
        ("- {gate: p99 <= 5ms, devices: ['a,b']}\n", "does not read back as it was meant"),
        ("- p99 <= 50ms\n- 7\n", ":2: 7 is not a gate"),
        ("- {gate: p99 <= 5ms on onnx, on: tflite}\n", "names 'onnx', and `on` names 'tflite'"),
        ("- {gate: p99 <= 5ms at desk, devices: [tag:lab]}\n", "names 'desk', and `devices` names others"),
        ("- {gate: p99 <= 5ms, devices: ['']}\n", "names no device"),
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


@pytest.mark.parametrize(
    "words",
    [
        "p99.99999 <= 50ms",
        "p98.9999999 <= 50ms",
        "p99.9999999999[sustained] <= 50ms",
        "p0.00001 <= 50ms",
        "p99 <= 50ms @99.99999%",
        "p99 <= 50ms @97.5%",
        "p99 <= 50ms @99.99999999999999%",
        "rmse <= 0.12345678901234568",
        "size <= 1000000MB",
        "p50 <= -0.30000000000000004%rel",
    ],
)
def test_a_gate_is_written_with_all_its_digits(words: str) -> None:
    """Percentile, bound and confidence read back as they were, however near to 100 they are."""
    assert str(parse_gate(words)) == words
    assert parse_gate(str(parse_gate(words))) == parse_gate(words)


def test_a_confidence_near_one_reads_back(tmp_path: Path) -> None:
    """A record's 0.9999999 is 99.99999 % in words, and the same number again; said twice it is no mistake."""
    path = tmp_path / "gates.yaml"
    path.write_text(
        "- {gate: drop <= 1pp, confidence: 0.9999999}\n- {gate: p99 <= 5ms @99%, confidence: 0.99}\n"
    )
    assert [str(gate) for gate in load_gates(path)] == ["drop <= 1pp @99.99999%", "p99 <= 5ms @99%"]
    assert parse_gate("drop <= 1pp @99.99999%").confidence == 0.9999999


def test_gates_of_a_pipeline() -> None:
    """A pipeline's records are read by their fields; the words' own confidence holds where they say none."""

    @dataclass(frozen=True)
    class Item:
        gate: str
        confidence: float | None = None
        on: str | None = None

    found = gates_from_config(["p99 <= 5ms", Item("drop <= 1pp @99%"), Item("size <= 1MB", 0.9, "onnx")])
    assert [str(g) for g in found] == ["p99 <= 5ms", "drop <= 1pp @99%", "size <= 1MB @90% on onnx"]


def test_every_quantity_has_a_meaning_and_a_unit() -> None:
    """No quantity is without the words that reports explain it with."""
    assert all(quantity.meaning and quantity.dimension for quantity in Quantity)
