"""Writing `devices.yaml`: one entry goes in or out, every other line, comments too, stays as it is.

PyYAML says where a node begins and ends; the text between is cut or filled. What comes of it is read
again before it is written, so a file in a form that this cannot edit is refused, not broken.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.config import parse_config
from edgebench.devices.inventory import Entry, Inventory, check_entry, inventory_files, load_file
from edgebench.errors import ConfigError
from edgebench.storage import storage_errors, write_text

if TYPE_CHECKING:
    import yaml

_TEXT = "tag:yaml.org,2002:str"
_NEW = "schema_version: 1\ndevices: {}\n"


def add_device(name: str, uri: str, tags: Sequence[str] = (), *, project: bool = False) -> Path:
    """Give a device a name in the user's inventory, or the project's; return the file.

    Raises ConfigError for a name that the file has, and for names, URIs and files of another form.
    """
    path, entry = _file(project=project), Entry(uri, tuple(dict.fromkeys(tags)))
    check_entry(name, entry, str(path))
    with _held(path.parent):
        known = load_file(path) if path.exists() else {}
        if name in known:
            raise ConfigError(
                f"{path}: {name} is there already: {known[name].uri}",
                hint=f"`edgebench devices remove {name}` takes it out",
            )
        text = path.read_text(encoding="utf-8") if path.exists() else _NEW
        _write(path, _with(text, name, entry), {**known, name: entry})
    return path


def remove_device(name: str, *, project: bool = False) -> Path:
    """Take a name out of the inventory that has it, the project's before the user's; return the file.

    project: look only there. Raises ConfigError where none has it.
    """
    files = inventory_files()[: 1 if project else None]
    for path in files:
        if not path.exists():
            continue
        with _held(path.parent):
            known = dict(load_file(path))
            if name in known:
                del known[name]
                _write(path, _without(path.read_text(encoding="utf-8"), name), known)
                return path
    raise ConfigError(f"no device is called {name!r}", hint=f"looked in {', '.join(map(str, files))}")


def _file(*, project: bool) -> Path:
    project_file, user_file = inventory_files()
    return project_file if project else user_file


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder while its inventory is rewritten, so that two at once do not undo each other."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with storage_errors(folder):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, text: str, expected: Mapping[str, Entry]) -> None:
    """Write an inventory that says what is expected, and no other. Raises ConfigError."""
    with contextlib.suppress(ConfigError):
        if parse_config(text, Inventory, name=str(path)).devices == dict(expected):
            write_text(path.resolve(), text)  # a link to a file elsewhere stays a link
            return
    raise ConfigError(f"{path}: is written in a form that cannot be edited here", hint="edit it by hand")


def _with(text: str, name: str, entry: Entry) -> str:
    """Return the text with one more device at the end of its `devices`."""
    tags = f", tags: {_flow(list(entry.tags))}" if entry.tags else ""
    line = f"{_key(name)}: {{uri: {_flow(entry.uri)}{tags}}}"
    root = _root(text)
    devices = _value(root, "devices")
    if devices is None:
        return _insert(text, root, f"devices: {{{line}}}")
    if not devices.value and not root.flow_style:  # `devices: {}` becomes a block
        head, tail = text[: devices.start_mark.index], text[devices.end_mark.index :]
        return f"{head.rstrip(' ')}\n  {line}{tail}"
    return _insert(text, devices, line)


def _insert(text: str, mapping: yaml.MappingNode, line: str) -> str:
    """Return the text with one more key at the end of a mapping, in the mapping's own style."""
    end = _end(mapping.value[-1][1]) if mapping.value else mapping.start_mark.index + 1
    if mapping.flow_style:
        return f"{text[:end]}{', ' if mapping.value else ''}{line}{text[end:]}"
    stop = text.find("\n", end)
    head, tail = (text, "") if stop < 0 else (text[:stop], text[stop + 1 :])
    indent = " " * mapping.value[0][0].start_mark.column
    return f"{head}\n{indent}{line}\n{tail}"


def _without(text: str, name: str) -> str:
    """Return the text without one device."""
    keys = dict(_root(text).value)
    top = next(key for key in keys if key.value == "devices")
    flow, pairs = keys[top].flow_style, keys[top].value
    place = [str(key.value) for key, _ in pairs].index(name)
    start, end = pairs[place][0].start_mark.index, _end(pairs[place][1])
    if flow:
        if place + 1 < len(pairs):
            return text[:start] + text[pairs[place + 1][0].start_mark.index :]
        return text[: _end(pairs[place - 1][1]) if place else start] + text[end:]
    stop = text.find("\n", end)
    head, tail = text[: text.rfind("\n", 0, start) + 1], "" if stop < 0 else text[stop + 1 :]
    if len(pairs) == 1:
        colon = text.index(":", top.end_mark.index) + 1
        head = f"{head[:colon]} {{}}{head[colon:]}"
    return head + tail


def _root(text: str) -> yaml.MappingNode:
    import yaml

    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError("the inventory has no keys", hint="edit it by hand")
    return node


def _value(mapping: yaml.MappingNode, name: str) -> yaml.MappingNode | None:
    return next((value for key, value in mapping.value if key.value == name), None)


def _end(node: yaml.Node) -> int:
    """Return where a node's own text ends; PyYAML ends a block where the next one begins."""
    if not isinstance(node.value, list) or getattr(node, "flow_style", True) or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _key(name: str) -> str:
    """Return a name as YAML reads it for text: in quotes where it would be a number, a date or `null`."""
    import yaml

    plain = yaml.compose(name, Loader=yaml.SafeLoader)
    return name if isinstance(plain, yaml.ScalarNode) and plain.tag == _TEXT else _flow(name)


def _flow(value: str | list[str]) -> str:
    """Return text or a list of texts as YAML reads it in one line: JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
