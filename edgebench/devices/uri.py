"""A device's name as the user writes it: `local:cpu`, `ssh://orin-1`, `adb://SERIAL`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgebench.errors import ConfigError

_FORM = re.compile(r"(?P<scheme>[a-z][a-z0-9+-]*):(//)?(?P<place>[^\s]+)")


@dataclass(frozen=True, slots=True)
class DeviceUri:
    """scheme: the kind of transport. place: what the transport makes of the rest."""

    scheme: str
    place: str


def parse_uri(text: str) -> DeviceUri:
    """Return the parts of a device's name. Raises ConfigError where it has another form."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} does not name a device", hint="write it as in local:cpu")
    return DeviceUri(match["scheme"], match["place"])
