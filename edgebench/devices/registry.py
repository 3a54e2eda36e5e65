"""Devices by name: which transport serves a scheme, and which devices are here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from edgebench.devices.uri import parse_uri
from edgebench.errors import ConfigError

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts
    from edgebench.devices.device import Device

TRANSPORTS = {
    "local": "edgebench.devices.local:open_local",
    "ssh": "edgebench.devices.ssh:open_ssh",
}
"""Scheme → `module:function`, which takes the whole name and returns the device."""

PLANNED = ("adb",)
"""Schemes that are documented and not in this version."""


def open_device(uri: str) -> Device:
    """Return the device that `uri` names; nothing is connected yet. Raises ConfigError."""
    scheme = parse_uri(uri).scheme
    if scheme in PLANNED:
        raise ConfigError(
            f"{uri}: devices over {scheme} are not in this version", hint="local:cpu is this machine"
        )
    if scheme not in TRANSPORTS:
        raise ConfigError(f"{uri}: no transport serves {scheme!r}", hint=f"known: {', '.join(TRANSPORTS)}")
    module, _, function = TRANSPORTS[scheme].partition(":")
    return cast("Device", getattr(importlib.import_module(module), function)(uri))


def list_devices() -> tuple[DeviceFacts, ...]:
    """Return the devices that are here and need no name from the user."""
    return (open_device("local:cpu").facts(),)
