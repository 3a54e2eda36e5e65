"""A machine made ready to be measured, and put back as it was, whatever ends the measurement.

Three nets, one below the other: the end of the measurement puts everything back; where the host or the link
dies, a restorer on the machine notices and does it; where the machine itself went down, its journal is
found by whoever connects next.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgebench.devices.process import started, text
from edgebench.devices.remote_device import RemoteDevice
from edgebench.devices.settings import (
    HOLD,
    MODE_PATTERNS,
    PATTERNS,
    RESTORE,
    Setting,
    known_mode,
    wanted_settings,
)
from edgebench.devices.sysfs import read_files
from edgebench.errors import DeviceError, StorageError
from edgebench.progress import Progress
from edgebench.storage import cache_folder, folder_lock

if TYPE_CHECKING:
    from edgebench.devices.device import Device

_RESTORE_S = 60.0
_LEFT = "cannot be put back"
_UNKNOWN_MODE = "not prepared: the power mode stays as it is: nvpmodel does not tell which one to put back"


def journal_of(device: Device) -> PurePosixPath:
    """Return where a machine keeps what to put back: beside edgebench's files there."""
    if isinstance(device, RemoteDevice):
        return device.cache().root / "restore"
    return PurePosixPath(_own_folder()) / "restore"


def _own_folder() -> Path:
    return cache_folder().absolute() / "prepared"


@contextlib.contextmanager
def made_ready(
    device: Device, progress: Progress, *, prepare: bool, power_mode: int | None = None, root: str = "/"
) -> Iterator[tuple[str, ...]]:
    """Yield what was put back of an earlier measurement, and what is prepared for this one, in words.

    The machine must be held. Raises DeviceError.
    """
    left = recovered(device, root=root)
    if not prepare and power_mode is None:
        yield left
        return
    if any(_LEFT in line for line in left):  # the former values are in that journal alone
        yield (*left, "not prepared: what an earlier measurement changed must be put back first")
        return
    with prepared(device, progress, power_mode=power_mode, root=root) as notes:
        yield (*left, *notes)


def recovered(device: Device, *, root: str = "/") -> tuple[str, ...]:
    """Put back what an earlier measurement left changed, unless one here is at work; return lines as notes.

    A remote machine must be held. Raises DeviceError.
    """
    if not isinstance(device, RemoteDevice) and not Path(journal_of(device)).exists():
        return ()
    with _alone(device) as alone:
        return put_back(device, root=root) if alone else ()


def put_back(device: Device, *, root: str = "/") -> tuple[str, ...]:
    """Put back what the journal holds; return a line for each setting, none without a journal.

    Raises DeviceError.
    """
    argv = ["sh", "-c", RESTORE, "sh", root, str(journal_of(device)), ""]
    done = device.run(argv, timeout_s=_RESTORE_S)
    said = [line.partition("\t") for line in done.stdout.splitlines() if "\t" in line]
    words = {"back": "was put back: an earlier measurement had changed it", "left": _LEFT}
    return tuple(f"{name} {words[word]}" for word, _, name in said if word in words)


@contextlib.contextmanager
def prepared(
    device: Device, progress: Progress, *, power_mode: int | None = None, root: str = "/"
) -> Iterator[tuple[str, ...]]:
    """Yield what was changed and what may not be, each a line; at the end everything is as before.

    The machine must be held. power_mode: the number of a Jetson's mode. Raises DeviceError.
    """
    with _alone(device) as alone:
        if not alone:
            yield ("not prepared: another measurement here holds this machine's settings",)
            return
        patterns = PATTERNS if power_mode is None else (*PATTERNS, *MODE_PATTERNS)
        files = read_files(device, patterns, keep=".", root=root)[0]
        settings = wanted_settings(files, power_mode=power_mode)
        left = (_UNKNOWN_MODE,) if power_mode is not None and not known_mode(files) else ()
        if not settings:
            yield left or ("prepared: nothing to change",)
            return
        with _held(device, settings, root) as lines:
            said = _answers(lines)
            yield (*left, *(_note(setting, said) for setting in settings))
            for line in put_back(device, root=root):
                if _LEFT in line:
                    progress(f"{device.uri}: {line}")


def _answers(lines: Iterator[str]) -> dict[str, str]:
    """Return what became of each setting, by its name."""
    said = {}
    for line in lines:
        if line == "prepared":
            break
        word, tab, name = line.partition("\t")
        if tab:
            said[name] = word
    return said


def _note(setting: Setting, said: dict[str, str]) -> str:
    if said.get(setting.name) == "set":
        return f"prepared: {setting}"
    return f"not prepared: {setting.what} stays {setting.former}: this user may not set it there"


@contextlib.contextmanager
def _held(device: Device, settings: Sequence[Setting], root: str) -> Iterator[Iterator[str]]:
    """Yield what the preparing script says; it stays until the block ends, or this process does."""
    words = [word for s in settings for word in (s.kind, s.name, s.former, s.wanted)]
    argv = ["sh", "-c", HOLD, "sh", root, str(journal_of(device)), RESTORE, *words]
    if isinstance(device, RemoteDevice):
        with device.held(argv, step="preparing the device") as lines:
            yield lines
        return
    with started(argv) as process:
        yield _lines(process, device.uri)


def _lines(process: subprocess.Popen[bytes], uri: str) -> Iterator[str]:
    if process.stdout is not None:
        for line in process.stdout:
            yield text(line).rstrip("\n")
    raise DeviceError(f"{uri}: preparing it ended early", hint="is there room for a file in its cache?")


@contextlib.contextmanager
def _alone(device: Device) -> Iterator[bool]:
    """Yield whether no other process prepares this machine; a remote one is held by its lease."""
    if isinstance(device, RemoteDevice):
        yield True
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(folder_lock(_own_folder()))
        except StorageError:
            yield False
            return
        yield True
