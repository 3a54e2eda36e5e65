"""The transports that the tests of this folder are run over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest
from devices.adb_phone import Attached, Phone, adb_server, attached
from devices.relay import Relay
from devices.ssh_server import SshServer, ssh_server

from edgebench.devices.local import LocalDevice
from edgebench.devices.registry import open_device
from edgebench.devices.ssh import open_transport as open_ssh
from edgebench.devices.transport import Transport
from edgebench.devices.uri import parse_uri

REMOTE = ["ssh", "adb", "adb-old"]
"""The transports with a cable, adb-old being a phone without shell_v2."""


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


@pytest.fixture(scope="session")
def adb_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the environment of an adb server of the tests' own."""
    with adb_server(tmp_path_factory.mktemp("adb")) as own:
        yield own


@pytest.fixture(scope="session")
def session_phones(
    adb_home: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Attached, Attached]]:
    """Return a phone of today and an old one, both attached."""
    new, old = Phone(tmp_path_factory.mktemp("phone")), Phone(tmp_path_factory.mktemp("phone"), old=True)
    with attached(new, adb_home) as first, attached(old, adb_home) as second:
        yield first, second


@pytest.fixture
def over_adb(adb_home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the environment of that server, which is this process's now."""
    for name in ("ANDROID_SERIAL", "ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", adb_home["ANDROID_ADB_SERVER_PORT"])
    return adb_home


@pytest.fixture
def phone(session_phones: tuple[Attached, Attached], over_adb: dict[str, str]) -> Attached:  # noqa: ARG001
    """Return a phone of today."""
    return session_phones[0]


@pytest.fixture
def old_phone(session_phones: tuple[Attached, Attached], over_adb: dict[str, str]) -> Attached:  # noqa: ARG001
    """Return a phone without shell_v2: one stream, no exit codes."""
    return session_phones[1]


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
    folder = _folder(tmp_path)
    if request.param == "ssh":
        server: SshServer = request.getfixturevalue("over_ssh")
        transport: Transport = open_ssh(parse_uri(server.uri))
        return LinkedBench(transport, PurePosixPath(folder), folder, link=server.link)
    old = request.param == "adb-old"
    phone: Attached = request.getfixturevalue("old_phone" if old else "phone")
    transport = open_device(f"adb://{phone.serial}").transport
    return LinkedBench(transport, PurePosixPath(folder), folder, not old, link=phone.link)


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder
