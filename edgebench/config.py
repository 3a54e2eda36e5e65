"""YAML files as frozen records: every mistake is named with its line and the nearest valid key."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edgebench.errors import ConfigError

if typing.TYPE_CHECKING:
    import yaml

Record = TypeVar("Record")
Keys = tuple[str | int, ...]


def load_config(path: Path, kind: type[Record], overrides: Sequence[str] = ()) -> Record:
    """Return the YAML file `path` as a `kind` (a dataclass), after dotted overrides `a.b=value`.

    Raises ConfigError, naming the line, for an unreadable file, a syntax error, an unknown or a
    repeated key (with the nearest valid one), a missing key and a value of the wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        reason = "no such file" if isinstance(err, FileNotFoundError) else str(err)
        raise ConfigError(f"{path}: {reason}", hint="edgebench init writes a pipeline file") from err
    return parse_config(text, kind, name=str(path), overrides=overrides)


def parse_config(text: str, kind: type[Record], *, name: str, overrides: Sequence[str] = ()) -> Record:
    """Return YAML text as a `kind`; `name` stands for the text in messages. Raises ConfigError."""
    data, lines = read_yaml(text, name=name)
    places: dict[Keys, str] = {(): name, **{keys: f"{name}:{line}" for keys, line in lines.items()}}
    for override in overrides:
        _override(data, override, places)
    _check_keys(kind, data, (), places)
    return _convert(kind, data, places)


def read_yaml(text: str, *, name: str) -> tuple[Any, Mapping[Keys, int]]:
    """Return plain data, and the line of every key and item. Raises ConfigError."""
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as err:
        line = err.problem_mark.line + 1 if err.problem_mark else "?"
        raise ConfigError(f"{name}:{line}: not valid YAML: {err.problem or err}") from err
    except yaml.YAMLError as err:
        raise ConfigError(f"{name}: not valid YAML: {err}") from err
    except RecursionError as err:
        raise ConfigError(f"{name}: not valid YAML: nested too deeply") from err
    if node is None or not isinstance(data, dict | list):
        raise ConfigError(f"{name}: is empty or has no keys", hint="edgebench init writes a pipeline file")
    return data, dict(_lines(node, (), name, set()))


@functools.cache
def _loader() -> type[yaml.SafeLoader]:
    """Return a SafeLoader for which only true and false are booleans, so that `on:` is a key."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Booleans as in YAML 1.2."""

    kept = {
        first: [(tag, form) for tag, form in forms if tag != "tag:yaml.org,2002:bool"]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.yaml_implicit_resolvers = kept
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
    )
    return Loader


def _lines(node: yaml.Node, keys: Keys, name: str, seen: set[int]) -> Iterator[tuple[Keys, int]]:
    """Yield the line of every key and item; what an alias repeats stands where it is written."""
    import yaml

    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in lines:
                raise ConfigError(f"{name}:{line}: key `{key}` is already given in line {lines[key]}")
            lines[key] = line
            yield (*keys, key), line
            yield from _lines(value_node, (*keys, key), name, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*keys, index), item.start_mark.line + 1
            yield from _lines(item, (*keys, index), name, seen)


def _override(data: Any, override: str, places: dict[Keys, str]) -> None:
    """Set a value in `data`, and its place to the override, so that an error names what is wrong."""
    import yaml

    dotted, equals, text = override.partition("=")
    *parents, last = keys = dotted.split(".")
    if not equals or not all(keys):
        raise ConfigError(f"override {override!r} has not the form key.key=value")
    try:
        value = yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as err:
        raise ConfigError(f"override {override!r}: the value is not valid YAML") from err
    section = data
    for depth, key in enumerate((*parents, last)):
        if not isinstance(section, dict):
            held = f"`{keys[depth - 1]}`" if depth else places[()]
            raise ConfigError(f"override {override!r}: {held} holds no keys")
        if depth == len(parents):
            section[last] = value
        elif section.get(key) is None:
            section[key] = {}
            places[tuple(keys[: depth + 1])] = f"override {override!r}"
        section = section[key]
    for place in [place for place in places if place[: len(keys)] == tuple(keys)]:
        del places[place]
    places[tuple(keys)] = f"override {override!r}"


def _check_keys(kind: Any, data: Any, keys: Keys, places: Mapping[Keys, str]) -> None:
    record = next((arm for arm in _arms(kind) if dataclasses.is_dataclass(arm)), None)
    if record is not None and isinstance(data, dict):
        valid = [field.name for field in dataclasses.fields(record)]
        hints = typing.get_type_hints(record)
        for key, value in data.items():
            if key not in valid:
                raise _unknown_key(str(key), valid, (*keys, str(key)), places)
            _check_keys(hints[key], value, (*keys, key), places)
    elif isinstance(data, dict) and typing.get_origin(kind) is dict:
        for key, value in data.items():
            _check_keys(typing.get_args(kind)[1], value, (*keys, key), places)
    elif isinstance(data, list) and kind is not Any:
        item_kind = next((typing.get_args(arm)[0] for arm in _arms(kind) if typing.get_args(arm)), Any)
        for index, item in enumerate(data):
            _check_keys(item_kind, item, (*keys, index), places)


def _arms(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def _unknown_key(key: str, valid: list[str], keys: Keys, places: Mapping[Keys, str]) -> ConfigError:
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"valid keys here: {', '.join(valid)}"
    return ConfigError(f"{_place(keys, places)}: unknown key `{key}`", hint=hint)


def _place(keys: Keys, places: Mapping[Keys, str]) -> str:
    """Return the place of `keys`, or of the nearest section around them that has one."""
    return next(places[part] for n in range(len(keys), -1, -1) if (part := keys[:n]) in places)


def _convert(kind: type[Record], data: Any, places: Mapping[Keys, str]) -> Record:
    import msgspec

    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as err:
        message, _, path = str(err).partition(" - at `$")
        keys = _path_keys(path.rstrip("`"))
        dotted = ".".join(str(key) for key in keys)
        where = f" (`{dotted}`)" if dotted else ""
        choices = [str(arm.value) for enum_kind in _arms(_kind_at(kind, keys)) for arm in _members(enum_kind)]
        hint = f"valid values: {', '.join(choices)}" if choices else None
        raise ConfigError(f"{_place(keys, places)}: {message}{where}", hint=hint) from err


def _kind_at(kind: Any, keys: Keys) -> Any:
    for key in keys:
        for arm in _arms(kind):
            if isinstance(key, str) and dataclasses.is_dataclass(arm):
                kind = typing.get_type_hints(arm).get(key, Any)
            elif isinstance(key, int) and typing.get_args(arm):
                kind = typing.get_args(arm)[0]
    return kind


def _members(kind: Any) -> list[enum.Enum]:
    return list(kind) if isinstance(kind, type) and issubclass(kind, enum.Enum) else []


def _path_keys(path: str) -> Keys:
    found = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path)
    return tuple(int(index) if index else key for key, index in found)
