"""The transports that the tests of this folder are run over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest
from devices.relay import Relay
from devices.ssh_server import SshServer, ssh_server

from edgebench.devices.local import LocalDevice
from edgebench.devices.ssh import open_transport as open_ssh
from edgebench.devices.transport import Transport
from edgebench.devices.uri import parse_uri

REMOTE = ["ssh"]
"""The transports with a cable, by their schemes."""


@dataclass(frozen=True)
class Bench:
    """A transport under test. folder: an empty one on its machine, seen from here as `seen`.

    apart: it tells stderr from stdout.
    """

    transport: Transport
    folder: PurePosixPath
    seen: Path
    apart: bool = True


@dataclass(frozen=True)
class LinkedBench(Bench):
    """One with a cable. link: what can be cut."""

    link: Relay = field(kw_only=True)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """Return a running sshd of the test's own."""
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def over_ssh(sshd: SshServer, monkeypatch: pytest.MonkeyPatch) -> SshServer:
    """Return that sshd, the client on PATH being the one that knows it."""
    monkeypatch.setenv("PATH", str(sshd.folder / "bin"), prepend=":")
    return sshd


@pytest.fixture(params=REMOTE)
def linked(request: pytest.FixtureRequest, tmp_path: Path) -> LinkedBench:
    """Return each transport that has a cable, in turn."""
    return remote_bench(request, tmp_path)


@pytest.fixture(params=["local", *REMOTE])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """Return each transport in turn."""
    if request.param == "local":
        folder = _folder(tmp_path)
        return Bench(LocalDevice(), PurePosixPath(folder), folder)
    return remote_bench(request, tmp_path)


def remote_bench(request: pytest.FixtureRequest, tmp_path: Path) -> LinkedBench:
    """Return the transport that a parameter names."""
    server: SshServer = request.getfixturevalue("over_ssh")
    folder = _folder(tmp_path)
    return LinkedBench(open_ssh(parse_uri(server.uri)), PurePosixPath(folder), folder, link=server.link)


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder
