"""A folder on a remote machine: files by their content, one workspace per run, a quota.

<root>/files/<sha256>     what was sent once; oldest use first to go
<root>/runs/<id>/         a run's names for them, its jobs and results
<root>/lock               held by who measures
.<name>.<nonce>.part      on its way; nothing reads it
"""

from __future__ import annotations

import getpass
import platform
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edgebench.devices.jobs import CANCEL
from edgebench.devices.remote import SHORT_S, RemoteTransport, copy_limit_s
from edgebench.devices.shell import SHA256
from edgebench.devices.transport import Completed
from edgebench.errors import DeviceError
from edgebench.storage import sha256_bytes, sha256_path

QUOTA_KIB = 4 << 20
"""What the cache may hold when a run has ended: 4 GiB."""

_ABSENT = 3

_MAKE = 'umask 077; mkdir -p "$1/files" "$2" && ls "$1/files"'

# $1 the cached file, $2 its name in the workspace, $3 its hash, or empty where it was checked before.
_LINK = (
    f"{SHA256}"
    '[ -f "$1" ] || exit 3; '
    'if [ -n "$3" ]; then h=$(sha <"$1") && [ "${h%% *}" = "$3" ] || exit 3; fi; '
    'touch "$1" && rm -f "$2" && ln -s "$1" "$2"'
)

# Sizes in KiB: mksh, the shell of Android, counts in 32 bits.
_CLEAR = (
    f"{CANCEL}"
    'rm -rf "$2"; cd "$1/files" || exit 0; '
    "find .. -name '*.part' $4 -exec rm -f {} +; "
    "find ../runs -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +; "
    "total=0; ls -t | while read -r file; do "
    'size=$(du -k "$file"); total=$((total + ${size%%[!0-9]*})); '
    '[ "$total" -le "$3" ] || rm -f "$file"; done'
)


@dataclass(frozen=True, slots=True)
class RemoteCache:
    """The folder `root` on the machine of a transport."""

    transport: RemoteTransport
    root: PurePosixPath
    _checked: set[str] = field(default_factory=set)
    _held: set[str] = field(default_factory=set)
    """Hashes of the files that it held when the workspace was made: only these are looked for."""

    def workspace(self, run_folder: Path) -> PurePosixPath:
        """Return the folder of the run that is kept here in `run_folder`, made. Raises DeviceError."""
        owner = f"{getpass.getuser()}@{platform.node()}:{run_folder.resolve()}"
        folder = self.root / "runs" / sha256_bytes(owner.encode())[:16]
        made = self._sh(_MAKE, self.root, folder)
        if made.returncode != 0:
            raise DeviceError(
                f"{self.transport.uri}: {self.root}: cannot be written there ({made.stderr.strip()})",
                hint="name another folder for its files, as in ?cache=/data/edgebench",
            )
        self._held.update(made.stdout.split())
        return folder

    def deploy(self, local: Path, remote: PurePosixPath) -> str:
        """Give `remote` the content of `local`, sent where it is not in the cache yet; return its SHA-256.

        What an earlier run sent is trusted after its hash was checked once more. Raises DeviceError.
        """
        digest = sha256_path(local)
        kept = self.root / "files" / digest
        if digest not in self._held or not self._link(kept, remote, digest):
            self.transport.push(local, kept, digest=digest, name=remote)
            self._held.add(digest)
        self._checked.add(digest)
        return digest

    def clear(self, workspace: PurePosixPath, *, quota_kib: int = QUOTA_KIB, alone: bool = False) -> None:
        """End a workspace's job and remove both, what broken runs left, and what is over the quota.

        alone: nobody else can be sending, so that parts are of broken runs; else those are that are older
        than an hour. Raises DeviceError.
        """
        if workspace.parent == self.root / "runs":
            self._sh(_CLEAR, self.root, workspace, quota_kib, "" if alone else "-mmin +60")

    def _link(self, kept: PurePosixPath, remote: PurePosixPath, digest: str) -> bool:
        """Return whether the cache had the file, and `remote` is a name for it now."""
        asked = "" if digest in self._checked else digest
        linked = self._sh(_LINK, kept, remote, asked, timeout_s=copy_limit_s(1 << 30))
        if linked.returncode not in (0, _ABSENT):
            raise DeviceError(
                f"{self.transport.uri}: {remote}: cannot be written there ({linked.stderr.strip()})"
            )
        return linked.returncode == 0

    def _sh(self, script: str, *arguments: object, timeout_s: float = SHORT_S) -> Completed:
        return self.transport.run(["sh", "-c", script, "sh", *map(str, arguments)], timeout_s=timeout_s)
