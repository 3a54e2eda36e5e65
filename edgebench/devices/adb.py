"""Android phones over the user's adb, always with a serial.

Manual: adb's `help`, and docs/user/adb.1.md in AOSP's packages/modules/adb. What its exit codes and
messages are worth was measured with versions 29 and 36: `adb connect` always ends with 0, `adb shell` of
version 29 also where the cable was pulled, and `adb push` may say "1 file pushed" of a part.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edgebench.devices import shell
from edgebench.devices.facts import TEMPORARY
from edgebench.devices.process import Ended, run_process, text
from edgebench.devices.remote import (
    LARGEST_BYTES,
    SHORT_S,
    Copy,
    Reason,
    RemoteTransport,
    copy_limit_s,
    find_hash,
)
from edgebench.devices.remote_device import RemoteDevice, remote_device
from edgebench.devices.transport import Completed
from edgebench.devices.uri import DeviceUri, parse_uri
from edgebench.errors import DeviceError, DeviceFileError

_NETWORK_SERIAL = re.compile(r"[\w.-]+:\d+")
_FILL = (
    f'{shell.SHA256}h=$(sha <"$1") && [ "${{h%% *}}" = "$3" ] && touch "$1" && mv -f "$1" "$2" || exit 1; '
    f"{shell.name_it('$2', '$4')}"
)
_TELL = shell.SHA256 + 'wc -c <"$1" && sha <"$1"'
_READ = 'input=$1; shift; exec "$@" <"$input"'


@dataclass(frozen=True, slots=True)
class AdbTransport(RemoteTransport):
    """A phone. adb: the client's path."""

    serial: str
    adb: str
    _folders: set[PurePosixPath] = field(default_factory=set)
    """Made before; adb itself makes one that has vanished since."""

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes | None = None) -> Completed:
        """Run a command to its end; its input goes ahead as a file, for old phones know no end of it."""
        if stdin is None:
            return RemoteTransport.run(self, argv, timeout_s=timeout_s)
        told = RemoteTransport.run(self, ["sh", "-c", f"echo {TEMPORARY}"], timeout_s=SHORT_S)
        remote = PurePosixPath(told.stdout.strip()) / f".input.{shell.new_nonce()}.part"
        with tempfile.NamedTemporaryFile() as local:
            local.write(stdin)
            local.flush()
            self.push(Path(local.name), remote)
        try:
            reading = ["sh", "-c", _READ, "sh", str(remote), *argv]
            return RemoteTransport.run(self, reading, timeout_s=timeout_s)
        finally:
            with contextlib.suppress(DeviceError):
                self.sh('rm -f "$1"', remote, timeout_s=SHORT_S, step="removing its input")

    def _client(self, line: str) -> list[str]:
        return [self.adb, "-s", self.serial, "shell", line]

    def _put(self, copy: Copy, part: PurePosixPath, digest: Callable[[], str]) -> None:
        if part.parent not in self._folders:
            made = self.sh('mkdir -p "$1"', part.parent, timeout_s=SHORT_S, step=copy.step)
            self._check(made, copy.step, f"{part.parent}: cannot be written there")
            self._folders.add(part.parent)
        self._copy(["push", str(copy.local.absolute()), str(part)], copy)
        words = (part, copy.remote, digest(), copy.name or "")
        filled = self.sh(_FILL, *words, timeout_s=copy.timeout_s, step=copy.step)
        self._check(filled, copy.step, "it did not arrive as it was sent")

    def _get(self, local: Path, remote: PurePosixPath, step: str) -> str:
        told = self.sh(_TELL, remote, timeout_s=copy_limit_s(LARGEST_BYTES), step=step)
        self._check(told, step, f"{remote}: cannot be read there", kind=DeviceFileError)
        size = int(told.stdout.split()[0])
        self._copy(["pull", str(remote), str(local.absolute())], Copy(local, remote, size, step))
        return find_hash(told.stdout)

    def _copy(self, argv: Sequence[str], copy: Copy) -> None:
        """Copy by adb; that what arrived is whole is checked by its hash afterwards."""
        argv = [self.adb, "-s", self.serial, *argv]
        ended = self._client_run(argv, timeout_s=copy.timeout_s, step=copy.step)
        if ended.returncode == 0:
            return
        if answer := re.search(r"remote (.+)", text(ended.stderr + ended.stdout)):  # the phone itself refused
            self._check(Completed(1, "", answer[1]), copy.step, "the device refused it")
        raise self._lost(ended, copy.step)

    def _is_away(self, ended: Ended) -> bool:
        """Return whether adb says, before anything began, that a phone it knows is away.

        One on the network that it has forgotten is called back; one that is not plugged in is not awaited.
        """
        said = text(ended.stderr)
        if ended.returncode == 0 or ended.stdout:
            return False
        if "device offline" in said:
            return True
        forgotten = "not found" in said and _NETWORK_SERIAL.fullmatch(self.serial) is not None
        if forgotten:
            _ask_server(self.adb, "connect", self.serial)
        return forgotten

    def _reasons(self) -> Sequence[Reason]:
        listing = "look at `adb devices -l`: is it plugged in, switched on, USB debugging allowed?"
        return (
            Reason(
                "device unauthorized|device still authorizing",
                "the phone has not allowed this computer",
                "unlock it and accept the question about USB debugging",
            ),
            Reason(
                "device offline", "the phone is offline", "plug it in again, or run `adb reconnect offline`"
            ),
            Reason("device '.*' not found|no devices/emulators found", "no such phone is attached", listing),
            Reason(
                "no permissions|insufficient permissions",
                "this user may not use the phone's USB port",
                "install udev rules for it: apt-get install android-sdk-platform-tools-common",
            ),
            Reason(
                "cannot connect to daemon|failed to start daemon",
                "adb's server does not start",
                "adb start-server",
            ),
        )


