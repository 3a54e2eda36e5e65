"""Devices that fail again and again are left alone until somebody has looked at them.

One small file per device, in `$XDG_STATE_HOME/edgebench/devices`: how often it failed in a row, when last,
and why. This machine is not kept there: what fails here is seen here.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgebench.errors import DeviceBusyError, DeviceError, InputError, StorageError
from edgebench.storage import read_json, sha256_bytes, write_json

LIMIT = 3
"""Failures in a row, of the device or the way to it, after which it is not used."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a device did of late. failures: in a row. when_utc, reason: of the last one."""

    uri: str
    failures: int
    when_utc: str
    reason: str

    @property
    def quarantined(self) -> bool:
        """Return whether the device is left alone."""
        return self.failures >= LIMIT


def quarantined() -> tuple[Health, ...]:
    """Return the devices that are left alone, by name."""
    read = (_read(path) for path in _folder().glob("*.json"))
    found = [health for health in read if health is not None and health.quarantined]
    return tuple(sorted(found, key=lambda health: health.uri))


@contextlib.contextmanager
def guarded(uri: str, name: str) -> Iterator[None]:
    """Count what becomes of a device in this block; a block that ends well starts the count anew.

    uri: the device's own, without options. name: as the user wrote it. Raises DeviceError, before the
    block, for a device in quarantine. A device that another one uses has not failed.
    """
    health = _read(_path(uri))
    if health is not None and health.quarantined:
        raise DeviceError(
            f"{uri}: is in quarantine since {health.when_utc}: it failed {health.failures} times in a row, "
            f"the last time with: {health.reason}",
            hint=f"look at it; `edgebench devices doctor {shlex.quote(name)}` takes it out where it finds "
            "all that a benchmark needs",
        )
    try:
        yield
    except DeviceBusyError:
        raise
    except DeviceError as err:
        _count(uri, health, err.message.removeprefix(f"{uri}: "))
        raise
    lift(uri)


def lift(uri: str) -> bool:
    """Forget a device's failures; return whether it was in quarantine."""
    health = _read(_path(uri))
    with contextlib.suppress(OSError):
        _path(uri).unlink(missing_ok=True)
    return health is not None and health.quarantined


def _count(uri: str, before: Health | None, reason: str) -> None:
    if uri.startswith("local:"):
        return
    failures = 1 + (before.failures if before else 0)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    with contextlib.suppress(StorageError):  # the device's own failure is what has to be told
        write_json(_path(uri), Health(uri, failures, now, reason))


def _read(path: Path) -> Health | None:
    """Return what a file says; one that is absent or of another making says nothing."""
    try:
        return read_json(path, Health)
    except InputError:
        return None


def _path(uri: str) -> Path:
    return _folder() / f"{sha256_bytes(uri.encode())[:16]}.json"


def _folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "edgebench" / "devices"
