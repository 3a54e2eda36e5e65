"""Devices by names of the user's own: `devices.yaml`, the project's before the user's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgebench.config import load_config
from edgebench.devices.uri import parse_uri
from edgebench.errors import ConfigError

SCHEMA_VERSION = 1
"""1: the first."""

FILE = "devices.yaml"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One device. uri: as for --device. tags: for `--device tag:NAME`."""

    uri: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a `devices.yaml` says: a device for each name."""

    devices: dict[str, Entry] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def inventory_files() -> tuple[Path, ...]:
    """Return where inventories may lie: the project's, in the working folder, then the user's."""
    return Path.cwd() / FILE, user_folder() / FILE


def user_folder() -> Path:
    """Return the folder of the user's own files on devices: under $XDG_CONFIG_HOME or ~/.config."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "edgebench"


def load_inventory() -> Mapping[str, Entry]:
    """Return all devices that have names; the project's stand for the user's of the same name.

    Raises ConfigError, naming the file, for one that cannot be read, and for names and URIs of
    another form.
    """
    found: dict[str, Entry] = {}
    for path in reversed(inventory_files()):
        if path.exists():
            found |= load_file(path)
    return found


def resolve(name: str) -> str:
    """Return the URI that a name, or a `tag:`, of the inventory stands for; a URI as it is.

    Raises ConfigError for an unknown name, and for a tag that not exactly one device has.
    """
    if name.startswith("tag:"):
        return _tagged(name.removeprefix("tag:"))
    if ":" in name or not _NAME.fullmatch(name):
        return name
    known = load_inventory()
    if name not in known:
        listed = f"named there: {', '.join(sorted(known))}" if known else f"give it one in {FILE}"
        raise ConfigError(f"no device is called {name!r}", hint=f"write it as in local:cpu; {listed}")
    return known[name].uri


def expand(names: Sequence[str]) -> tuple[str, ...]:
    """Return devices for names as in `--device`, each once: `tag:NAME` gives every device with that tag.

    Raises ConfigError for a tag that no device has, and where there are no names.
    """
    if not names:
        raise ConfigError("no device is named", hint="write it as in local:cpu")
    known: Mapping[str, Entry] = load_inventory() if any(name.startswith("tag:") for name in names) else {}
    found: dict[str, str] = {}
    for name in names:
        tag = name.removeprefix("tag:")
        tagged = [other for other, entry in known.items() if name != tag and tag in entry.tags]
        if name != tag and not tagged:
            raise ConfigError(f"no device has the tag {tag!r}", hint="edgebench devices list shows the tags")
        for one in sorted(tagged) or [name]:
            found.setdefault(resolve(one), one)
    return tuple(found.values())


def known_as(uri: str, asked: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names that the inventory has for a device, and its tags. Raises ConfigError.

    uri: the device's own, which has no options, and a serial where the entry may leave it out. asked: by
    which URI or name it was opened.
    """
    opened = resolve(asked)
    known = load_inventory().items()
    found = {name: entry for name, entry in known if entry.uri == opened or parse_uri(entry.uri).name == uri}
    tags = {tag for entry in found.values() for tag in entry.tags}
    return tuple(sorted(found)), tuple(sorted(tags))


def _tagged(tag: str) -> str:
    tagged = {name: entry for name, entry in load_inventory().items() if tag in entry.tags}
    if len(tagged) != 1:
        listed = f": {', '.join(sorted(tagged))}" if tagged else ""
        raise ConfigError(f"{len(tagged)} devices have the tag {tag!r}{listed}", hint="name one of them")
    return next(iter(tagged.values())).uri


def load_file(path: Path) -> Mapping[str, Entry]:
    """Return the devices that one inventory names. Raises ConfigError, naming the file."""
    inventory = load_config(path, Inventory)
    if inventory.schema_version != SCHEMA_VERSION:
        raise ConfigError(f"{path}: schema_version {inventory.schema_version}, this version knows 1")
    for name, entry in inventory.devices.items():
        check_entry(name, entry, f"{path}")
    return dict(inventory.devices)


def check_entry(name: str, entry: Entry, where: str) -> None:
    """Raise ConfigError, beginning with `where`, for a name, a tag or a URI of another form."""
    if not _NAME.fullmatch(name) or name == "tag":
        raise ConfigError(f"{where}: {name!r} is not a name for a device", hint="as in orin-1")
    for tag in entry.tags:
        if not _NAME.fullmatch(tag):
            raise ConfigError(f"{where}: {name}: {tag!r} is not a tag", hint="as in jetson")
    try:
        parse_uri(entry.uri)
    except ConfigError as err:
        raise ConfigError(f"{where}: {name}: {err.message}", hint=err.hint) from err
