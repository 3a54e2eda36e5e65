"""Devices by name: which transport serves a scheme, and which devices are here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from edgebench.devices.inventory import resolve
from edgebench.devices.uri import parse_uri
from edgebench.errors import ConfigError

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts
    from edgebench.devices.device import Device

TRANSPORTS = {
    "local": "edgebench.devices.local:open_local",
    "ssh": "edgebench.devices.ssh:open_ssh",
    "adb": "edgebench.devices.adb:open_adb",
}
"""Scheme → `module:function`, which takes the whole name and returns the device."""


def open_device(uri: str) -> Device:
    """Return the device that `uri`, or a name of the inventory, stands for; it is not connected to yet.

    Raises ConfigError where nothing serves such a name, DeviceError where it leaves a choice open.
    """
    uri = resolve(uri)
    scheme = parse_uri(uri).scheme
    if scheme not in TRANSPORTS:
        raise ConfigError(f"{uri}: no transport serves {scheme!r}", hint=f"known: {', '.join(TRANSPORTS)}")
    module, _, function = TRANSPORTS[scheme].partition(":")
    return cast("Device", getattr(importlib.import_module(module), function)(uri))


def list_devices() -> tuple[DeviceFacts, ...]:
    """Return the devices that are here and need no name from the user."""
    return (open_device("local:cpu").facts(),)
