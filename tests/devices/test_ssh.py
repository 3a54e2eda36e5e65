"""What ssh alone has: names, configuration, host keys, keys that are refused, the shared connection."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from devices.ssh_server import SshServer

from edgebench.devices.registry import open_device
from edgebench.devices.ssh import open_transport
from edgebench.devices.uri import parse_uri
from edgebench.errors import ConfigError, DeviceError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ssh://orin-1", ("orin-1", None, None)),
        ("ssh://pi@10.0.0.7:2222", ("10.0.0.7", "pi", 2222)),
        ("ssh://first.last@host.lan", ("host.lan", "first.last", None)),
        ("ssh://user@[fe80::1%eth0]:22", ("fe80::1%eth0", "user", 22)),
        ("ssh://orin?python=/opt/my%20python/bin/python3&cache=/data", ("orin", None, None)),
    ],
)
def test_names_are_read(text: str, parts: tuple[object, ...]) -> None:
    """Host, user and port are read; what the name leaves out is the user's configuration's business."""
    transport = open_transport(parse_uri(text))
    assert (transport.host, transport.user, transport.port) == parts


@pytest.mark.parametrize(
    "text",
    [
        "ssh://",
        "ssh://-oProxyCommand=touch",
        "ssh://host;touch",
        "ssh://$(touch)",
        "ssh://`touch`@host",
        "ssh://host:0",
        "ssh://host:99999",
        "ssh://host/path",
        "ssh://host?pyton=x",
        "ssh://host?cache=relative",
        "ssh://host?python",
        "ssh://ho st",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """What ssh could take for an option, or a shell for more than a word, is refused before it runs."""
    with pytest.raises(ConfigError):
        open_device(text)


def test_options_are_read() -> None:
    """Interpreter and cache are taken from the name and are no part of it in evidence."""
    device = open_device("ssh://orin?python=/opt/my%20python/bin/python3&cache=/data")
    assert (device.uri, device.named_python) == ("ssh://orin", "/opt/my python/bin/python3")


@pytest.mark.usefixtures("over_ssh")
def test_the_users_configuration_is_honoured() -> None:
    """An alias of the user's ssh_config names host, port, user and key."""
    transport = open_transport(parse_uri("ssh://by-alias"))
    assert transport.run(["echo", "here"], timeout_s=30).stdout == "here\n"


@pytest.mark.usefixtures("over_ssh")
def test_what_a_login_prints_is_no_output(tmp_path: Path) -> None:
    """A login shell that greets everyone changes neither a command's output nor a file."""
    transport = open_transport(parse_uri("ssh://talkative"))
    assert transport.run(["echo", "here"], timeout_s=30).stdout == "here\n"
    (tmp_path / "sent").write_bytes(b"\nEB:\0" * 100_000)
    transport.push(tmp_path / "sent", PurePosixPath(tmp_path / "there"))
    transport.pull(PurePosixPath(tmp_path / "there"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()


def test_an_unknown_host_key_is_not_accepted(over_ssh: SshServer, keep_known_hosts: Path) -> None:
    """A machine seen for the first time is refused, with the command that shows its fingerprint."""
    keep_known_hosts.write_text("")
    refused = refusal(over_ssh)
    assert refused.message == f"{over_ssh.uri}: connecting: its host key is not known here"
    assert f"ssh -l {over_ssh.uri.partition('@')[0][6:]} -p {over_ssh.link.port} 127.0.0.1" in str(
        refused.hint
    )
    assert keep_known_hosts.read_text() == ""


def test_a_changed_host_key_is_not_accepted(over_ssh: SshServer, keep_known_hosts: Path) -> None:
    """A machine with another key than the known one is refused, and the message says what that may mean."""
    other = (over_ssh.folder / "user_key.pub").read_text().split()
    keep_known_hosts.write_text(f"[127.0.0.1]:{over_ssh.link.port} {other[0]} {other[1]}\n")
    refused = refusal(over_ssh)
    assert "its host key is not the one known here" in refused.message
    assert "ssh-keygen -R" in str(refused.hint)


def test_a_key_that_is_not_accepted_is_told(over_ssh: SshServer) -> None:
    """A user without a key there is told how to give one; no password is asked for."""
    with pytest.raises(DeviceError, match="it does not accept your key") as refused:
        open_transport(parse_uri(over_ssh.uri.replace("ssh://", "ssh://nobody-"))).run(["true"], timeout_s=30)
    assert "ssh-copy-id" in str(refused.value.hint)


def test_no_client_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the ssh client on PATH the message says how to install it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="ssh is not on PATH") as absent:
        open_transport(parse_uri("ssh://host")).run(["true"], timeout_s=30)
    assert "openssh-client" in str(absent.value.hint)


def test_a_socket_folder_of_others_is_refused(over_ssh: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shared connection's socket never lies in a folder that others may enter."""
    with tempfile.TemporaryDirectory(prefix="eb") as base:  # pytest's own folders are too long for a socket
        monkeypatch.setenv("XDG_RUNTIME_DIR", base)
        (Path(base) / "edgebench").mkdir()
        (Path(base) / "edgebench").chmod(0o755)
        with pytest.raises(DeviceError, match="not a folder of yours alone"):
            open_transport(parse_uri(over_ssh.uri)).run(["true"], timeout_s=30)


def refusal(server: SshServer) -> DeviceError:
    """Return why the server is not talked to, over a connection of its own."""
    server.link.cut()  # ends the shared connection
    with pytest.raises(DeviceError) as refused:
        open_transport(parse_uri(server.uri)).run(["true"], timeout_s=30)
    return refused.value


@pytest.fixture
def keep_known_hosts(over_ssh: SshServer) -> Iterator[Path]:
    """Yield the client's file of known keys; it is as before afterwards."""
    path = over_ssh.folder / "known_hosts"
    before = path.read_text()
    yield path
    path.write_text(before)


def test_a_runtime_folder_that_is_not_there_is_passed_over(
    over_ssh: SshServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """XDG_RUNTIME_DIR of a session that has ended does no harm."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert open_transport(parse_uri(over_ssh.uri)).run(["echo", "here"], timeout_s=30).stdout == "here\n"
