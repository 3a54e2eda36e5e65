"""Linux machines over SSH, through the user's own OpenSSH client and its configuration.

Manual: ssh(1), ssh_config(5). One connection serves all commands, until half a minute after the last
(ControlMaster). Host keys are checked as the user's configuration says; edgebench never turns that off.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgebench.devices.remote import Copy, Reason, RemoteTransport, find_hash, find_program
from edgebench.devices.remote_device import RemoteDevice, remote_device
from edgebench.devices.shell import SHA256, name_it
from edgebench.devices.uri import DeviceUri, parse_uri
from edgebench.errors import ConfigError, DeviceError, DeviceFileError
from edgebench.storage import storage_errors

_PLACE = re.compile(
    r"((?P<user>\w[\w.@+-]*)@)?(\[(?P<v6>[\da-fA-F:.]+(%\w+)?)\]|(?P<host>\w[\w.-]*))(:(?P<port>\d+))?"
)
"""Nothing that the client, or a ProxyCommand of the user's, could take for an option or for shell."""

_SOCKET_BYTES = 104 - 60
"""What a socket's path may have on every system, less its name and what ssh adds while it makes it."""

# $1 the part, $2 the file, $3 its hash, $4 its size, $5 a name for it, or nothing. keep may go on
# where the disk is full, so both hash and size are checked.
_TAKE = (
    f"{SHA256}"
    'mkdir -p "${1%/*}" && h=$(keep "$1") && [ "${h%% *}" = "$3" ] '
    f'&& [ "$(wc -c <"$1")" -eq "$4" ] && mv -f "$1" "$2" || {{ rm -f "$1"; exit 1; }}; {name_it("$2", "$5")}'
)

# Size and hash are told on standard error, the hash found while the file is on its way.
_GIVE = SHA256 + 'sha <"$1" >&2 & echo "size=$(wc -c <"$1")" >&2; cat <"$1" && wait $!'


@dataclass(frozen=True, slots=True)
class SshTransport(RemoteTransport):
    """A machine over SSH. user, port: None leaves them to the user's configuration."""

    host: str
    user: str | None = None
    port: int | None = None

    def _client(self, line: str) -> list[str]:
        ssh = find_program("ssh", "install OpenSSH's client: apt-get install openssh-client")
        # The login shell there may be any; `sh` is the one whose language the line is in.
        return [ssh, "-T", *_options(), *self._address(), f"exec sh -c {shlex.quote(line)}"]

    def _address(self) -> list[str]:
        user = [] if self.user is None else ["-l", self.user]
        port = [] if self.port is None else ["-p", str(self.port)]
        return [*user, *port, "--", self.host]

    def _put(self, copy: Copy, part: PurePosixPath, digest: Callable[[], str]) -> None:
        words = [str(part), str(copy.remote), digest(), str(copy.size), str(copy.name or "")]
        argv = ["sh", "-c", _TAKE, "sh", *words]
        sent = self._command(argv, timeout_s=copy.timeout_s, step=copy.step, feed=copy.local)
        self._check(sent, copy.step, "it did not arrive as it was sent")

    def _get(self, local: Path, remote: PurePosixPath, step: str) -> str:
        taken = self._command_into(["sh", "-c", _GIVE, "sh", str(remote)], local, step=step)
        self._check(taken, step, f"{remote}: cannot be read there", kind=DeviceFileError)
        return find_hash(taken.stderr)

    def _reasons(self) -> Sequence[Reason]:
        by_hand = shlex.join(["ssh", *self._address()]).replace(" -- ", " ")
        return (
            Reason(
                "REMOTE HOST IDENTIFICATION HAS CHANGED",
                "its host key is not the one known here",
                "another machine may stand in its place. If you know why it changed, remove the old key "
                "with ssh-keygen -R, and connect once by hand",
            ),
            Reason(
                "Host key verification failed",
                "its host key is not known here",
                f"connect once by hand and compare the fingerprint: {by_hand}",
            ),
            Reason(
                r"Permission denied \(",
                "it does not accept your key",
                "passwords are never asked for: give it your key with ssh-copy-id, or load it with ssh-add",
            ),
            Reason("Could not resolve hostname", "no machine has this name", "see Host in ~/.ssh/config"),
            Reason("Connection refused", "it refuses connections", "is sshd running there, on this port?"),
            Reason(
                "Connection timed out|Operation timed out|No route to host|Network is unreachable",
                "it cannot be reached",
                "is it powered and in this network?",
            ),
            Reason(
                "(?i)bad configuration option|terminating, .* bad",
                "ssh's configuration has a mistake",
                by_hand,
            ),
        )


def open_ssh(uri: str) -> RemoteDevice:
    """Return the device of a name such as `ssh://user@host:22`; nothing is connected yet."""
    parsed = parse_uri(uri)
    return remote_device(parsed, open_transport(parsed))


def open_transport(uri: DeviceUri) -> SshTransport:
    """Return the machine of a name such as `ssh://user@host:22`. Raises ConfigError."""
    match = _PLACE.fullmatch(uri.place)
    if match is None or int(match["port"] or 22) not in range(1, 1 << 16):
        raise ConfigError(f"{uri.name}: not an address for ssh", hint="write it as in ssh://user@host:22")
    port = None if match["port"] is None else int(match["port"])
    return SshTransport(uri.name, match["host"] or match["v6"], match["user"], port)


def _options() -> list[str]:
    settings = {
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ControlMaster": "auto",
        "ControlPersist": "30",
        "ControlPath": f"{_socket_folder()}/%C",
        "LogLevel": "ERROR",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _socket_folder() -> Path:
    """Return a short path that only this user can enter. Raises DeviceError where it is not private."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(tempfile.gettempdir()) / f"edgebench-{os.getuid()}"
    if base and Path(base).is_dir():  # another user's environment may name one that is not there
        folder = Path(base) / "edgebench"
    if len(os.fsencode(folder)) > _SOCKET_BYTES:
        folder = Path("/tmp") / f"edgebench-{os.getuid()}"  # noqa: S108 its owner and mode are checked below
    with storage_errors(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise DeviceError(
            f"{folder}: is not a folder of yours alone", hint="remove it, or set XDG_RUNTIME_DIR"
        )
    return folder
