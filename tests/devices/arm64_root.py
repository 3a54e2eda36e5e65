"""An ARM64 Linux on this machine: Debian's arm64 packages, run by qemu-user behind a real sshd.

Nothing is installed: apt resolves and downloads the packages into a folder, under a state of its own, and
a private binfmt_misc (Linux 6.7 and later) in a user namespace lets the kernel start their programs.
Manuals: apt.conf(5), unshare(1), the kernel's binfmt-misc.rst.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from devices.ssh_server import SshServer, ssh_server

ENABLE = "apt-get install qemu-user-static enables this test (as root, with a network, on Debian)"

_PACKAGES = ("python3", "dash", "coreutils", "util-linux", "grep", "sed", "libstdc++6")
"""What a small Linux has that a benchmark may come to; their dependencies come by themselves."""

_QEMU = "qemu-aarch64-static"
_ELF = "7f454c46 02010100 0000000000000000 0200b700"
_MASK = "ffffffff ffffff00 ffffffffffffffff feffffff"
"""The header of an ARM64 program, and the bits of it that count: executables and libraries alike."""

_CORES = "sys/devices/system/cpu"
"""LiteRT loads no model without it. With the rest of /sys qemu 7.2 crashes in the search for cores."""

_CORE = "cortex-a76"
"""As in a Raspberry Pi 5. With every extension that qemu 7.2 knows, LiteRT's int8 kernels answer nonsense."""

# $1 the root, $2 the rule, $3 the processor. The rule's `F` opens qemu before chroot.
_ENTER = """
root=$1
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 125
printf '%s' "$2" >/proc/sys/fs/binfmt_misc/register || exit 125
mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" || exit 125
cd / && HOME=/root QEMU_CPU=$3 exec chroot "$root" /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


@contextmanager
def arm64_machine(folder: Path) -> Iterator[SshServer]:
    """Yield an sshd whose commands run on ARM64; skip, saying why, where that cannot be made here."""
    qemu = shutil.which(_QEMU)
    if qemu is None or shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip(f"no {_QEMU} or no apt here: {ENABLE}")
    root = folder / "root"
    _unpack(root, folder / "apt")
    enter = folder / "enter.sh"
    enter.write_text(_ENTER)
    words = ["unshare", "-Urmi", "sh", str(enter), str(root), _rule(qemu), _CORE]
    _try(words)
    (folder / "sshd").mkdir()
    with ssh_server(folder / "sshd", shlex.join(words)) as server:
        yield server


def _rule(qemu: str) -> str:
    """Return the line that tells binfmt_misc what qemu runs."""
    magic, mask = ("".join(f"\\x{byte:02x}" for byte in bytes.fromhex(text)) for text in (_ELF, _MASK))
    return f":arm64:M::{magic}:{mask}:{qemu}:F"


def _unpack(root: Path, apt: Path) -> None:
    """Download the packages and unpack them; skip where apt cannot, as without a network."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    settings = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "APT::Sandbox::User": "root",
        "Acquire::http::Timeout": 20,
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    for verb in (["update"], ["install", "--download-only", "--no-install-recommends", "-y", *_PACKAGES]):
        done = subprocess.run(
            ["apt-get", "-qq", *options, *verb], capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"apt-get {verb[0]} for arm64: {done.stderr.strip()[-200:]}; {ENABLE}")
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True, timeout=60)
    for name in ("proc", "dev", "tmp", "root", _CORES):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present"):
        (root / _CORES / name).write_text(f"0-{(os.cpu_count() or 1) - 1}\n")


def _try(words: list[str]) -> None:
    """Skip where the kernel does not let this user have a binfmt_misc of its own."""
    done = subprocess.run(
        words,
        env={**os.environ, "SSH_ORIGINAL_COMMAND": "uname -m"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.stdout.strip() != "aarch64":
        pytest.skip(
            f"no ARM64 programs run here (Linux 6.7 and user namespaces?): {done.stderr.strip()[-200:]}"
        )
