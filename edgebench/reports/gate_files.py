"""Gates in YAML: a file of them, or a pipeline's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from edgebench.config import read_yaml
from edgebench.errors import ConfigError, InputError
from edgebench.reports.contradictions import check_contradictions
from edgebench.reports.gate_words import (
    confidence_of,
    device_patterns,
    parse_gate,
    read_gate,
    told_confidence,
)
from edgebench.reports.gates import Gate
from edgebench.reports.question_words import nearest

_ITEM_KEYS = ("gate", "confidence", "on", "devices")
_FILE_KEYS = ("gates", "schema_version")


class GateItem(Protocol):
    """A gate as a pipeline file holds it."""

    @property
    def gate(self) -> str:
        """Return the gate's words."""

    @property
    def confidence(self) -> float | None:
        """Return the confidence; None where the words say it, or nothing does."""

    @property
    def on(self) -> str | None:
        """Return which artifacts."""

    @property
    def devices(self) -> Sequence[str]:
        """Return which devices; empty for all."""


def gates_from_config(items: Sequence[str | Mapping[str, Any] | GateItem]) -> tuple[Gate, ...]:
    """Return the gates of a pipeline: words, or records with gate, confidence and on.

    Raises ConfigError, naming the gate, for words that are not understood, and for two that contradict.
    """
    _check_together(items)
    return tuple(_gate(item) for item in items)


def load_gates(path: Path) -> tuple[Gate, ...]:
    """Return the gates of a YAML file: a list, or a mapping with the key `gates`.

    Raises ConfigError, naming the line, for what is not understood, and for two gates that contradict.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        reason = "no such file" if isinstance(err, FileNotFoundError) else str(err)
        raise ConfigError(f"{path}: {reason}", hint="docs/gates.md shows a file of gates") from err
    data, lines = read_yaml(text, name=str(path))
    keys: tuple[str | int, ...] = ()
    if isinstance(data, dict):
        _check_file_keys(data, lines, path)
        data, keys = data.get("gates"), ("gates",)
    if not isinstance(data, list) or not data:
        raise ConfigError(f"{path}: holds no gates", hint="write a list, as in `- p99 <= 50ms`")
    try:
        _check_together(data)
    except ConfigError as err:
        raise ConfigError(f"{path}: {err.message}", hint=err.hint) from err
    gates = []
    for index, item in enumerate(data):
        try:
            gates.append(_gate(item))
        except InputError as err:
            line = lines.get((*keys, index), 1)
            raise ConfigError(f"{path}:{line}: {err.message}", hint=err.hint) from err
    return tuple(gates)


def _check_together(items: Sequence[object]) -> None:
    """Raise ConfigError for two gates that contradict each other, whatever else is wrong with either."""
    drafts = []
    for item in items:
        with contextlib.suppress(ConfigError):  # it is told of by itself
            drafts.append(_from_item(item, read_gate))
    check_contradictions(drafts)


def _gate(item: object) -> Gate:
    """Return the gate of an item. Raises ConfigError where its words, which verdicts keep, are another."""
    gate = _from_item(item, parse_gate)
    with contextlib.suppress(ConfigError):
        if parse_gate(str(gate)) == gate:
            return gate
    raise ConfigError(
        f"gate `{gate}` does not read back as it was meant",
        hint="a name with @, `at`, a comma or outer spaces needs a pattern: ? stands for any letter",
    )


def _from_item(item: object, read: Callable[[str], Gate]) -> Gate:
    if isinstance(item, str):
        return read(item)
    if isinstance(item, Mapping):
        _check_keys(item, _ITEM_KEYS)
        words, confidence, on, devices = (item.get(key) for key in _ITEM_KEYS)
    else:
        words, confidence, on, devices = (getattr(item, key, None) for key in _ITEM_KEYS)
    if not isinstance(words, str):
        raise ConfigError(f"{item!r} is not a gate", hint="as in `p99 <= 50ms`")
    gate = read(words)
    if confidence is not None:
        gate = replace(gate, confidence=confidence_of(confidence))
        if told_confidence(words) not in (None, gate.confidence):
            raise ConfigError(
                f"gate {words!r} names another confidence than `confidence`: {confidence}",
                hint="leave out one; pipelines resolved by earlier versions say 0.95 where nothing was said",
            )
    if on is not None:
        if gate.on not in (None, on):
            raise ConfigError(f"gate {words!r} names {gate.on!r}, and `on` names {on!r}")
        gate = replace(gate, on=str(on))
    return _at_devices(gate, words, devices) if devices not in (None, ()) else gate


def _at_devices(gate: Gate, words: str, devices: object) -> Gate:
    listed = devices if isinstance(devices, list | tuple) else [devices]
    patterns = device_patterns(listed)
    if gate.devices not in ((), patterns):
        raise ConfigError(f"gate {words!r} names {', '.join(gate.devices)!r}, and `devices` names others")
    return replace(gate, devices=patterns)


def _check_keys(data: Mapping[Any, Any], valid: tuple[str, ...]) -> None:
    for key in data:
        if key not in valid:
            raise ConfigError(f"unknown key `{key}`", hint=nearest(str(key), valid))


def _check_file_keys(data: Mapping[Any, Any], lines: Mapping[Any, int], path: Path) -> None:
    try:
        _check_keys(data, _FILE_KEYS)
    except ConfigError as err:
        line = next(lines[key,] for key in data if key not in _FILE_KEYS)
        raise ConfigError(f"{path}:{line}: {err.message}", hint=err.hint) from err
