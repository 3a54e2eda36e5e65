"""A device's name as the user writes it: `local:cpu`, `ssh://orin-1`, `adb://SERIAL`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from edgebench.errors import ConfigError

_FORM = re.compile(r"(?P<name>(?P<scheme>[a-z][a-z0-9+-]*):(//)?(?P<place>[^\s?]*))(\?(?P<options>\S*))?")


@dataclass(frozen=True, slots=True)
class DeviceUri:
    """scheme: the kind of transport. place: what the transport makes of the rest.

    options: what follows a question mark, as in `?python=/opt/python3`. name: all before it.
    """

    scheme: str
    place: str
    name: str
    options: Mapping[str, str] = field(default_factory=dict)


def parse_uri(text: str) -> DeviceUri:
    """Return the parts of a device's name. Raises ConfigError where it has another form."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} does not name a device", hint="write it as in local:cpu")
    try:
        options = dict(
            parse_qsl(match["options"] or "", keep_blank_values=True, strict_parsing=bool(match["options"]))
        )
    except ValueError as err:
        raise ConfigError(f"{text}: options are written as in ?python=/opt/python3") from err
    return DeviceUri(match["scheme"], match["place"], match["name"], options)


def check_options(uri: DeviceUri, known: tuple[str, ...]) -> None:
    """Raise ConfigError for an option that this kind of device does not have."""
    for name in uri.options:
        if name not in known:
            hint = f"it has: {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"{uri.name}: no option is called {name!r}", hint=hint)
