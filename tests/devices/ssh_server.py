"""A real sshd on loopback, run by the current user with keys and a configuration of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from devices.relay import Relay, relay
from processes import wait_until

ENABLE = "make device-tools, which installs openssh-server, enables this test"


@dataclass(frozen=True)
class SshServer:
    """A running sshd. folder: its keys and configuration, and the client's. link: what a test may cut."""

    folder: Path
    link: Relay

    @property
    def uri(self) -> str:
        """Return the server's name for --device, through the relay."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.link.port}"


@contextlib.contextmanager
def ssh_server(folder: Path, forced: str | None = None) -> Iterator[SshServer]:
    """Yield a server that lets this user in; skip where the machine has no sshd.

    A client called `ssh` in `folder`/bin reads `folder`/config only: put that folder on PATH. forced: the
    command that is run in place of the client's (sshd_config, ForceCommand).
    """
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if sshd is None or shutil.which("ssh") is None:
        pytest.skip(f"no OpenSSH server here: {ENABLE}")
    port = free_port()
    _write_server(folder, port, forced)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd has itself locked up; made at boot elsewhere
    command = [sshd, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "sshd.log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            assert wait_until(lambda: _answers(port)), (folder / "sshd.log").read_text()
            with relay(port) as link:
                _write_client(folder, link.port)
                yield SshServer(folder, link)
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _write_server(folder: Path, port: int, forced: str | None) -> None:
    # bash takes itself for the second shell then, and leaves the .bashrc of whoever runs the tests alone: it
    # may cost each command 80 ms, which would be taken for the link's.
    for name in ("host_key", "user_key", "talkative_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True, timeout=60
        )
    talkative = 'command="echo Welcome; echo welcome >&2; eval \\"$SSH_ORIGINAL_COMMAND\\""'
    (folder / "authorized_keys").write_text(
        (folder / "user_key.pub").read_text() + f"{talkative} {(folder / 'talkative_key.pub').read_text()}"
    )
    (folder / "sshd_config").write_text(
        f"""Port {port}
ListenAddress 127.0.0.1
HostKey "{folder}/host_key"
AuthorizedKeysFile "{folder}/authorized_keys"
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
MaxStartups 100
SetEnv SHLVL=1
{"" if forced is None else f"ForceCommand {forced}"}
"""
    )


def _write_client(folder: Path, port: int) -> None:
    kind, key = (folder / "host_key.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (folder / "config").write_text(
        f"""Host talkative
  IdentityFile "{folder}/talkative_key"
Host *
  IdentityFile "{folder}/user_key"
  IdentitiesOnly yes
  UserKnownHostsFile "{folder}/known_hosts"
  GlobalKnownHostsFile none
Host by-alias talkative
  HostName 127.0.0.1
  Port {port}
  User {getpass.getuser()}
"""
    )
    client = folder / "bin" / "ssh"
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F "{folder}/config" "$@"\n')
    client.chmod(0o755)