def open_adb(uri: str) -> RemoteDevice:
    """Return the phone of a name such as `adb://SERIAL`; without a serial the only one that is attached.

    $ANDROID_SERIAL stands in for a serial that the name leaves out. Raises DeviceError where none or
    several are attached and none is named, or where there is no adb.
    """
    parsed = parse_uri(uri)
    adb = find_adb()
    serial = parsed.place or os.environ.get("ANDROID_SERIAL") or _only_phone(adb)
    named = DeviceUri(parsed.scheme, serial, f"adb://{serial}", parsed.options)
    return remote_device(named, AdbTransport(named.name, serial, adb))


def attached_phones(adb: str) -> dict[str, str]:
    """Return the state of each attached phone by its serial, as `adb devices` tells. Raises DeviceError."""
    ended = _ask_server(adb, "devices")
    if ended.returncode != 0:
        raise DeviceError(f"adb devices failed: {text(ended.stderr).strip()}", hint="adb start-server")
    lines = text(ended.stdout).partition("List of devices attached")[2].splitlines()
    rows = [line.split("\t") for line in lines if "\t" in line]
    return {row[0]: row[1].strip() for row in rows}


def _ask_server(adb: str, *words: str) -> Ended:
    """Return what adb says of its server, not of a phone. Raises DeviceError."""
    try:
        return run_process([adb, *words], timeout_s=SHORT_S)
    except subprocess.TimeoutExpired as err:
        raise DeviceError(
            f"adb {' '.join(words)} did not end within {SHORT_S:g} s",
            hint="its server hangs: adb kill-server ends it",
        ) from err
    except OSError as err:
        raise DeviceError(f"{adb}: cannot be started ({err.strerror})") from err


def find_adb() -> str:
    """Return the path of adb: of $ANDROID_HOME, of PATH, or of the adbutils package. Raises DeviceError."""
    for variable in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        tools = Path(os.environ.get(variable) or "/nowhere") / "platform-tools" / "adb"
        if os.access(tools, os.X_OK):
            return str(tools)
    if path := shutil.which("adb"):
        return path
    package = importlib.util.find_spec("adbutils")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "binaries" / "adb"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise DeviceError(
        "adb is not on PATH", hint="install Android's platform-tools, for example: apt-get install adb"
    )


def _only_phone(adb: str) -> str:
    phones = attached_phones(adb)
    if len(phones) == 1:
        return next(iter(phones))
    if not phones:
        raise DeviceError(
            "adb: no phone is attached", hint="plug one in and allow USB debugging; `adb devices` lists it"
        )
    listed = ", ".join(f"{serial} ({state})" for serial, state in sorted(phones.items()))
    raise DeviceError(
        f"adb: {len(phones)} phones are attached: {listed}",
        hint=f"name one, as in --device adb://{min(phones)}, or set ANDROID_SERIAL",
    )
