"""Jobs that outlive the link: started apart from it on the machine, found again by what they are.

A job is a command in a session of its own on the machine, bound to its time limit, not to the host. It
holds a lock as long as anything of it lives, so whoever waits for it sleeps in the kernel. Its end is
one small file, renamed into place; without that file it has not ended, whatever else lies there.

<workspace>/job/key      what the job is: its words and the content of every file that they name
<workspace>/job/status   exit code, or `timeout`; out, err: what it said
<root>/lock.job          held by the job; .owner: whose it is; .pid: its process group, and its folder

A host that comes back asks for the same job by the same key, and gets what was measured meanwhile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from edgebench.devices.lease import owner
from edgebench.devices.transport import Completed
from edgebench.errors import DeviceBusyError, DeviceError, DeviceTimeoutError
from edgebench.storage import encode_json, sha256_bytes

if TYPE_CHECKING:
    from edgebench.devices.remote import RemoteTransport

_SLACK_S = 60.0
"""What the host waits beyond a job's limit: the machine's own word about it comes first."""

_LARGEST_LIST = 1 << 20
"""Bytes of a file that may name others."""

_NO_ROOM, _NO_TOOLS = 97, 98
_EARLIER = "3"
"""What _RUN says where the job had been begun before."""

# $1 the job's folder, $2 its key, $3 its limit in s, $4 the lock, $5 whose it is, $6 `again` where an end
# that is there is not wanted, $7 _JOB, then its words. The lock goes from the shell to the job as an open
# file, so there is no moment in which nobody holds it.
_RUN = (
    "umask 077; command -v flock >/dev/null && command -v setsid >/dev/null || exit 98; "
    '( flock 9; [ -z "$6" ] && [ "$(cat "$1/key" 2>/dev/null)" = "$2" ] && [ -s "$1/status" ] && exit 3; '
    'rm -rf "$1"; mkdir -p "$1" && echo "$2" >"$1/key" && echo "$5" >"$4.owner" || exit 97; '
    'setsid sh -c "$7" sh "$@" </dev/null >/dev/null 2>&1 & ) 9>>"$4"; begun=$?; '
    '[ "$begun" != 97 ] || exit 97; ( flock 9 ) 9>>"$4"; [ -s "$1/status" ] || exit 96; '
    'echo "$begun $(cat "$1/status")"; cat "$1/out"; cat "$1/err" >&2'
)

# Standard input stays open for the limit and a while, for commands that end with it; the kill takes them all.
_JOB = (
    'd=$1 limit=$3; echo "$$ $d" >"$4.pid"; shift 7; '
    'end() { echo "$1" >"$d/status.part" && mv -f "$d/status.part" "$d/status"; kill -9 0; }; '
    '( sleep "$limit"; end timeout ) & sleep "$((limit + 60))" | ( "$@" >"$d/out" 2>"$d/err"; end $? )'
)

CANCEL = (
    '[ ! -s "$1/lock.job.pid" ] || ( flock -n 9 || { read -r pid folder <"$1/lock.job.pid"; '
    '[ "${folder%/job}" != "$2" ] || kill -9 "-$pid"; } ) 9>>"$1/lock.job"; '
)
"""POSIX shell: ends the job of the workspace $2 in the cache $1, if one runs."""

_RELEASE = (
    '[ -s "$1.pid" ] || exit 0; '
    '( flock -n 9 || { echo "measuring $(cat "${1%.job}.owner")"; exit; }; '
    '( flock -n 9 || { read -r pid folder <"$1.pid"; echo "ended $(cat "$1.owner")"; '
    'kill -9 "-$pid"; flock 9; } ) 9>>"$1" ) 9>>"${1%.job}"'
)
"""POSIX shell: ends the job that holds the lock $1, unless whoever has the device's lease is there still."""


@dataclass(slots=True)
class Jobs:
    """The jobs of one machine. lock: the path of the file there that a running one holds."""

    transport: RemoteTransport
    lock: PurePosixPath
    _digests: dict[str, str] = field(default_factory=dict)
    _named: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)

    def note(self, local: Path, remote: PurePosixPath, digest: str) -> None:
        """Remember what a file there holds, by the one here that was sent, and its SHA-256."""
        self._digests[str(remote)] = digest
        self._named[str(remote)] = ()
        if remote.suffix == ".json" and local.stat().st_size <= _LARGEST_LIST:
            self._named[str(remote)] = tuple(_texts(json.loads(local.read_bytes())))

    def run(self, argv: Sequence[str], workspace: PurePosixPath, *, timeout_s: float) -> Completed:
        """Run a command to its end as a job, or give the end that another process's job of its key had.

        Raises DeviceTimeoutError where it was ended for its limit, DeviceError where the link is lost, the
        job going on, and where it vanished.
        """
        key, step = self._key(argv), f"running {PurePosixPath(argv[0]).name}"
        again = "again" if key in self._begun else ""
        self._begun.add(key)
        words = (workspace / "job", key, math.ceil(timeout_s), self.lock, owner(), again, _JOB, *argv)
        done = self.transport.sh(_RUN, *words, timeout_s=timeout_s + _SLACK_S, step=step)
        if done.returncode == _NO_TOOLS:  # bound to the link then
            return self.transport.run(argv, timeout_s=timeout_s)
        return self._end(done, step, timeout_s)

    def release(self) -> str:
        """End a job that outlived its host or link; return whose it was, empty where none runs.

        Raises DeviceBusyError where a host that is there measures, DeviceError.
        """
        step = "ending the job"
        done = self.transport.sh(_RELEASE, self.lock, timeout_s=_SLACK_S, step=step)
        word, _, named = done.stdout.strip().partition(" ")
        if word == "measuring":
            raise DeviceBusyError(
                f"{self.transport.uri}: {step}: {named or 'another'} measures there now",
                hint="Ctrl-C there ends it; a job is ended from here only where its host is gone",
            )
        return named if word == "ended" else ""

    def _end(self, done: Completed, step: str, timeout_s: float) -> Completed:
        uri = self.transport.uri
        head, _, said = done.stdout.partition("\n")
        begun, _, status = head.partition(" ")
        if done.returncode == _NO_ROOM:
            words = done.stderr.strip() or done.stdout.strip()
            full = "the device's disk is full" if "No space left" in words else f"cannot be begun ({words})"
            raise DeviceError(f"{uri}: {step}: {full}", hint="free some space there, and run again")
        if status.strip() == "timeout":
            raise DeviceTimeoutError(
                f"{uri}: {step} did not end within {timeout_s:g} s",
                hint="is the device overloaded, or the model too slow for these settings?",
            )
        if done.returncode != 0 or not status.strip().isdigit():
            raise DeviceError(
                f"{uri}: {step}: the job is gone and left no word of its end",
                hint="did the device restart, or is its disk full? Run the same again",
            )
        return Completed(int(status), said, done.stderr, earlier=begun == _EARLIER)

    def _key(self, argv: Sequence[str]) -> str:
        """Return a hash of the words, and of the content of the files that they name, and those in turn."""
        found: dict[str, str] = {}
        todo = list(argv)
        while todo:
            name = todo.pop()
            if name in self._digests and name not in found:
                found[name] = self._digests[name]
                todo += self._named[name]
        return sha256_bytes(encode_json([list(argv), sorted(found.items())]))


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)
